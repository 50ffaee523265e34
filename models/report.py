"""Everything that a report shows, as one JSON-able dict: `evaluate`'s answer and the points of the plots."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from features.catalog import FAMILIES
from features.errors import BadInput
from models import curves
from models.bootstrap import Judged
from models.dataset import Rows, Span, read_rows
from models.decisions import denied, held_or_denied
from models.drift import psi
from models.evaluate import Champion, Question, Sample, judged, measure, read_sample, score_rows
from models.importance import importance
from models.metrics import average_precision
from models.prequential import weeks
from models.reliability import bins
from models.report_words import verdict
from models.scored import Floats
from models.scorer import Scorer

REFERENCE_DAYS = 7
WATCHED = 8
"""So many of the features that matter most are watched for drift."""

Advance = Callable[[str], None]


def report(
    scorer: Scorer, question: Question, champion: Scorer | None = None, advance: Advance = lambda _: None
) -> dict[str, Any]:
    """The report's content; see docs/evaluation.md. `advance` is told of each of the STEPS that is done.

    Raises BadInput as `evaluate` does.
    """
    sample = read_sample(scorer, question)
    score = score_rows(scorer, sample.rows)
    rival = None if champion is None else Champion(champion, score_rows(champion, sample.rows))
    advance("rows read and scored")
    answer = measure(scorer, question, sample, score, rival)
    advance("measured")
    model = judged(scorer, scorer, question, sample, score)
    other = judged(rival.scorer, scorer, question, sample, rival.score) if rival else None
    answer |= _pictures(model, other)
    answer["importance"] = _importance(scorer, sample, model)
    advance("importance")
    watched = [x["name"] for x in answer["importance"]["features"][:WATCHED]]
    answer["stability"] = _stability(scorer, question, sample, score, watched)
    answer["about"] = _about(scorer)
    answer["verdict"] = verdict(answer)
    advance("stability")
    return answer


STEPS = 4


def _pictures(model: Judged, rival: Judged | None) -> dict[str, Any]:
    found, thresholds = model.found, model.thresholds
    both = {"model": found} if rival is None else {"model": found, "champion": rival.found}
    decided = thresholds, found.score, found.amount
    stopped = {"review": held_or_denied(*decided), "deny": denied(*decided)}
    answer: dict[str, Any] = {
        "roc": {name: curves.roc(x) for name, x in both.items()},
        "precision_recall": {name: curves.precision_recall(x) for name, x in both.items()},
        "confusion": {name: curves.confusion(found, of) for name, of in stopped.items()},
        "reliability": {name: bins(x) for name, x in both.items()},
        "distributions": curves.distributions(found),
    }
    if rival is not None:
        answer["agreement"] = curves.agreement(found, thresholds, rival.found, rival.thresholds)
    return answer


def _importance(scorer: Scorer, sample: Sample, model: Judged) -> dict[str, Any]:
    place = {name: at for at, name in enumerate(scorer.manifest.feature_names)}
    families = {
        family: [place[name] for name in names if name in place] for family, names in FAMILIES.items()
    }
    features = {name: [at] for name, at in place.items()}
    vectors = sample.rows.vectors
    return {
        "families": importance(scorer.score, vectors, model.found, families),
        "features": importance(scorer.score, vectors, model.found, features, repeats=1)[:15],
    }


def _stability(
    scorer: Scorer, question: Question, sample: Sample, score: Floats, watched: list[str]
) -> dict[str, Any]:
    """By week, or by day where the span is one week: average precision, and PSI against `reference`."""
    rows, parts = sample.rows, weeks(question.span, question.fold_days)
    if len(parts) == 1:
        parts = weeks(question.span, 1)
    told, before, before_score = _reference(scorer, question, sample, score, parts[0])
    columns = [scorer.manifest.feature_names.index(name) for name in watched]
    each = []
    for part in parts:
        inside = _within(rows, part)
        if inside.any():
            now = rows.vectors[inside]
            drifts = (psi(before.vectors[:, at], now[:, at]) for at in columns)
            each.append({
                "from": part.first.isoformat(), "to": part.last.isoformat(), "n": int(inside.sum()),
                "average_precision": average_precision(sample.y[inside], score[inside]),
                "psi_score": psi(before_score, score[inside]),
                "psi": dict(zip(watched, drifts, strict=True)),
            })  # fmt: skip
    return {"reference": told, "parts": each}


def _reference(
    scorer: Scorer, question: Question, sample: Sample, score: Floats, first: Span
) -> tuple[str, Rows, Floats]:
    """The last week of the training span; where the file has none of it, the first part of the test."""
    manifest = scorer.manifest
    training = Span(manifest.train_from, manifest.train_to)
    last = weeks(training, REFERENCE_DAYS)[-1]
    try:
        rows = read_rows(question.features, last, manifest.feature_names, manifest.features_version)
    except BadInput:
        inside = _within(sample.rows, first)
        return f"{first} (the training days are not in the file)", sample.rows.take(inside), score[inside]
    return f"{last} (training)", rows, score_rows(scorer, rows)


def _within(rows: Rows, span: Span) -> np.ndarray[Any, np.dtype[np.bool_]]:
    first, last = (np.datetime64(day, "D") for day in (span.first, span.last))
    inside: np.ndarray[Any, np.dtype[np.bool_]] = (rows.day >= first) & (rows.day <= last)
    return inside


def _about(scorer: Scorer) -> Mapping[str, Any]:
    """Where the model came from."""
    manifest = scorer.manifest
    return {
        "product": manifest.product,
        "features_version": manifest.features_version,
        "features": len(manifest.feature_names),
        "train_from": manifest.train_from.isoformat(),
        "train_to": manifest.train_to.isoformat(),
        "as_of": manifest.as_of.isoformat(),
        "n": manifest.n,
        "n_frauds": manifest.n_frauds,
        **manifest.model_dump(mode="json", include={"thresholds", "costs"}),
    }
