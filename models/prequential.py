"""Evaluation by time: each fold is measured on days later than all it was trained on; and their spread."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models import metrics
from models.costs import Costs, Thresholds
from models.dataset import Rows, Span, occurred_within, read_rows, start_of
from models.labels import label, payer_known, read_verdicts
from models.scored import Scored, scored

FOLD_DAYS = 7
_DAY = timedelta(days=1)

Vectors = NDArray[np.float32]
Mask = NDArray[np.bool_]
Score = Callable[[Vectors], NDArray[np.float64]]
Train = Callable[[Rows, Mask], Score]
"""Training rows (n) and their labels (n,) → a function from vectors (m, k) to scores (m,)."""


@dataclass(frozen=True, slots=True)
class Fold:
    """Train on one span, with labels as known before `as_of`, and measure on a later one."""

    train: Span
    test: Span
    as_of: date

    def __post_init__(self) -> None:
        """Raises ValueError when a day is both trained and tested on."""
        if self.test.first <= self.train.last:
            raise ValueError(f"the test span {self.test} begins before the training span {self.train} ends")


@dataclass(frozen=True, slots=True)
class Files:
    """A features file and its reports."""

    features: Path
    reports: Path
    names: Sequence[str]
    features_version: str


def handbook_folds(
    last_training_days: Sequence[date], train_days: int, delay_days: int = 7, test_days: int = FOLD_DAYS
) -> tuple[Fold, ...]:
    """The Fraud Detection Handbook's folds: training, a delay until its labels are known, then the test."""
    folds = []
    for last in last_training_days:
        first_test = last + (delay_days + 1) * _DAY
        train = Span(last - (train_days - 1) * _DAY, last)
        folds.append(Fold(train, Span(first_test, first_test + (test_days - 1) * _DAY), first_test))
    return tuple(folds)


def prequential(
    files: Files, folds: Sequence[Fold], train: Train, exclude_known: bool = True
) -> dict[str, Any]:
    """`folds` (a figure each) and `spread` of a model trained anew for each fold; see `fold_figures`.

    With `exclude_known` a payer known as defrauded on a test day is left out of it, as the Handbook does.
    Raises BadInput for missing files, columns or days.
    """
    each = [
        {
            "train_from": fold.train.first.isoformat(),
            "train_to": fold.train.last.isoformat(),
            **fold_figures(fold.test, measured, None, None),
        }
        for fold, measured in prequential_scores(files, folds, train, exclude_known)
    ]
    return {"folds": each, "spread": spread(each)}


def prequential_scores(
    files: Files, folds: Sequence[Fold], train: Train, exclude_known: bool = True
) -> Iterator[tuple[Fold, Scored]]:
    """Each fold's test rows, scored by a model of its training rows; one fold in memory at a time."""
    verdicts = read_verdicts(files.reports)
    for fold in folds:
        known = read_rows(files.features, fold.train, files.names, files.features_version)
        score = train(known, label(known, verdicts, start_of(fold.as_of)))
        del known
        rows = read_rows(files.features, fold.test, files.names, files.features_version)
        if exclude_known:
            since = occurred_within(files.features, sorted(verdicts), fold.train.start, fold.test.end)
            rows = rows.take(~payer_known(rows, verdicts, since))
        yield fold, scored(rows, label(rows, verdicts), score(rows.vectors))


def weeks(span: Span, days: int = FOLD_DAYS) -> tuple[Span, ...]:
    """The span in folds of `days`; days that are left over belong to the last fold."""
    length = (span.last - span.first).days + 1
    starts = [span.first + at * _DAY for at in range(0, max(1, length // days) * days, days)]
    ends = [start - _DAY for start in starts[1:]] + [span.last]
    return tuple(Span(first, last) for first, last in zip(starts, ends, strict=True))


def by_week(
    span: Span,
    found: Scored,
    thresholds: Thresholds | None,
    costs: Costs | None,
    days: int = FOLD_DAYS,
    alert_rate: float = metrics.ALERT_RATE,
) -> list[dict[str, Any]]:
    """`fold_figures` of one model on each week of its test span; weeks without rows are left out."""
    each = []
    for week in weeks(span, days):
        first, last = (np.datetime64(day, "D") for day in (week.first, week.last))
        inside = (found.day >= first) & (found.day <= last)
        if inside.any():
            each.append(fold_figures(week, found.take(inside), thresholds, costs, alert_rate))
    return each  # fmt: skip


def fold_figures(
    span: Span,
    found: Scored,
    thresholds: Thresholds | None,
    costs: Costs | None,
    alert_rate: float = metrics.ALERT_RATE,
) -> dict[str, Any]:
    """`from`, `to`, `n`, `frauds` and the headlines of one fold; the list of payers found starts anew."""
    return {
        "from": span.first.isoformat(),
        "to": span.last.isoformat(),
        "n": len(found),
        "frauds": int(found.y.sum()),
        **metrics.headlines(found, thresholds, costs, alert_rate),
    }  # fmt: skip


def gaps(
    folds: Sequence[Mapping[str, Any]], others: Sequence[Mapping[str, Any]]
) -> list[dict[str, float | None]]:
    """Fold by fold, headline → ours less theirs; None where one of them has none."""
    return [
        {
            name: None if ours[name] is None or theirs[name] is None else ours[name] - theirs[name]
            for name in metrics.HEADLINES
        }
        for ours, theirs in zip(folds, others, strict=True)
    ]


def spread(folds: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, float | None] | None]:
    """Headline → {mean, std, min, max} over the folds that have it; one fold has no std."""
    return {
        name: _spread([fold[name] for fold in folds if fold[name] is not None]) for name in metrics.HEADLINES
    }


def _spread(values: list[float]) -> dict[str, float | None] | None:
    if not values:
        return None
    std = float(np.std(values, ddof=1)) if len(values) > 1 else None
    return {"mean": float(np.mean(values)), "std": std, "min": min(values), "max": max(values)}
