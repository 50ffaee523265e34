"""All candidates on the same out-of-time folds: how well they rank, how fast they score, what may serve."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models import metrics
from models.calibration import fit_calibration
from models.candidates import NAMES, NotServable, fit
from models.candidates.stack import stacked
from models.dataset import Rows
from models.folds import OutOfTime, out_of_time
from models.params import Recipe, candidate_recipe, default_recipe
from models.scorer import open_session, run_session

BATCH, RUNS = 256, 300
"""A worker's batch under load, and how often it is scored to find the 99th percentile."""

Labels = NDArray[np.bool_]
Floats = NDArray[np.float64]
Vectors = NDArray[np.float32]
Advance = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Result:
    """What one contender did. `latency_ms` is the 99th percentile of a batch of 256, None without ONNX."""

    name: str
    average_precision: float | None
    spread: float | None
    average_precision_after_first: float | None
    roc_auc: float | None
    log_loss: float
    seconds: float | None
    latency_ms: float | None
    trees: int | None
    servable: bool

    def as_json(self) -> dict[str, Any]:
        """Its fields."""
        return {name: getattr(self, name) for name in self.__slots__}


def compare(
    rows: Rows,
    y: Labels,
    seed: int,
    latency_ms: float,
    recipes: Mapping[str, Recipe],
    advance: Advance = lambda _: None,
    weight: Floats | None = None,
) -> dict[str, Any]:
    """{contenders: [...], champion, latency_ms, batch}: the best first; the stack is the last.

    `recipes` is name → recipe (see `contenders`). The champion is the servable one of highest mean average
    precision over the folds whose `latency_ms` is within the budget; None when none is.
    """
    results, predictions = [], []
    for name, recipe in recipes.items():
        result, seen = _measure(name, recipe, rows, y, seed, weight)
        results.append(result)
        predictions.append(seen)
        advance(name)
    results.sort(key=lambda result: -(result.average_precision or 0.0))
    fit_in = [r for r in results if r.servable and r.latency_ms is not None and r.latency_ms <= latency_ms]
    stack = _stack(list(recipes), predictions)
    return {
        "contenders": [result.as_json() for result in (*results, *stack)],
        "champion": fit_in[0].name if fit_in else None,
        "latency_ms": latency_ms,
        "batch": BATCH,
    }


def contenders(n_frauds: int, n: int) -> dict[str, Recipe]:
    """The default recipe, each candidate with its own settings, and LightGBM's other ways with imbalance.

    All draw from the honest rows but the last two, which see every row: as they are, and with frauds weighted
    by the root of the honest rows a fraud.
    """
    alone = {name: candidate_recipe(name, n_frauds, n) for name in NAMES}
    (light,) = alone["lightgbm"].members
    whole = Recipe((replace(light, honest_share=1.0),))
    weighted = replace(whole, fraud_weight=max(1.0, (n / max(1, n_frauds)) ** 0.5))
    return {
        "default": default_recipe(n_frauds, n),
        **alone,
        "lightgbm, all rows": whole,
        "lightgbm, weights": weighted,
    }


def _measure(
    name: str, recipe: Recipe, rows: Rows, y: Labels, seed: int, weight: Floats | None
) -> tuple[Result, OutOfTime]:
    seen = out_of_time(recipe, rows, y, seed, weight)
    began = time.perf_counter()
    fitted = fit(recipe, rows.vectors, y, seed, weight)
    seconds = time.perf_counter() - began
    try:
        trees, servable = len(fitted.ensemble().roots), True
    except NotServable:
        trees, servable = 0, False
    latency = batch_latency_ms(fitted.onnx().SerializeToString(), rows.vectors)
    result = _result(name, seen, seen.logits)
    return replace(result, seconds=seconds, latency_ms=latency, trees=trees, servable=servable), seen


def batch_latency_ms(content: bytes, vectors: Vectors) -> float:
    """The 99th percentile of ONNX Runtime's milliseconds for a batch of 256 of `vectors`, on one thread."""
    session = open_session(content)
    starts = np.random.default_rng(0).integers(0, max(1, len(vectors) - BATCH), RUNS)
    spent = []
    for start in starts:
        batch = np.ascontiguousarray(vectors[start : start + BATCH])
        began = time.perf_counter()
        run_session(session, batch)
        spent.append(time.perf_counter() - began)
    return float(np.percentile(spent, 99) * 1e3)


def _result(name: str, seen: OutOfTime, logits: Floats) -> Result:
    known = ~np.isnan(logits)
    y, fold, w = seen.y[known], seen.fold[known], seen.weight[known]
    by_fold = [
        metrics.average_precision(y[fold == k], logits[known][fold == k], w[fold == k])
        for k in np.unique(fold)
    ]
    found = [value for value in by_fold if value is not None]
    after = [v for k, v in zip(np.unique(fold), by_fold, strict=True) if k > 0 and v is not None]
    scores = fit_calibration(logits[known], y, w).probability(logits[known])
    return Result(
        name,
        float(np.mean(found)) if found else None,
        float(np.std(found)) if found else None,
        float(np.mean(after)) if after else None,
        metrics.roc_auc(y, scores, w),
        metrics.log_loss(y, scores, w),
        None, None, None, False,
    )  # fmt: skip


def _stack(names: Sequence[str], predictions: Sequence[OutOfTime]) -> list[Result]:
    """The stack of the candidates; nothing where there is one, or where one fold cannot teach another."""
    parts = [seen.logits for name, seen in zip(names, predictions, strict=True) if name in NAMES]
    if len(parts) < 2:
        return []
    seen = predictions[0]
    logits = stacked(parts, seen.y, seen.fold)
    if np.isnan(logits).all() or not seen.y[~np.isnan(logits)].any():
        return []
    result = _result("stack", seen, logits)
    return [replace(result, average_precision=None, spread=None)]
