"""A served model's quality on later days: one answer for people, for the report and for the gates."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.errors import BadInput
from models import metrics
from models.bootstrap import REPLICATES, Judged, differences, own_intervals, resample
from models.dataset import Rows, Span, occurred_within, read_rows, start_of, to_numpy_time
from models.groups import Served, fraud_types, group_figures, groupings
from models.intervals import LEVEL
from models.labelled import require_disjoint, with_labels
from models.labels import Verdicts, label, payer_known, read_verdicts
from models.prequential import FOLD_DAYS, by_week, gaps, spread
from models.reliability import reliability
from models.scored import scored
from models.scorer import Scorer
from models.simple_tree import simple_tree_average_precision

MATURE_AFTER = timedelta(days=8)
"""A week for the report, and the day on which it is known in full."""

_CHANCE = timedelta(days=4)
"""Frauds are rare: the newest report may be so much older than the last day's would be."""

_CHUNK = 16_384

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Question:
    """What is to be measured."""

    features: Path
    reports: Path
    span: Span
    exclude_known: bool = False
    against_simple: bool = False
    as_of: date | None = None  # labels as known before this day; None: all reports of the file
    fold_days: int = FOLD_DAYS
    alert_rate: float = metrics.ALERT_RATE
    replicates: int = REPLICATES
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Sample:
    """The rows that answer the question, with labels `y` (n,), what was left out, and what to beware of."""

    rows: Rows
    y: Mask
    weight: Floats
    types: NDArray[np.str_]
    n_known: int
    n_immature: int
    n_unlabelled: int
    warnings: tuple[str, ...]
    verdicts: Verdicts


@dataclass(frozen=True, slots=True)
class Champion:
    """The model to compare with, and its scores (n,) of the sample's rows."""

    scorer: Scorer
    score: Floats


def evaluate(scorer: Scorer, question: Question, champion: Scorer | None = None) -> dict[str, Any]:
    """Every figure of `scorer` over the span, as one JSON-able dict; docs/evaluation.md says each key.

    With `champion` the differences to it, on the same rows and the same draws of the bootstrap. With
    `exclude_known`, payers known as defrauded are left out (`labels.payer_known`). With `against_simple`,
    `average_precision_simple` is a shallow tree's, fitted on the model's training span. Raises BadInput for
    missing files, columns or days, and when no row remains.
    """
    sample = read_sample(scorer, question)
    rival = None if champion is None else Champion(champion, score_rows(champion, sample.rows))
    return measure(scorer, question, sample, score_rows(scorer, sample.rows), rival)


def read_sample(scorer: Scorer, question: Question) -> Sample:
    """The rows and labels of the question. Raises BadInput as `evaluate` does."""
    verdicts = read_verdicts(question.reports)
    rows = _read(scorer, question.features, question.span)
    if not list(_overlap(scorer, question.span)):  # else it is said loudly that the figures flatter
        require_disjoint(question.features, _trained(scorer), rows)
    mature = _mature(rows, question)
    known = _known(question, scorer, rows, verdicts)
    rows = rows.take(mature & ~known)
    if len(rows) == 0:
        raise BadInput(_nothing_left(question, bool(mature.any())))
    found = with_labels(rows, verdicts, start_of(question.as_of) if question.as_of else None)
    stands = found.weight > 0
    rows, y, weight = found.rows.take(stands), found.y[stands], found.weight[stands]
    if len(rows) == 0:
        raise BadInput(f"no payment from {question.span} has a label: all were denied; choose other days")
    types = fraud_types(rows, y, question.reports)
    said = [*_overlap(scorer, question.span), *_young(question, verdicts)]
    left_out = int((mature & known).sum()), int((~mature).sum())
    return Sample(rows, y, weight, types, *left_out, found.unlabelled, tuple(said), verdicts)


def measure(
    scorer: Scorer, question: Question, sample: Sample, score: Floats, champion: Champion | None
) -> dict[str, Any]:
    """`evaluate` on rows that were read and scored (n,) before, the champion's scores likewise."""
    model = judged(scorer, scorer, question, sample, score)
    rival = judged(champion.scorer, scorer, question, sample, champion.score) if champion else None
    answer = _own(scorer, question, sample, model)
    served = Served.by(model.found, model.thresholds)
    other = Served.by(rival.found, rival.thresholds) if rival else None
    among, notes = groupings(sample.rows, scorer.manifest.feature_names, sample.types)
    answer["groups"] = group_figures(served, among, other)
    answer["notes"] = notes
    answer |= _bootstrapped(model, rival, champion, question)
    if rival is not None:
        answer["spread_against_champion"] = spread(gaps(answer["folds"], _folds(question, rival)))
    if question.against_simple:
        answer["average_precision_simple"] = _simple(scorer, question.features, sample)
    answer["warnings"] = [*sample.warnings, *answer["calibration"]["warnings"], *_group_warnings(answer)]
    return answer


def judged(scorer: Scorer, model: Scorer, question: Question, sample: Sample, score: Floats) -> Judged:
    """`scorer` on the sample: its own thresholds decide, the costs are those of `model`, asked about."""
    found = scored(sample.rows, sample.y, score, sample.weight)
    return Judged(found, scorer.thresholds, model.manifest.costs, question.alert_rate)


