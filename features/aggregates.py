"""The algebra of features: what the state must answer, and how a column is computed from the answers.

A `Slot` is one number that the state keeps for an entity; the store answers them as exact float64
(UNKNOWN = -1 where there is nothing to say). A `Feature` names the slots that it needs and turns a
`Frame` of them into one column. The functions below build features; a feature's name derives from its
definition. Only +, -, *, / and sqrt are used: IEEE 754 rounds these alike whatever the batch, so a
vector is the same bytes alone or among a thousand.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import repeat
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from features.transaction import Transaction
from features.windows import HOUR, SECOND

Column = NDArray[np.float64]

UNKNOWN = -1.0
"""The store's word for "nothing known"; no count, sum or time is negative."""

COUNT_MAX = float(2**32 - 1)
EXACT_MAX = float(2**53)
"""Counts saturate at 32 bits; sums and squares at the last integer that float64 holds exactly."""


JUST_UNDER = ((18_000, 20_000), (90_000, 100_000))
"""Centavos, inclusive: at most a tenth below R$ 200 and R$ 1,000, the limits that DESIGN 12 names."""


class Slot(NamedTuple):
    """One number of an entity's state.

    stat: `last`, `first` (ms), `count`, `sum` (centavos), `squares` (whole reais squared), `max`
    (centavos); of the list of counterparties `distinct` and `changed` (1 if the latest is another than this
    payment's); `newcomers` (bins of counterparties that are new, see `newcomers`); of the list of latest
    payments `same` (as this amount) and `under` (a limit, see JUST_UNDER); `open`, `confirmed` (reports).
    `night`: only of payments made from 20 h to 6 h local.
    """

    entity: str
    stat: str
    window: str = ""
    delayed: bool = False
    night: bool = False


@dataclass(frozen=True)
class Frame:
    """A batch on its way to vectors: the state's answers and the transactions' own fields."""

    slots: NDArray[np.float64]
    """(n, slots), in the catalog's slot order."""
    transactions: Sequence[Transaction]
    index: dict[Slot, int]

    def slot(self, slot: Slot) -> Column:
        column: Column = self.slots[:, self.index[slot]]
        return column

    @cached_property
    def _fields(self) -> dict[str, tuple[object, ...]]:
        columns = zip(*self.transactions, strict=True) if self.transactions else repeat(())
        return dict(zip(Transaction._fields, columns, strict=False))

    def field(self, name: str) -> tuple[object, ...]:
        return self._fields[name]

    def numbers(self, name: str) -> Column:
        """A field as numbers; NaN where the sender left it out."""
        values = self.field(name)
        if values.count(None) == len(values):  # most optional fields, of most senders
            return np.full(len(values), np.nan)
        return np.array(values, dtype=np.float64)  # a NaN for each None

    @cached_property
    def time(self) -> Column:
        """Event time in ms."""
        return self.numbers("occurred_at")

    @cached_property
    def amount(self) -> Column:
        """Amount in BRL."""
        return self.numbers("amount") / 100.0


@dataclass(frozen=True)
class Feature:
    """One column of the vector."""

    name: str
    meaning: str
    unit: str
    reason: str
    """The reason code that this feature speaks for (`stream/policy.py` has the words)."""
    read: Callable[[Frame], Column]
    needs: tuple[Slot, ...] = ()
    divisor: float | None = None
    """Of a column that is its one slot, UNKNOWN as NaN, divided by this: all such are read in one go."""

    @property
    def entity(self) -> str:
        """Whose history it is of; `transaction` for the event alone."""
        return self.needs[0].entity if self.needs else "transaction"

    @property
    def window(self) -> str:
        return self.needs[0].window if self.needs else ""


def known(column: Column) -> Column:
    """UNKNOWN becomes NaN."""
    return np.where(column == UNKNOWN, np.nan, column)


def ratio(above: Column, below: Column) -> Column:
    """above / below; NaN where below is 0 or unknown."""
    unknown: Column = np.full(len(above), np.nan)
    return np.divide(above, below, out=unknown, where=below > 0)


def last(window: str) -> str:
    """The window in words."""
    return {"midnight": "since midnight", "20h": "since 20 h"}.get(window, f"in the last {window}")


def _suffix(window: str, delayed: bool) -> str:
    return f"{window}_delayed" if delayed else window


def _answer(slot: Slot, name: str, meaning: str, unit: str, reason: str) -> Feature:
    """The state's answer as it is; centavos become BRL."""
    divisor = 100.0 if unit == "BRL" else 1.0

    def read(frame: Frame) -> Column:
        return known(frame.slot(slot)) / divisor

    return Feature(f"{slot.entity}_{name}", meaning, unit, reason, read, (slot,), divisor)


