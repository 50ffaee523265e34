"""Features of the event alone: its own fields and the clock. No state is read for them."""

from collections.abc import Sequence

import numpy as np

from features.algebra import Columns, Feature, Field, Formula, Frame, as_it_is
from features.windows import DAY, LOCAL_OFFSET

DEVICE_LIMIT, DEVICE_DAY_LIMIT, NIGHT_LIMIT = 200.0, 1000.0, 1000.0
"""BRL: an unregistered device's limits a payment and a day (Resolução BCB 403/2024), and Pix's at night."""


def field(
    name: str, meaning: str, unit: str, reason: str, formula: Formula, fields: tuple[Field, ...] = ()
) -> Feature:
    """A feature of the event alone."""
    return Feature(name, meaning, unit, reason, formula, (), fields)


def number(name: str, meaning: str, unit: str, reason: str) -> Feature:
    """The field `name` as it is; NaN where the sender left it out."""
    return field(name, meaning, unit, reason, as_it_is, (Field(name),))


def _days_since(frame: Frame, time: Columns) -> Columns:
    return np.maximum(frame.time - time, 0.0) / DAY


def days_since(name: str, meaning: str, reason: str, time: str) -> Feature:
    """Days from the time in the field `time` (an account's opening, say) to the payment, at least 0."""
    return field(name, meaning, "days", reason, _days_since, (Field(time),))


def category(name: str, values: Sequence[str], reason: str) -> Feature:
    """The position of the field's value in `values`; NaN if the sender left it out."""
    code: dict[object, float] = {value: float(i) for i, value in enumerate(values)}
    code[None] = np.nan
    coded = Field(name, code.__getitem__)
    return field(name, "position in " + ", ".join(values), "code", reason, as_it_is, (coded,))


def local_hour(frame: Frame) -> Columns:
    return frame.local_hour


def local_weekday(frame: Frame) -> Columns:
    """0 is Monday (1970-01-01 was a Thursday)."""
    return ((frame.time + LOCAL_OFFSET) // DAY + 3) % 7


def is_night(frame: Frame) -> Columns:
    return frame.is_night


def same_institution(frame: Frame) -> Columns:
    both = zip(frame.field("payer_ispb"), frame.field("payee_ispb"), strict=True)
    alike = [np.nan if a is None or b is None else float(a == b) for a, b in both]
    return np.array(alike, dtype=np.float64)[:, None]


DICT_COUNTS = (
    ("settlements", "settled payments", "payments"),
    ("fraud_markers", "fraud markers", "markers"),
    ("open_reports", "open infraction reports", "reports"),
)
"""What DICT tells of a key: (field's name, words, unit)."""


REGISTERED, BALANCE = Field("device_registered"), Field("payer_balance")


def device_unregistered(_: Frame, registered: Columns) -> Columns:
    return 1.0 - registered


def share_of_balance(frame: Frame, centavos: Columns) -> Columns:
    """At most 1,000: an overdrawn account's share says no more than that."""
    balance = np.maximum(centavos / 100.0, 0.0)
    return np.minimum(frame.amount / np.maximum(balance, 0.01), 1000.0)


def unregistered_share(frame: Frame, registered: Columns) -> Columns:
    """Amount over the R$ 200 that an unregistered device may pay at once; 0 for a registered one."""
    return (1.0 - registered) * (frame.amount / DEVICE_LIMIT)
