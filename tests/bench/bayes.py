"""What the recipe reaches if it is told what a Bayesian knows: `python -m tests.bench.bayes`.

The Bayesian has the Handbook's rules, which no model is given: each day two of 10,000 payees go bad for 28
days, and all that is paid to them is fraud; three of 5,000 payers go bad for 14 days, and of their payments
a third are fraud and five times as large. Of each payment it sees what was known at its time: all before
it, and of those that are a report delay old whether they were reported. Its odds go as columns beside the
catalog's into the default recipe, over the protocol of `tests.bench.quality` with 7 days of training. What
the catalog lacks to that is what features could still gain; docs/quality.md says how little it is.
"""

from typing import NamedTuple

import numpy as np
import pyarrow.parquet as pq
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from models.candidates import fit
from models.metrics import average_precision, payer_precision
from models.params import default_recipe
from stream.bench.handbook import REPORT_DELAY
from tests.bench.quality import Files, Fold, folds, handbook, handbook_files, read_fold

Floats = NDArray[np.float64]

_DAY = 86_400.0
_DELAY = REPORT_DELAY.days * _DAY
_PAYEE_BEGINS, _PAYEE_DAYS = 2 / 10_000, 28
_PAYER_BEGINS, _PAYER_DAYS, _SHARE = 3 / 5_000, 14, 1 / 3
_ALWAYS_FRAUD = 220.0
"""BRL: beyond it a payment is fraud, whoever pays whom, and its report says nothing of either."""
_OTHER_FRAUD = 0.004
"""Of payments to a payee that is not bad: those of a bad payer."""
_NEVER = -14.0
"""Log odds of what a bad payee's payment never is: not reported."""
_LOOK_BACK = 61
"""Days in which a payee's bad time may have begun."""


class History(NamedTuple):
    """All payments in their order, (n,) each. Times are in seconds."""

    event_id: NDArray[np.str_]
    payer: NDArray[np.str_]
    payee: NDArray[np.str_]
    time: Floats
    amount: Floats
    fraud: NDArray[np.bool_]


def read(files: Files) -> History:
    table = pq.read_table(files.transactions).sort_by("occurred_at")
    reported = pq.read_table(files.reports, columns=["transaction_event_id"])[0].to_numpy()
    ids, payer, payee = (
        np.asarray(table[name].to_numpy(), dtype=np.str_)
        for name in ("event_id", "payer_account", "payee_account")
    )
    time = table["occurred_at"].to_numpy().astype("datetime64[ms]").astype(np.int64) / 1000
    amount = np.asarray(table["amount"].to_numpy(), dtype=np.float64)
    return History(ids, payer, payee, time, amount, np.isin(ids, np.asarray(reported, dtype=np.str_)))


def _groups(keys: NDArray[np.str_]) -> list[NDArray[np.intp]]:
    """The rows of each key, in their order."""
    order = np.argsort(keys, kind="stable")
    _, first = np.unique(keys[order], return_index=True)
    return np.split(order, first[1:])


def _density(x: Floats, mean: float, deviation: float) -> Floats:
    """Normal, with a little everywhere: means are estimated."""
    found: Floats = np.exp(-0.5 * ((x - mean) / deviation) ** 2) / deviation / np.sqrt(2 * np.pi) + 1e-4
    return found


def _likelihoods(ratio: Floats) -> tuple[Floats, Floats]:
    """Of an amount over its payer's mean, if it is honest and if it is a bad payer's fraud. The simulator
    draws normal amounts with half their mean as deviation, and takes five times that."""
    return _density(ratio, 1.0, 0.55), _density(ratio, 5.0, 2.6)


def usual(history: History) -> Floats:
    """Each payment's amount over the mean of its payer's payments 60 to 14 days before (or of all 60)."""
    found = np.full(len(history.time), np.nan)
    for rows in _groups(history.payer):
        time, amount = history.time[rows], history.amount[rows]
        total, here = np.concatenate([[0.0], np.cumsum(amount)]), np.arange(len(rows))
        oldest, since = (np.searchsorted(time, time - days * _DAY, "right") for days in (60, _PAYER_DAYS))
        end = np.where(since - oldest >= 5, since, here)
        with np.errstate(all="ignore"):
            found[rows] = amount / ((total[end] - total[oldest]) / (end - oldest))
    return found


