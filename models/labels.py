"""Which transactions are fraud, as known at a date, from the fraud reports."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from features.errors import BadInput
from models.dataset import Rows, as_times, open_parquet, to_numpy_time

CONFIRMED = "CONFIRMED"
APPROVE, REVIEW = "APPROVE", "REVIEW"
FINAL = ("REJECTED", "WITHDRAWN")
STATUSES = ("OPEN", CONFIRMED, *FINAL)
_NEVER = np.datetime64("9999-12-31", "us")


@dataclass(frozen=True, slots=True)
class Verdict:
    """One reported transaction: when it was first confirmed and first made final (`_NEVER`: not yet)."""

    payer_account: str
    confirmed_at: np.datetime64
    final_at: np.datetime64

    def is_fraud(self, before: np.datetime64 | None = None) -> bool:
        """Confirmed and not final, by the reports with `reported_at` < `before` (None: by all of them)."""
        horizon = _NEVER if before is None else before
        return bool(self.confirmed_at < horizon and not self.final_at < horizon)

    def is_judged(self, before: np.datetime64 | None = None) -> bool:
        """Confirmed or made final: someone looked. A report that is merely open says nothing yet."""
        horizon = _NEVER if before is None else before
        return bool(self.confirmed_at < horizon or self.final_at < horizon)


Verdicts = Mapping[str, Verdict]


def read_verdicts(path: Path) -> dict[str, Verdict]:
    """Transaction event id → verdict, for every transaction of the reports file.

    A final status takes the label from the transaction, whichever report it came with and in whatever order.
    Raises BadInput when the file or a column is missing, or a status is unknown.
    """
    columns = ["transaction_event_id", "payer_account", "reported_at", "status"]
    table = open_parquet(path, "--reports", columns).to_table(columns=columns).drop_null()
    unknown = sorted(set(table.column("status").unique().to_pylist()) - set(STATUSES))
    if unknown:
        raise BadInput(f"--reports: column 'status' of {path} has {unknown[0]!r}, not {', '.join(STATUSES)}")
    verdicts: dict[str, Verdict] = {}
    events, payers, statuses = (table.column(i).to_pylist() for i in (columns[0], columns[1], columns[3]))
    times = as_times(table.column("reported_at"))
    for event, payer, status, at in zip(events, payers, statuses, times, strict=True):
        known = verdicts.get(event, Verdict(str(payer), _NEVER, _NEVER))
        confirmed = min(known.confirmed_at, at) if status == CONFIRMED else known.confirmed_at
        final = min(known.final_at, at) if status in FINAL else known.final_at
        verdicts[event] = Verdict(known.payer_account, confirmed, final)
    return verdicts


def label(rows: Rows, verdicts: Verdicts, as_of: datetime | None = None) -> NDArray[np.bool_]:
    """(n,) True where the row is a fraud by what was known before `as_of` (None: by every report)."""
    before = None if as_of is None else to_numpy_time(as_of)
    return _is_among(rows, [event for event, verdict in verdicts.items() if verdict.is_fraud(before)])


def judged(rows: Rows, verdicts: Verdicts, as_of: datetime | None = None) -> NDArray[np.bool_]:
    """(n,) False where a payment was denied, or not decided, and no report settled it before `as_of`.

    Such a row has no label: nothing was lost, so nobody complains, and that says nothing. Everything else
    has one: what went through unreported is honest as far as is known.
    """
    if rows.decision is None:
        return np.ones(len(rows), dtype=np.bool_)
    before = None if as_of is None else to_numpy_time(as_of)
    settled = _is_among(rows, [event for event, verdict in verdicts.items() if verdict.is_judged(before)])
    # One whose scoring failed has no decision: nobody let it through.
    return settled | _is(rows.decision, APPROVE) | _is(rows.decision, REVIEW)


def weight(rows: Rows) -> NDArray[np.float64]:
    """(n,) How many payments a row stands for, by inverse propensity: 1 where no chance was involved.

    Where a control group was drawn, what passed of REVIEW weighs 1 / rate and what was held weighs 0: held,
    it shows what review made of it, not what it was. Without one, what was held weighs 1, by its own reports.
    """
    ones = np.ones(len(rows))
    if rows.decision is None or rows.propensity is None:
        return ones
    drawn = (rows.propensity > 0) & (rows.propensity < 1)
    passed = _is(rows.decision, APPROVE)
    weights = np.where(drawn & ~passed, 0.0, ones)
    return np.divide(1.0, rows.propensity, out=weights, where=drawn & passed)


def _is_among(rows: Rows, events: list[str]) -> NDArray[np.bool_]:
    found = pc.is_in(rows.event_id, value_set=pa.array(events, pa.string()))
    return found.to_numpy(zero_copy_only=False)  # type: ignore[no-any-return]


def _is(decision: pa.Array, outcome: str) -> NDArray[np.bool_]:
    return pc.fill_null(pc.equal(decision, outcome), False).to_numpy(zero_copy_only=False)  # type: ignore[no-any-return]


def payer_known(rows: Rows, verdicts: Verdicts, occurred: Iterable[str]) -> NDArray[np.bool_]:
    """(n,) True where the payer was known as defrauded when the row's UTC day began.

    Known on day D: the payer of a transaction in `occurred` (those since the training span began) that is a
    fraud by the reports from before the start of D. With a report delay of 7 days that is the Fraud Detection
    Handbook's protocol: frauds of the training span, and later ones that are at least 8 days old.
    """
    known = np.zeros(len(rows), dtype=np.bool_)
    candidates = [verdicts[event] for event in occurred if event in verdicts]
    days = rows.day
    for day in np.unique(days):
        payers = {v.payer_account for v in candidates if v.is_fraud(day.astype("datetime64[us]"))}
        here = np.flatnonzero(days == day)
        present = rows.payer_account.take(pa.array(here))
        inside = pc.is_in(present, value_set=pa.array(sorted(payers), pa.string()))
        known[here] = inside.to_numpy(zero_copy_only=False)
    return known
