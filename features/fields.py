"""Features of the event alone: its own fields and the clock. No state is read for them."""

from collections.abc import Callable, Sequence

import numpy as np

from features.aggregates import Column, Feature, Frame
from features.windows import DAY, HOUR, LOCAL_OFFSET, NIGHT_FROM, NIGHT_TO

DEVICE_LIMIT, DEVICE_DAY_LIMIT, NIGHT_LIMIT = 200.0, 1000.0, 1000.0
"""BRL: an unregistered device's limits a payment and a day (Resolução BCB 403/2024), and Pix's at night."""


def field(name: str, meaning: str, unit: str, reason: str, read: Callable[[Frame], Column]) -> Feature:
    """A feature of the event alone."""
    return Feature(name, meaning, unit, reason, read)


def category(name: str, values: Sequence[str], reason: str) -> Feature:
    """The position of the field's value in `values`; NaN if the sender left it out."""
    code: dict[object, float] = {value: float(i) for i, value in enumerate(values)}
    code[None] = np.nan
    return Feature(
        name,
        "position in " + ", ".join(values),
        "code",
        reason,
        lambda frame: np.array([code[value] for value in frame.field(name)], dtype=np.float64),
    )


def local_hour(frame: Frame) -> Column:
    return (frame.time + LOCAL_OFFSET) // HOUR % 24


def local_weekday(frame: Frame) -> Column:
    """0 is Monday (1970-01-01 was a Thursday)."""
    return ((frame.time + LOCAL_OFFSET) // (24 * HOUR) + 3) % 7


def is_night(frame: Frame) -> Column:
    """20 h to 6 h local: the hours of Pix's night limit."""
    hour = local_hour(frame)
    return ((hour >= NIGHT_FROM) | (hour < NIGHT_TO)).astype(np.float64)


def same_institution(frame: Frame) -> Column:
    both = zip(frame.field("payer_ispb"), frame.field("payee_ispb"), strict=True)
    return np.array([np.nan if a is None or b is None else float(a == b) for a, b in both])


def device_registered(frame: Frame) -> Column:
    return frame.numbers("device_registered")


DICT_COUNTS = (
    ("settlements", "settled payments", "payments"),
    ("fraud_markers", "fraud markers", "markers"),
    ("open_reports", "open infraction reports", "reports"),
)
"""What DICT tells of a key: (field's name, words, unit)."""


def number(name: str) -> Callable[[Frame], Column]:
    """The field `name` as it is; NaN where the sender left it out."""
    return lambda frame: frame.numbers(name)


def device_unregistered(frame: Frame) -> Column:
    return 1.0 - device_registered(frame)


def days_since(name: str) -> Callable[[Frame], Column]:
    """Days from the time in the field `name` (an account's opening, say) to the payment, at least 0."""
    return lambda frame: np.maximum(frame.time - frame.numbers(name), 0.0) / DAY


def share_of_balance(frame: Frame) -> Column:
    """At most 1,000: an overdrawn account's share says no more than that."""
    balance = np.maximum(frame.numbers("payer_balance") / 100.0, 0.0)
    return np.minimum(frame.amount / np.maximum(balance, 0.01), 1000.0)


def unregistered_share(frame: Frame) -> Column:
    """Amount over the R$ 200 that an unregistered device may pay at once; 0 for a registered one."""
    return device_unregistered(frame) * (frame.amount / DEVICE_LIMIT)
