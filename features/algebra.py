"""The algebra of features: what the state must answer, and how a column is computed from the answers.

A `Slot` is one number that the state keeps for an entity; the store answers them as exact float64
(UNKNOWN = -1 where there is nothing to say). A `Feature` names the slots that it needs, and the formula that
turns them into a column; features of one formula are computed together (`grouped.py`). Only +, -, *, / and
sqrt are used: IEEE 754 rounds these alike whatever the batch, so a vector is the same bytes alone or among a
thousand. `aggregates` and `fields` build features of it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import repeat
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from features.transaction import Transaction
from features.windows import HOUR, LOCAL_OFFSET, NIGHT_FROM, NIGHT_TO

Columns = NDArray[np.float64]

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
    payments `same` (as this amount) and `under` (a limit, see JUST_UNDER); `open`, `confirmed` (reports);
    `run` (days, see `reported_run`).
    `night`: only of payments made from 20 h to 6 h local.
    """

    entity: str
    stat: str
    window: str = ""
    delayed: bool = False
    night: bool = False


class Field(NamedTuple):
    """A field of the transaction as a number; NaN where the sender left it out."""

    name: str
    code: Callable[[object], float] | None = None
    """What stands for each value, None among them; without it they are numbers themselves."""


@dataclass(frozen=True)
class Frame:
    """A batch on its way to vectors: what the formulas read besides the state's answers."""

    transactions: Sequence[Transaction]

    @cached_property
    def _fields(self) -> dict[str, tuple[object, ...]]:
        columns = zip(*self.transactions, strict=True) if self.transactions else repeat(())
        return dict(zip(Transaction._fields, columns, strict=False))

    def field(self, name: str) -> tuple[object, ...]:
        return self._fields[name]

    def numbers(self, *fields: Field) -> Columns:
        """(n, fields)"""
        found = np.full((len(self.transactions), len(fields)), np.nan)
        for column, (name, code) in enumerate(fields):
            values = self.field(name)
            if values.count(None) < len(values):  # most optional fields, of most senders, are left out
                found[:, column] = values if code is None else list(map(code, values))  # a NaN for each None
        return found

    @cached_property
    def time(self) -> Columns:
        """Event time in ms."""
        return self.numbers(Field("occurred_at"))

    @cached_property
    def amount(self) -> Columns:
        """Amount in BRL."""
        return self.numbers(Field("amount")) / 100.0

    @cached_property
    def local_hour(self) -> Columns:
        """Hour of the day in São Paulo."""
        return (self.time + LOCAL_OFFSET) // HOUR % 24

    @cached_property
    def is_night(self) -> Columns:
        """1 from 20 h to 6 h local, the hours of Pix's night limit, else 0."""
        return ((self.local_hour >= NIGHT_FROM) | (self.local_hour < NIGHT_TO)).astype(np.float64)


Formula = Callable[..., Columns]
"""(frame, a feature's needs, its fields) → the feature.

Each of them is a column (n, 1); of k features at once they are (n, k), for a formula goes by elements.
"""


@dataclass(frozen=True)
class Feature:
    """One column of the vector."""

    name: str
    meaning: str
    unit: str
    reason: str
    """The reason code that this feature speaks for (`stream/reasons.py` has the words)."""
    formula: Formula
    """Features that share it are computed in one go."""
    needs: tuple[Slot, ...] = ()
    fields: tuple[Field, ...] = ()

    @property
    def entity(self) -> str:
        """Whose history it is of; `transaction` for the event alone."""
        return self.needs[0].entity if self.needs else "transaction"

    @property
    def window(self) -> str:
        return self.needs[0].window if self.needs else ""


def known(columns: Columns) -> Columns:
    """UNKNOWN becomes NaN."""
    return np.where(columns == UNKNOWN, np.nan, columns)


def ratio(above: Columns, below: Columns) -> Columns:
    """above / below; NaN where below is 0 or unknown."""
    return above / np.where(below > 0, below, np.nan)


def as_it_is(_: Frame, columns: Columns) -> Columns:
    return columns
