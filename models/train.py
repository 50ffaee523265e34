"""From a span of labelled vectors to a model that can be served."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import partial
from importlib.metadata import version
from typing import Any

import lightgbm as lgb
import numpy as np
from numpy.typing import NDArray

from features.errors import BadInput
from models import metrics
from models.calibration import Calibration, fit_calibration
from models.costs import Costs, Thresholds, choose_thresholds, settle
from models.dataset import Rows, Span
from models.export import export
from models.folds import OutOfTime, out_of_time
from models.params import PARAMS
from models.registry import Manifest, Model, sha256
from models.trees_lightgbm import raw_logits, read
from models.trees_onnx import ML_OPSET, ONNX_OPSET

LIBRARIES = ("lightgbm", "numpy", "onnx", "onnxruntime", "scikit-learn")

Advance = Callable[[str], None]
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Task:
    """What is asked for, beside the rows."""

    product: str
    span: Span
    as_of: date
    feature_names: Sequence[str]
    features_version: str
    costs: Costs = field(default_factory=Costs)
    seed: int = 0


def train(task: Task, rows: Rows, y: NDArray[np.bool_], advance: Advance = lambda _: None) -> Model:
    """The model of `rows` (n) with labels `y` (n,); the same input gives the same bytes.

    `advance` is told of every finished step. Raises BadInput when the labels have one class or the span is
    too short, ExportRefused when ONNX and LightGBM differ.
    """
    require_both_classes(y, f"{task.span}, as known before {task.as_of}")
    folds = out_of_time(rows, y, task.seed, advance)
    calibration = fit_calibration(folds.logits, folds.y)
    scores = calibration.probability(folds.logits)
    chosen = choose_thresholds(task.costs, scores, folds.y, folds.amount)
    params = {**PARAMS, "seed": task.seed}
    booster = lgb.train(params, lgb.Dataset(rows.vectors, y), num_boost_round=folds.n_trees)
    advance("fit on the whole span")
    thresholds = _settled(chosen, calibration.probability(raw_logits(booster, rows.vectors)))
    ensemble = read(booster)
    content = export(partial(raw_logits, booster), ensemble, rows.vectors, calibration, thresholds)
    trees = ensemble.to_bytes()
    advance("export and compare")
    manifest = Manifest(
        product=task.product,
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
        metrics=_out_of_time_metrics(folds, scores, thresholds),
        seed=task.seed,
        params={**PARAMS, "n_trees": folds.n_trees},
        libraries={name: version(name) for name in LIBRARIES},
        opset={"ai.onnx": ONNX_OPSET, "ai.onnx.ml": ML_OPSET},
        onnx_sha256=sha256(content),
        trees_sha256=sha256(trees),
    )
    return Model(manifest.identified(), content, trees)


def require_both_classes(y: NDArray[np.bool_], what: str) -> None:
    """Raises BadInput when there is no fraud among the labels, or nothing else."""
    if not y.any():
        raise BadInput(f"--reports: no confirmed fraud in {what}; choose more days or a later --as-of")
    if y.all():
        raise BadInput(f"--reports: every transaction in {what} is a fraud; honest ones are needed too")


def _settled(chosen: Thresholds, scores: Floats) -> Thresholds:
    review = settle(chosen.review, scores)
    return Thresholds(review, max(review, settle(chosen.deny, scores)))


def _out_of_time_metrics(folds: OutOfTime, scores: Floats, thresholds: Thresholds) -> dict[str, Any]:
    return {
        "folds": folds.n_folds,
        "log_loss_uncalibrated": metrics.log_loss(folds.y, Calibration().probability(folds.logits)),
        **metrics.summary(folds.y, scores),
        **metrics.at_thresholds(folds.y, scores, folds.amount, thresholds),
    }