def payer_odds(history: History, ratio: Floats) -> tuple[Floats, Floats]:
    """That the payer is bad now, and that this payment is a fraud of its."""
    honest, bad = _likelihoods(ratio)
    with np.errstate(all="ignore"):
        unknown = np.nan_to_num(np.log(1 - _SHARE + _SHARE * bad / honest))
        reported = np.nan_to_num(np.log(_SHARE * bad / honest + 1e-6)) + 6
    now = np.full(len(ratio), _PAYER_DAYS * _PAYER_BEGINS)
    for rows in _groups(history.payer):
        time = history.time[rows]
        since = np.searchsorted(time, time - _PAYER_DAYS * _DAY, "right")
        judged = np.searchsorted(time, time - _DELAY, "right")
        clean = np.where(history.fraud[rows], reported[rows], np.log(1 - _SHARE))
        for k in np.flatnonzero(since < np.arange(len(rows))):
            low, old = since[k], max(judged[k], since[k])
            told = np.concatenate([clean[low:old], unknown[rows[old:k]]])
            after = np.append(np.cumsum(told[::-1])[::-1], 0.0)  # if it went bad before each of these
            gaps = np.diff([time[k] - _PAYER_DAYS * _DAY, *time[low:k], time[k]]) / _DAY
            now[rows[k]] = float((_PAYER_BEGINS * gaps * np.exp(np.clip(after, -40, 40))).sum())
    now = now / (1 + now)
    fraud, other = _SHARE * now * bad, (1 - _SHARE * now) * honest
    return now, np.nan_to_num(fraud / (fraud + other))


def payee_odds(history: History, ratio: Floats) -> Floats:
    """That the payee is bad now."""
    honest, bad = _likelihoods(ratio)
    with np.errstate(all="ignore"):
        seen = np.log(honest / (_OTHER_FRAUD * bad + 1e-5))
    seen = np.where(np.isnan(seen), np.log(1 / (_OTHER_FRAUD + 0.002)), seen)
    evidence = np.where(history.fraud, np.where(history.amount > _ALWAYS_FRAUD, 0.0, seen), _NEVER)
    found = np.zeros(len(ratio))
    back = np.arange(_LOOK_BACK)
    for rows in _groups(history.payee):
        time = history.time[rows]
        total = np.concatenate([[0.0], np.cumsum(evidence[rows])])
        judged = np.searchsorted(time, time - _DELAY, "right")[:, None]
        begins = (np.floor(time / _DAY)[:, None] - back) * _DAY
        first = np.minimum(np.searchsorted(time, begins, "left"), judged)
        stop = np.minimum(np.searchsorted(time, begins + _PAYEE_DAYS * _DAY, "left"), judged)
        weights = _PAYEE_BEGINS * np.exp(np.clip(total[stop] - total[first], -60, 60))
        now = weights[:, :_PAYEE_DAYS].sum(axis=1)
        found[rows] = now / (weights.sum(axis=1) + 1 - _LOOK_BACK * _PAYEE_BEGINS)
    return found


def columns(history: History) -> Floats:
    """(n, 4): the odds of payer, this amount, payee, and any of them."""
    ratio = usual(history)
    payer, amount = payer_odds(history, ratio)
    payee = payee_odds(history, ratio)
    any_ = 1 - (1 - payee) * (1 - amount) * (history.amount <= _ALWAYS_FRAUD)
    return np.column_stack([payer, amount, payee, any_])


def measure(files: Files, fold: Fold, ids: NDArray[np.str_], told: Floats) -> tuple[float, float]:
    """Average precision and payer precision at 100 of the recipe with these columns beside the catalog's."""
    split, train, test = read_fold(files, fold)
    order = np.argsort(ids)

    def beside(vectors: NDArray[np.float32], event_id: object) -> NDArray[np.float32]:
        rows = order[np.searchsorted(ids[order], np.asarray(event_id, dtype=np.str_))]
        return np.hstack([vectors, told[rows].astype(np.float32)])

    recipe = default_recipe(int(split.y.sum()), len(split.y))
    model = fit(recipe, beside(split.vectors, train.event_id), split.y, seed=0)
    scores = model.logits(beside(split.vectors_test, test.event_id))
    payer = np.asarray(test.payer_account, dtype=np.str_)
    precision = payer_precision(split.y_test, scores, payer, test.day)
    return average_precision(split.y_test, scores) or 0.0, precision or 0.0


def main() -> None:
    """Print both for each fold; nothing to do without the data. Two minutes."""
    source = handbook()
    if source is None:
        return
    files, _ = handbook_files(source)
    history = read(files)
    told = columns(history)
    out = Table("test week", "average precision", "payer precision @100")
    found = {str(fold.test): measure(files, fold, history.event_id, told) for fold in folds(7)}
    for week, figures in found.items():
        out.add_row(week, *(f"{x:.4f}" for x in figures))
    out.add_row("mean", *(f"{x:.4f}" for x in np.mean(list(found.values()), axis=0)), style="bold")
    Console().print(out)


if __name__ == "__main__":
    typer.run(main)
