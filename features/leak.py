"""Does a vector know the future? Those before a time T again, from the history cut off at T.

Through the same Redis code. Whatever a vector took from behind T, a later total or a report that was not
there yet, is missing then, and the vector differs.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
from numpy.typing import NDArray

from features.catalog import NAMES, vectors
from features.errors import BadInput
from features.files import History, read_reports, read_transactions
from features.replay import answers, merged
from features.state import State, Status
from features.transaction import Transaction

_NAMED = ("device_id", "payee_key")
_ACCOUNTS = ("payer_account", "payee_account")


class Leak(NamedTuple):
    """A feature that differs, in how many vectors, and the first event of them."""

    feature: str
    vectors: int
    event_id: str


@dataclass(frozen=True)
class LeakReport:
    """What was compared, bit for bit."""

    compared: int
    missing: tuple[str, ...]
    """Events that are in the features and not in the history, or the other way round."""
    leaks: tuple[Leak, ...]

    @property
    def sound(self) -> bool:
        return not self.missing and not self.leaks and self.compared > 0


async def leak_check(
    state: State, transactions: Path, reports: Path | None, features: ds.Dataset, at: datetime, sample: int
) -> LeakReport:
    """Compare the vectors of `sample` payments before `at` with those from the history cut off there.

    `state` is empty. Half of the sample are the last before `at`, which have most of their future behind it;
    half are drawn, first of all from accounts that are reported at any time: what knows the future knows it
    of them, and they are few. Of the history only what shares an account, device or key with them is applied.
    """
    cut = round(at.timestamp() * 1000)
    payments = _before(read_transactions(transactions), cut)
    told = read_reports(reports) if reports else None
    labels = _before(told, cut) if told else None
    if len(payments) == 0:
        raise BadInput(f"--at: {transactions} has no payment before {at.isoformat()}")
    chosen = payments.table.take(pa.array(_sample(_reported(payments, told), sample)))
    wanted = [str(event) for event in chosen.column("event_id").to_pylist()]
    again = await _rebuilt(
        state, _touching(payments, chosen), labels and _touching(labels, chosen), set(wanted)
    )
    return _compared(wanted, again, _originals(features, wanted, at))


def _before(history: History, cut: int) -> History:
    n = int(np.searchsorted(history.times, cut))
    return replace(history, table=history.table.slice(0, n), times=history.times[:n])


def _reported(payments: History, reports: History | None) -> NDArray[np.bool_]:
    """(n,) whether the payer or the payee of each payment is of a report, whenever that comes."""
    if reports is None:
        return np.zeros(len(payments), dtype=np.bool_)
    named = pa.chunked_array([c for name in _ACCOUNTS for c in reports.table.column(name).chunks])
    payer, payee = (pc.is_in(payments.table.column(n), value_set=pc.drop_null(named)) for n in _ACCOUNTS)
    return np.asarray(pc.or_(payer, payee))


def _sample(reported: NDArray[np.bool_], size: int) -> NDArray[np.int64]:
    """Which of n payments: the last, and of the others those of `reported` (n,) accounts before the rest."""
    n = len(reported)
    last = min(n, (size + 1) // 2)
    drawn = np.random.default_rng(0).permutation(n - last)
    others = drawn[np.argsort(~reported[drawn], kind="stable")][: size - last]
    return np.sort(np.concatenate([others, np.arange(n - last, n)]))


def _touching(history: History, chosen: pa.Table) -> History:
    """The events that name an entity of a chosen payment: no other one's windows are read for it."""
    mask = pa.array(np.zeros(len(history), dtype=np.bool_))
    accounts = pa.chunked_array([c for name in _ACCOUNTS for c in chosen.column(name).chunks])
    for name, values in [
        *((name, accounts) for name in _ACCOUNTS),
        *((n, _column(chosen, n)) for n in _NAMED),
    ]:
        if values is not None and name in history.table.column_names:
            known = pc.drop_null(values.unique())
            mask = pc.or_(mask, pc.is_in(history.table.column(name), value_set=known))
    rows = np.flatnonzero(np.asarray(mask))
    return replace(history, table=history.table.take(pa.array(rows)), times=history.times[rows])


def _column(table: pa.Table, name: str) -> pa.ChunkedArray | None:
    return table.column(name) if name in table.column_names else None


async def _rebuilt(
    state: State, payments: History, labels: History | None, wanted: set[str]
) -> dict[str, NDArray[np.float32]]:
    found: dict[str, NDArray[np.float32]] = {}
    async for entries, answer in answers(state, merged(payments, labels)):
        first = (Status.REPEAT, Status.REUSED)
        kept = [e.event for e, s in zip(entries, answer.statuses.tolist(), strict=True) if s not in first]
        is_kept = [
            s not in first
            for e, s in zip(entries, answer.statuses.tolist(), strict=True)
            if isinstance(e.event, Transaction)
        ]
        events = [event for event in kept if isinstance(event, Transaction)]
        matrix = vectors(answer.slots[is_kept], events)
        found |= {e.event_id: v for e, v in zip(events, matrix, strict=True) if e.event_id in wanted}
    return found


def _originals(features: ds.Dataset, wanted: Sequence[str], at: datetime) -> dict[str, NDArray[np.float32]]:
    kind = features.schema.field("occurred_at").type
    before = ds.field("occurred_at") < pa.scalar(at.astimezone(UTC), kind)
    chosen = before & ds.field("event_id").isin(pa.array(wanted, pa.string()))
    table = features.to_table(columns=["event_id", *NAMES], filter=chosen)
    matrix = np.stack([table.column(name).to_numpy() for name in NAMES], axis=1).astype("<f4")
    return dict(zip(table.column("event_id").to_pylist(), matrix, strict=True))


def _compared(
    wanted: Sequence[str], again: dict[str, NDArray[np.float32]], originals: dict[str, NDArray[np.float32]]
) -> LeakReport:
    missing = tuple(event for event in wanted if (event in again) != (event in originals))
    both = [event for event in wanted if event in again and event in originals]
    if not both:
        return LeakReport(0, missing, ())
    one, other = (np.stack([found[event] for event in both]).view("<u4") for found in (again, originals))
    differs = one != other
    leaks = [
        Leak(NAMES[c], int(differs[:, c].sum()), both[int(differs[:, c].argmax())])
        for c in np.flatnonzero(differs.any(axis=0))
    ]
    return LeakReport(len(both), missing, tuple(leaks))