def count(entity: str, window: str, reason: str, *, delayed: bool = False) -> Feature:
    when = ", one report delay earlier" if delayed else ""
    meaning = f"payments of this {entity} in the last {window}{when}"
    slot = Slot(entity, "count", window, delayed)
    return _answer(slot, f"count_{_suffix(window, delayed)}", meaning, "payments", reason)


def total(entity: str, window: str, reason: str, words: str = "") -> Feature:
    words = words or {"payer": "this payer sent", "payee": "this payee received"}.get(
        entity, f"was paid by way of this {entity}"
    )
    meaning = f"amount that {words} {last(window)}"
    return _answer(Slot(entity, "sum", window), f"sum_{window}", meaning, "BRL", reason)


def largest(entity: str, window: str, reason: str) -> Feature:
    meaning = f"largest payment of this {entity} in the last {window}"
    return _answer(Slot(entity, "max", window), f"max_{window}", meaning, "BRL", reason)


@dataclass(frozen=True)
class Moments:
    """Mean and standard deviation of an entity's amounts in a window, in BRL."""

    entity: str
    window: str

    @property
    def mean_needs(self) -> tuple[Slot, ...]:
        return Slot(self.entity, "count", self.window), Slot(self.entity, "sum", self.window)

    @property
    def needs(self) -> tuple[Slot, ...]:
        return *self.mean_needs, Slot(self.entity, "squares", self.window)

    def mean(self, frame: Frame) -> Column:
        n, amount = (frame.slot(slot) for slot in self.mean_needs)
        return ratio(amount, n) / 100.0

    def deviation(self, frame: Frame) -> Column:
        """Population standard deviation; squares are of whole reais, so it is good to about R$ 0.30."""
        n, _, squares = (frame.slot(slot) for slot in self.needs)
        mean = self.mean(frame)
        return np.sqrt(np.maximum(ratio(squares, n) - mean * mean, 0.0))


def mean(entity: str, window: str, reason: str) -> Feature:
    moments = Moments(entity, window)
    return Feature(
        f"{entity}_mean_{window}",
        f"mean amount of this {entity}'s payments in the last {window}",
        "BRL",
        reason,
        moments.mean,
        moments.mean_needs,
    )


def deviation(entity: str, window: str, reason: str) -> Feature:
    moments = Moments(entity, window)
    return Feature(
        f"{entity}_std_{window}",
        f"standard deviation of this {entity}'s amounts in the last {window}",
        "BRL",
        reason,
        moments.deviation,
        moments.needs,
    )


def amount_ratio(entity: str, window: str, reason: str) -> Feature:
    moments = Moments(entity, window)
    return Feature(
        f"amount_to_{entity}_mean_{window}",
        f"this amount divided by the mean of this {entity}'s last {window}",
        "ratio",
        reason,
        lambda frame: ratio(frame.amount, moments.mean(frame)),
        moments.mean_needs,
    )


def amount_z(entity: str, window: str, reason: str) -> Feature:
    moments = Moments(entity, window)

    def read(frame: Frame) -> Column:
        # A floor of R$ 1 keeps an entity that always pays the same from answering infinity.
        return (frame.amount - moments.mean(frame)) / np.maximum(moments.deviation(frame), 1.0)

    return Feature(
        f"amount_z_{entity}_{window}",
        f"standard deviations between this amount and the mean of this {entity}'s last {window}",
        "standard deviations",
        reason,
        read,
        moments.needs,
    )


def _seconds_since(slot: Slot) -> Callable[[Frame], Column]:
    return lambda frame: np.maximum(frame.time - known(frame.slot(slot)), 0.0) / SECOND


def since_last(entity: str, reason: str, words: str = "") -> Feature:
    slot = Slot(entity, "last")
    return Feature(
        f"{entity}_seconds_since_last",
        f"time since {words or f'the last payment of this {entity}'}; unknown if there is none",
        "seconds",
        reason,
        _seconds_since(slot),
        (slot,),
    )


def age(entity: str, reason: str) -> Feature:
    slot = Slot(entity, "first")
    return Feature(
        f"{entity}_age_seconds",
        f"time since the first payment of this {entity}; unknown if there is none",
        "seconds",
        reason,
        _seconds_since(slot),
        (slot,),
    )


def novelty(entity: str, days: int, reason: str) -> Feature:
    slot = Slot(entity, "last")

    def read(frame: Frame) -> Column:
        last = frame.slot(slot)
        # An entity that the event does not name (no device) is unknown, not new: see `present`.
        new = (last == UNKNOWN) | (frame.time - last > days * 24 * HOUR)
        return np.where(present(frame, entity), new.astype(np.float64), np.nan)

    return Feature(
        f"{entity}_new_{days}d",
        f"1 if this {entity} was not seen for {days} days",
        "flag",
        reason,
        read,
        (slot,),
    )