def score_rows(scorer: Scorer, rows: Rows) -> Floats:
    """Scores (n,) of all rows, in chunks."""
    return np.concatenate([scorer.score(part) for part in _chunks(rows.vectors)])


def _own(scorer: Scorer, question: Question, sample: Sample, model: Judged) -> dict[str, Any]:
    found, thresholds = model.found, model.thresholds
    folds = _folds(question, model)
    return {
        "model": scorer.model_id,
        "from": question.span.first.isoformat(),
        "to": question.span.last.isoformat(),
        "excluded_known": sample.n_known,
        "excluded_immature": sample.n_immature,
        "unlabelled": sample.n_unlabelled,
        **metrics.summary(found.y, found.score, found.weight),
        **model.headlines(),
        "alert_rate": question.alert_rate,
        "payers": found.n_payers,
        "fraud_loss": metrics.fraud_loss(found, model.costs),
        **metrics.at_thresholds(found.y, found.score, found.amount, thresholds, found.weight),
        "folds": folds,
        "spread": spread(folds),
        "calibration": reliability(found),
    }


def _folds(question: Question, model: Judged) -> list[dict[str, Any]]:
    return by_week(
        question.span, model.found, model.thresholds, model.costs, question.fold_days, question.alert_rate
    )


def _bootstrapped(
    model: Judged, rival: Judged | None, champion: Champion | None, question: Question
) -> dict[str, Any]:
    """`intervals`, and with a champion `champion` and `against_champion`; empty with 0 replicates."""
    if question.replicates == 0:
        return {}
    both = {"model": model} if rival is None else {"model": model, "champion": rival}
    drawn = resample(both, question.replicates, question.seed)
    answer: dict[str, Any] = {
        "bootstrap": {
            "by": "payer",
            "replicates": question.replicates,
            "level": LEVEL,
            "seed": question.seed,
        },
        "intervals": own_intervals(drawn["model"]),
    }
    if rival is not None and champion is not None:
        answer["champion"] = champion.scorer.model_id
        answer["against_champion"] = differences(model.headlines(), rival.headlines(), drawn)
    return answer


def _group_warnings(answer: Mapping[str, Any]) -> list[str]:
    return [group["warning"] for group in answer["groups"] if group["warning"]]


def _chunks(vectors: NDArray[np.float32]) -> Iterator[NDArray[np.float32]]:
    for at in range(0, len(vectors), _CHUNK):
        yield vectors[at : at + _CHUNK]


def _read(scorer: Scorer, features: Path, span: Span) -> Rows:
    return read_rows(features, span, scorer.manifest.feature_names, scorer.manifest.features_version)


def _mature(rows: Rows, question: Question) -> Mask:
    """(n,) True where every report that will come had MATURE_AFTER to come in before `as_of`."""
    if question.as_of is None:
        return np.ones(len(rows), dtype=np.bool_)
    mature: Mask = rows.day <= np.datetime64(question.as_of - MATURE_AFTER, "D")
    return mature


def _known(question: Question, scorer: Scorer, rows: Rows, verdicts: Verdicts) -> Mask:
    if not question.exclude_known:
        return np.zeros(len(rows), dtype=np.bool_)
    since = start_of(scorer.manifest.train_from)
    occurred = occurred_within(question.features, sorted(verdicts), since, question.span.end)
    return payer_known(rows, verdicts, occurred)


def _nothing_left(question: Question, any_mature: bool) -> str:
    if any_mature:
        return f"--exclude-known: every payer from {question.span} was known; choose other days"
    days = f"{question.span} has had {MATURE_AFTER.days} days"
    return f"--as-of: at {question.as_of} no label from {days}; choose earlier days"


def _overlap(scorer: Scorer, span: Span) -> Iterator[str]:
    trained = _trained(scorer)
    if span.first <= trained.last and trained.first <= span.last:
        yield f"tested on days it was trained on ({trained}): these figures flatter {scorer.model_id}"


def _trained(scorer: Scorer) -> Span:
    return Span(scorer.manifest.train_from, scorer.manifest.train_to)


def _young(question: Question, verdicts: Verdicts) -> Iterator[str]:
    """Whether reports may still come, where no `as_of` said which labels are mature."""
    if question.as_of is not None:
        return
    confirmed = [verdict.confirmed_at for verdict in verdicts.values() if verdict.is_fraud()]
    expected = to_numpy_time(question.span.end + MATURE_AFTER - _CHANCE)
    if not confirmed or max(confirmed) < expected:
        newest = f"is of {max(confirmed).astype('datetime64[D]')}" if confirmed else "does not exist"
        yield (
            f"the newest confirmed report {newest}: labels of the last days may still be missing; "
            "give --as-of, or a newer reports file"
        )


def _simple(scorer: Scorer, features: Path, sample: Sample) -> float | None:
    manifest = scorer.manifest
    train = _read(scorer, features, Span(manifest.train_from, manifest.train_to))
    y = label(train, sample.verdicts, start_of(manifest.as_of))
    return simple_tree_average_precision(train.vectors, y, sample.rows.vectors, sample.y)
