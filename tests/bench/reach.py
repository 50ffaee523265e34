"""How much of the Handbook's fraud anyone could find, by its own protocol: `python -m tests.bench.reach`.

The data say by which of three scenarios a payment is fraud. Two show in the payment or its payer's habits; in
the third every payment to a payee is fraud for 28 days, with nothing to tell it by until the first is
reported, 7 days later. So a fraud is *within reach* unless it is of that scenario and its payee had no report
in the 40 days before. Each test week is then ranked by one who knows that and the truth: what is within reach
first, the rest by chance. No model that knows only the past can be expected to do better.
"""

from datetime import date, timedelta
from typing import NamedTuple

import numpy as np
import pyarrow.parquet as pq
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from sklearn.metrics import average_precision_score

from models.metrics import payer_precision
from tests.bench.quality import BARS, Fold, folds, handbook

_BY_PAYEE, _DELAY, _REMEMBERED = 2, 7, 40
_COLUMNS = ["TX_DATETIME", "CUSTOMER_ID", "TERMINAL_ID", "TX_FRAUD", "TX_FRAUD_SCENARIO"]


class Payments(NamedTuple):
    """All of the Handbook's, (n,) each."""

    day: NDArray[np.datetime64]
    payer: NDArray[np.int64]
    payee: NDArray[np.int64]
    fraud: NDArray[np.bool_]
    scenario: NDArray[np.int64]


def read(path: object) -> Payments:
    day, payer, payee, fraud, scenario = (
        column.to_numpy() for column in pq.read_table(path, columns=_COLUMNS)
    )
    numbers = (np.asarray(column, dtype=np.int64) for column in (payer, payee))
    return Payments(day.astype("datetime64[D]"), *numbers, fraud.astype(bool), scenario.astype(np.int64))


def reported(all_: Payments, rows: NDArray[np.intp]) -> NDArray[np.bool_]:
    """Whether each row's payee had a report of the 40 days before its day."""
    told: dict[int, NDArray[np.datetime64]] = {}
    frauds = np.flatnonzero(all_.fraud)
    order = frauds[np.argsort(all_.payee[frauds], kind="stable")]
    payees, first = np.unique(all_.payee[order], return_index=True)
    for payee, group in zip(payees.tolist(), np.split(order, first[1:]), strict=True):
        told[payee] = np.sort(all_.day[group]) + _DELAY
    none = np.array([], dtype="datetime64[D]")
    found = np.zeros(len(rows), dtype=bool)
    for i, row in enumerate(rows):
        days, day = told.get(int(all_.payee[row]), none), all_.day[row]
        found[i] = np.searchsorted(days, day) > np.searchsorted(days, day - _REMEMBERED)
    return found


def tested(all_: Payments, fold: Fold) -> NDArray[np.intp]:
    """The test week's rows, without payers known as defrauded since the training began."""
    week = np.flatnonzero((all_.day >= _day(fold.test.first)) & (all_.day <= _day(fold.test.last)))
    since = np.flatnonzero(all_.fraud & (all_.day >= _day(fold.train.first)))
    known = np.full(int(all_.payer.max()) + 1, np.datetime64("2100-01-01"))
    np.minimum.at(known, all_.payer[since], all_.day[since] + _DELAY)
    kept: NDArray[np.intp] = week[known[all_.payer[week]] >= all_.day[week]]
    return kept


def _day(day: date) -> np.datetime64:
    return np.datetime64(day, "D")


def best(all_: Payments, fold: Fold, seed: int = 0) -> tuple[float, float, float]:
    """Share of frauds within reach; average precision and payer precision at 100 of that ranking."""
    rows = tested(all_, fold)
    fraud = all_.fraud[rows]
    within = fraud & ((all_.scenario[rows] != _BY_PAYEE) | reported(all_, rows))
    score = within + np.random.default_rng(seed).random(len(rows)) / 2
    precision = payer_precision(fraud, score, all_.payer[rows].astype(np.str_), all_.day[rows])
    return within.sum() / fraud.sum(), average_precision_score(fraud, score), precision or 0.0


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
        figures = {fold.test.first: best(all_, fold) for fold in folds(days)}
        for first, found in figures.items():
            out.add_row(f"{days}", f"{first} +{timedelta(days=6).days} days", *(f"{x:.4f}" for x in found))
        means = np.mean(list(figures.values()), axis=0)
        out.add_row(f"{days}", "mean", *(f"{x:.4f}" for x in means), style="bold", end_section=True)
    Console().print(out)


if __name__ == "__main__":
    typer.run(main)