def present(frame: Frame, entity: str) -> NDArray[np.bool_]:
    """Whether the event names the entity at all; only a device and a key can be absent."""
    name = {"device": "device_id", "payee_key": "payee_key"}.get(entity)
    if name is None:
        return np.ones(len(frame.transactions), dtype=np.bool_)
    return np.array([value is not None for value in frame.field(name)], dtype=np.bool_)


def distinct(entity: str, counterparty: str, window: str, reason: str) -> Feature:
    meaning = f"different {counterparty}s of this {entity} in the last {window}; the list saturates at 64"
    slot = Slot(entity, "distinct", window)
    return _answer(slot, f"distinct_{counterparty}s_{window}", meaning, f"{counterparty}s", reason)


def newcomers(entity: str, counterparty: str, window: str, reason: str) -> Feature:
    meaning = (
        f"{counterparty}s of this {entity} in the last {window} that were not among those of the 3 days "
        "before, counted in 64 bins"
    )
    slot = Slot(entity, "newcomers", window)
    return _answer(slot, f"new_{counterparty}s_{window}", meaning, f"{counterparty}s", reason)


def account_changed(entity: str, reason: str) -> Feature:
    meaning = f"1 if the latest payment by this {entity} went to another account"
    return _answer(Slot(entity, "changed"), "changed_account", meaning, "flag", reason)


def same_amounts(entity: str, window: str, reason: str) -> Feature:
    meaning = f"payments of this {entity} in the last {window} of exactly this amount; saturates at 32"
    return _answer(Slot(entity, "same", window), f"same_amount_{window}", meaning, "payments", reason)


def under_limit(entity: str, window: str, reason: str) -> Feature:
    meaning = (
        f"payments of this {entity} in the last {window} at most a tenth below R$ 200 or R$ 1,000; "
        "saturates at 32"
    )
    return _answer(Slot(entity, "under", window), f"just_under_limit_{window}", meaning, "payments", reason)


def night_share(entity: str, window: str, reason: str) -> Feature:
    night, whole = Slot(entity, "count", window, night=True), Slot(entity, "count", window)
    return Feature(
        f"{entity}_night_share_{window}",
        f"share of this {entity}'s payments in the last {window} made from 20 h to 6 h local",
        "ratio",
        reason,
        lambda frame: ratio(frame.slot(night), frame.slot(whole)),
        (night, whole),
    )


def amount_to_largest(entity: str, window: str, reason: str) -> Feature:
    slot = Slot(entity, "max", window)
    return Feature(
        f"amount_to_{entity}_max_{window}",
        f"this amount divided by the largest payment of this {entity} in the last {window}",
        "ratio",
        reason,
        lambda frame: ratio(frame.amount, frame.slot(slot) / 100.0),
        (slot,),
    )


def limit_share(
    name: str, meaning: str, slot: Slot, limit: float, applies: Callable[[Frame], Column], reason: str
) -> Feature:
    """(what the slot sums + this amount) over `limit` BRL, times `applies`: 1, 0, or NaN where unknown."""
    return Feature(
        name,
        meaning,
        "ratio",
        reason,
        lambda frame: applies(frame) * ((known(frame.slot(slot)) / 100.0 + frame.amount) / limit),
        (slot,),
    )


def drained(window: str, reason: str) -> Feature:
    """A mule's sign: what came in leaves again (MED's graph follows two hours)."""
    received, sent = Slot("inflow", "sum", window), Slot("payer", "sum", window)
    return Feature(
        f"payer_drained_share_{window}",
        f"what the payer sent in the last {window}, this payment with it, over what it received then",
        "ratio",
        reason,
        lambda frame: ratio(frame.slot(sent) / 100.0 + frame.amount, frame.slot(received) / 100.0),
        (received, sent),
    )


def passed_on(window: str, reason: str) -> Feature:
    sent, received = Slot("outflow", "sum", window), Slot("payee", "sum", window)
    return Feature(
        f"payee_passed_on_share_{window}",
        f"what the payee's account itself sent in the last {window} over what it received then",
        "ratio",
        reason,
        lambda frame: ratio(frame.slot(sent), frame.slot(received)),
        (sent, received),
    )


def reports(entity: str, status: str, window: str, reason: str) -> Feature:
    meaning = (
        f"fraud reports of this {entity} that became {status.upper()} in the last {window} and still stand"
    )
    return _answer(Slot(entity, status, window), f"reports_{status}_{window}", meaning, "reports", reason)


def reported_share(entity: str, window: str, reason: str) -> Feature:
    confirmed, payments = Slot(entity, "confirmed", window), Slot(entity, "count", window, delayed=True)
    return Feature(
        f"{entity}_reported_share_{window}",
        f"confirmed reports of this {entity} in the last {window} for each payment of the same span one "
        "report delay earlier",
        "ratio",
        reason,
        lambda frame: known(frame.slot(confirmed)) / np.maximum(frame.slot(payments), 1.0),
        (confirmed, payments),
    )
