"""From a span of labelled vectors to a model that can be served."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import date
from importlib.metadata import version
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.errors import BadInput
from models import metrics
from models.calibration import Calibration, fit_calibration
from models.candidates import CHOOSES_COLUMNS, Candidate, candidate, fit
from models.costs import APPROVE, DENY, REVIEW, Costs, Thresholds, choose_thresholds, outcome_costs, settled
from models.dataset import Rows, Span
from models.export import export
from models.folds import OutOfTime, out_of_time
from models.params import Recipe, default_recipe
from models.registry import Manifest, Model, sha256
from models.trees_onnx import ML_OPSET, ONNX_OPSET

LIBRARIES = ("numpy", "onnx", "onnxruntime", "scikit-learn")
ENOUGH_FRAUDS = 200
"""Fewer frauds than this in the out-of-time predictions leave the calibration's top a guess."""

Advance = Callable[[str], None]
Floats = NDArray[np.float64]
Labels = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Task:
    """What is asked for, beside the rows. Without a recipe it is `default_recipe`."""

    product: str
    span: Span
    as_of: date
    feature_names: Sequence[str]
    features_version: str
    costs: Costs = field(default_factory=Costs)
    seed: int = 0
    recipe: Recipe | None = None


def train(
    task: Task, rows: Rows, y: Labels, advance: Advance = lambda _: None, weight: Floats | None = None
) -> Model:
    """The model of `rows` (n) with labels `y` (n,) and weights (n,); the same input gives the same bytes.

    `advance` is told of every finished step. Raises BadInput when the labels have one class or the span is
    too short, NotServable for a candidate that is no tree ensemble, ExportRefused when ONNX differs.
    """
    require_both_classes(y, f"{task.span}, as known before {task.as_of}")
    recipe = task.recipe or default_recipe(int(y.sum()), len(y))
    seen = out_of_time(recipe, rows, y, task.seed, weight, advance)
    calibration = fit_calibration(seen.logits, seen.y, seen.weight)
    scores = calibration.probability(seen.logits)
    chosen = choose_thresholds(task.costs, scores, seen.y, seen.amount, seen.days, seen.weight)
    fitted = fit(recipe, rows.vectors, y, task.seed, weight)
    advance("fit on the whole span")
    ensemble = fitted.ensemble()
    thresholds = settled(chosen, calibration.probability(fitted.logits(rows.vectors)), rows.amount)
    onnx = export(fitted.logits, ensemble, rows.vectors, calibration, thresholds, rows.amount)
    trees = ensemble.to_bytes()
    advance("export and compare")
    kinds = [candidate(member.candidate) for member in recipe.members]
    manifest = Manifest(
        product=task.product,
        candidate=recipe.candidate,
        features_version=task.features_version,
        feature_names=tuple(task.feature_names),
        thresholds=thresholds,
        calibration=calibration,
        costs=task.costs,
        train_from=task.span.first,
        train_to=task.span.last,
        as_of=task.as_of,
        n=len(y),
        n_frauds=int(y.sum()),
        data_sha256=fingerprint(rows, y),
        metrics=_out_of_time_metrics(task.costs, seen, scores, thresholds),
        warnings=tuple(warnings(seen)),
        seed=task.seed,
        params={**_stated(recipe, kinds), "n_trees": len(ensemble.roots)},
        libraries=_libraries(recipe, kinds),
        opset={"ai.onnx": ONNX_OPSET, "ai.onnx.ml": ML_OPSET},
        onnx_sha256=sha256(onnx),
        trees_sha256=sha256(trees),
    )
    return Model(manifest.identified(), onnx, trees)


def require_both_classes(y: Labels, what: str) -> None:
    """Raises BadInput when there is no fraud among the labels, or nothing else."""
    if not y.any():
        raise BadInput(f"--reports: no confirmed fraud in {what}; choose more days or a later --as-of")
    if y.all():
        raise BadInput(f"--reports: every transaction in {what} is a fraud; honest ones are needed too")


def _stated(recipe: Recipe, kinds: Sequence[Candidate]) -> dict[str, Any]:
    """The recipe with every setting of its members."""
    members = [
        {**asdict(member), "params": {**kind.params, **member.params}}
        for member, kind in zip(recipe.members, kinds, strict=True)
    ]
    return {**asdict(recipe), "members": members}


def _libraries(recipe: Recipe, kinds: Sequence[Candidate]) -> dict[str, str]:
    found = {name: version(name) for name in LIBRARIES}
    chosen = [candidate(CHOOSES_COLUMNS)] if any(member.features for member in recipe.members) else []
    for kind in [*kinds, *chosen]:
        found |= kind.libraries
    return dict(sorted(found.items()))


def fingerprint(rows: Rows, y: Labels) -> str:
    """Hex SHA-256 of what the model is made from: vectors, amounts, times and labels, in their order."""
    digest = hashlib.sha256()
    for column in (rows.vectors, rows.amount, rows.occurred_at.astype(np.int64), y):
        digest.update(np.ascontiguousarray(column).data)
    return digest.hexdigest()


def warnings(seen: OutOfTime) -> list[str]:
    """What whoever serves the model should know of its making; it stays with the model."""
    frauds = int(seen.y.sum())
    if frauds >= ENOUGH_FRAUDS:
        return []
    return [
        f"calibration and thresholds rest on {frauds} frauds, fewer than {ENOUGH_FRAUDS}: "
        "read scores as a ranking, and train on a longer span"
    ]


def _out_of_time_metrics(
    costs: Costs, seen: OutOfTime, scores: Floats, thresholds: Thresholds
) -> dict[str, Any]:
    return {
        "folds": seen.n_folds,
        "log_loss_uncalibrated": metrics.log_loss(
            seen.y, Calibration().probability(seen.logits), seen.weight
        ),
        **metrics.summary(seen.y, scores, seen.weight),
        "policy": policy_metrics(costs, seen, scores, thresholds),
    }


def policy_metrics(costs: Costs, seen: OutOfTime, scores: Floats, thresholds: Thresholds) -> dict[str, float]:
    """What the thresholds do to these rows, a day: counts, and BRL beside approving all of them."""
    outcomes = thresholds.outcome(scores, seen.amount)
    w = seen.weight
    table = outcome_costs(costs, seen.y, seen.amount) * w[:, None]
    cost = float(table[np.arange(len(outcomes)), outcomes].sum())
    caught = seen.y & (outcomes != APPROVE)
    return {
        "reviews_a_day": float(w[outcomes == REVIEW].sum() / seen.days),
        "denials_a_day": float(w[outcomes == DENY].sum() / seen.days),
        "honest_stopped_a_day": float(w[(outcomes != APPROVE) & ~seen.y].sum() / seen.days),
        "frauds_stopped_share": float(w[caught].sum() / max(1.0, w[seen.y].sum())),
        "cost_a_day": cost / seen.days,
        "cost_a_day_approving_all": float(table[:, APPROVE].sum() / seen.days),
    }
