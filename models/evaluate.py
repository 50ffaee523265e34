"""A served model's quality on later days, by the labels of every report in the file."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.errors import BadInput
from models import metrics
from models.dataset import Rows, Span, occurred_within, read_rows, start_of
from models.labelled import require_disjoint, with_labels
from models.labels import Verdicts, label, payer_known, read_verdicts
from models.scorer import Scorer
from models.simple_tree import simple_tree_average_precision

_CHUNK = 16_384


@dataclass(frozen=True, slots=True)
class Question:
    """What is to be measured."""

    features: Path
    reports: Path
    span: Span
    exclude_known: bool = False
    against_simple: bool = False


def evaluate(scorer: Scorer, question: Question) -> dict[str, Any]:
    """Metrics of `scorer` over the span: see `metrics.summary` and `metrics.at_thresholds` for the keys.

    With `exclude_known`, payers known as defrauded are left out (`labels.payer_known`). With
    `against_simple`, `average_precision_simple` is a shallow tree's, fitted on the model's training span.
    Raises BadInput for missing files, columns or days, and when no row remains.
    """
    verdicts = read_verdicts(question.reports)
    rows = _read(scorer, question.features, question.span)
    require_disjoint(question.features, Span(scorer.manifest.train_from, scorer.manifest.train_to), rows)
    n_known = 0
    if question.exclude_known:
        out = payer_known(rows, verdicts, _occurred(scorer, question, verdicts))
        n_known, rows = int(out.sum()), rows.take(~out)
        if len(rows) == 0:
            raise BadInput(f"--exclude-known: every payer from {question.span} was known; choose other days")
    known = with_labels(rows, verdicts)
    rows, y, scores = known.rows, known.y, score_rows(scorer, known.rows)
    payer = np.asarray(rows.payer_account.to_numpy(zero_copy_only=False), dtype=np.str_)
    answer: dict[str, Any] = {
        "model": scorer.model_id,
        "from": question.span.first.isoformat(),
        "to": question.span.last.isoformat(),
        "excluded_known": n_known,
        "unlabelled": known.unlabelled,
        **metrics.summary(y, scores),
        "payer_precision_at_100": metrics.payer_precision(y, scores, payer, rows.day),
        **metrics.at_thresholds(y, scores, rows.amount, scorer.thresholds),
    }
    if question.against_simple:
        answer["average_precision_simple"] = _simple(scorer, question.features, verdicts, rows, y)
    return answer


def score_rows(scorer: Scorer, rows: Rows) -> NDArray[np.float64]:
    """Scores (n,) of all rows, in chunks."""
    return np.concatenate([scorer.score(part) for part in _chunks(rows.vectors)])


def _chunks(vectors: NDArray[np.float32]) -> Iterator[NDArray[np.float32]]:
    for at in range(0, len(vectors), _CHUNK):
        yield vectors[at : at + _CHUNK]


def _read(scorer: Scorer, features: Path, span: Span) -> Rows:
    return read_rows(features, span, scorer.manifest.feature_names, scorer.manifest.features_version)


def _occurred(scorer: Scorer, question: Question, verdicts: Verdicts) -> set[str]:
    """The reported transactions that occurred since the training span began."""
    since = start_of(scorer.manifest.train_from)
    return occurred_within(question.features, sorted(verdicts), since, question.span.end)


def _simple(
    scorer: Scorer, features: Path, verdicts: Verdicts, test: Rows, y_test: NDArray[np.bool_]
) -> float | None:
    manifest = scorer.manifest
    train = _read(scorer, features, Span(manifest.train_from, manifest.train_to))
    y = label(train, verdicts, start_of(manifest.as_of))
    return simple_tree_average_precision(train.vectors, y, test.vectors, y_test)
