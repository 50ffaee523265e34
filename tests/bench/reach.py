"""How much of the Handbook's fraud there is to find, by its own protocol: `python -m tests.bench.reach`.

The data say by which of three scenarios a payment is fraud. Two show in the payment or its payer's habits; in
the third every payment to a payee is fraud for 28 days, with nothing to tell it by until the first is
reported, 7 days later. So a fraud is *within reach* unless it is of that scenario and its payee had no report
in the 40 days before. Each test week is then ranked by one who knows that and the truth: what is within reach
first, the rest by chance. A model that knows only the past comes above it by luck, or by what the rest
betrays without a report.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow.parquet as pq
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from sklearn.metrics import average_precision_score

from models.metrics import payer_precision
from stream.bench.handbook import REPORT_DELAY
from tests.bench.quality import BARS, Fold, folds, handbook

_BY_PAYEE = 2
_DELAY, _REMEMBERED = np.timedelta64(REPORT_DELAY.days, "D"), np.timedelta64(40, "D")
_DRAWS = 20
"""Of chance; a fold's figures are their means."""
_COLUMNS = ["TX_DATETIME", "CUSTOMER_ID", "TERMINAL_ID", "TX_FRAUD", "TX_FRAUD_SCENARIO"]


class Payments(NamedTuple):
    """All of the Handbook's, (n,) each."""

    time: NDArray[np.datetime64]
    payer: NDArray[np.int64]
    payee: NDArray[np.int64]
    fraud: NDArray[np.bool_]
    scenario: NDArray[np.int64]

    @property
    def day(self) -> NDArray[np.datetime64]:
        return self.time.astype("datetime64[D]")


def read(path: Path) -> Payments:
    time, payer, payee, fraud, scenario = (
        column.to_numpy() for column in pq.read_table(path, columns=_COLUMNS)
    )
    numbers = (np.asarray(column, dtype=np.int64) for column in (payer, payee))
    return Payments(time.astype("datetime64[ms]"), *numbers, fraud.astype(bool), scenario.astype(np.int64))


def reported(all_: Payments, rows: NDArray[np.intp]) -> NDArray[np.bool_]:
    """Whether each row's payee had a report in the 40 days before the payment."""
    frauds = np.flatnonzero(all_.fraud)
    order = frauds[np.argsort(all_.payee[frauds], kind="stable")]
    payees, first = np.unique(all_.payee[order], return_index=True)
    groups = np.split(all_.time[order] + _DELAY, first[1:])
    told = {payee: np.sort(times) for payee, times in zip(payees.tolist(), groups, strict=True)}
    none = np.array([], dtype=all_.time.dtype)
    found = np.zeros(len(rows), dtype=bool)
    for i, row in enumerate(rows):
        times, now = told.get(int(all_.payee[row]), none), all_.time[row]
        found[i] = times.searchsorted(now, "right") > times.searchsorted(now - _REMEMBERED, "right")
    return found


def tested(all_: Payments, fold: Fold) -> NDArray[np.intp]:
    """The test week's rows, without payers known as defrauded since the training began."""
    day = all_.day
    week = np.flatnonzero((day >= np.datetime64(fold.test.first)) & (day <= np.datetime64(fold.test.last)))
    since = np.flatnonzero(all_.fraud & (day >= np.datetime64(fold.train.first)))
    known = np.full(int(all_.payer.max()) + 1, np.datetime64("2100-01-01"))
    np.minimum.at(known, all_.payer[since], day[since] + _DELAY)
    kept: NDArray[np.intp] = week[known[all_.payer[week]] >= day[week]]
    return kept


def best(all_: Payments, fold: Fold) -> NDArray[np.float64]:
    """Share of frauds within reach; average precision and payer precision at 100 of that ranking."""
    rows, rng = tested(all_, fold), np.random.default_rng(0)
    fraud, payer, day = all_.fraud[rows], all_.payer[rows].astype(np.str_), all_.day[rows]
    within = fraud & ((all_.scenario[rows] != _BY_PAYEE) | reported(all_, rows))
    drawn = []
    for _ in range(_DRAWS):
        score = within + rng.random(len(rows)) / 2
        precision = payer_precision(fraud, score, payer, day) or 0.0
        drawn.append((average_precision_score(fraud, score), precision))
    return np.array([within.sum() / fraud.sum(), *np.mean(drawn, axis=0)])


def main() -> None:
    """Print it for each fold; nothing to do without the data."""
    source = handbook()
    if source is None:
        return
    all_ = read(source)
    out = Table(
        "training days", "test week", "frauds within reach", "average precision", "payer precision @100"
    )
    for days in BARS:
        figures = {str(fold.test): best(all_, fold) for fold in folds(days)}
        for week, found in figures.items():
            out.add_row(f"{days}", week, *(f"{x:.4f}" for x in found))
        means = np.mean(list(figures.values()), axis=0)
        out.add_row(f"{days}", "mean", *(f"{x:.4f}" for x in means), style="bold", end_section=True)
    Console().print(out)


if __name__ == "__main__":
    typer.run(main)
