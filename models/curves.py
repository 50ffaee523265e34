"""The points of a report's plots, few enough to be drawn and to lie in its JSON."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn import metrics as sk

from models.costs import Thresholds
from models.scored import Floats, Mask, Scored

_CELL = 0.004  # of each axis; of the points within one cell the first is kept
_LOGITS = np.arange(-14.0, 8.01, 0.5)

OUTCOMES = ("APPROVE", "REVIEW", "DENY")


def roc(found: Scored) -> dict[str, list[float]]:
    """Share of the honest stopped (x), share of the frauds caught (y); empty unless there are both."""
    if not found.y.any() or found.y.all():
        return {"x": [], "y": []}
    x, y, _ = sk.roc_curve(found.y, found.score, sample_weight=found.weight)
    return _thin(x, y)


def precision_recall(found: Scored) -> dict[str, list[float]]:
    """Recall (x) and precision (y) from the highest score down; empty without a fraud."""
    if not found.y.any():
        return {"x": [], "y": []}
    precision, recall, _ = sk.precision_recall_curve(found.y, found.score, sample_weight=found.weight)
    return _thin(recall[-2::-1], precision[-2::-1])


def distributions(found: Scored) -> dict[str, list[float]]:
    """Share of each class by its score's logit, in bins between `edges`; the ends take what is beyond."""
    logit = np.clip(np.log(found.score) - np.log1p(-found.score), _LOGITS[0], _LOGITS[-1] - 1e-9)
    answer = {"edges": _LOGITS.tolist()}
    for name, of in (("honest", ~found.y), ("fraud", found.y)):
        counts, _ = np.histogram(logit[of], _LOGITS, weights=found.weight[of])
        answer[name] = (counts / max(counts.sum(), 1e-12)).tolist()
    return answer


def confusion(found: Scored, stopped: Mask) -> dict[str, float]:
    """Sums of weights when the rows `stopped` (n,) are."""
    cells = {
        "frauds_stopped": stopped & found.y,
        "frauds_passed": ~stopped & found.y,
        "honest_stopped": stopped & ~found.y,
        "honest_passed": ~stopped & ~found.y,
    }
    return {name: float(found.weight[of].sum()) for name, of in cells.items()}


def agreement(
    found: Scored, thresholds: Thresholds, rival: Scored, rival_thresholds: Thresholds
) -> list[dict[str, Any]]:
    """Champion's outcome by ours: payments and frauds of each pair that occurs."""
    ours = thresholds.outcome(found.score, found.amount)
    theirs = rival_thresholds.outcome(rival.score, rival.amount)
    cells = []
    for here, our in enumerate(OUTCOMES):
        for there, their in enumerate(OUTCOMES):
            both = (ours == here) & (theirs == there)
            cells.append({"model": our, "champion": their, "n": int(both.sum()),
                          "frauds": int((both & found.y).sum())})  # fmt: skip
    return cells


def _thin(x: Floats, y: Floats) -> dict[str, list[float]]:
    """A point of each cell of a grid, in their order, and the last."""
    cells = np.column_stack([np.floor(x / _CELL), np.floor(y / _CELL)])
    moved = np.concatenate([[True], (np.diff(cells, axis=0) != 0).any(axis=1)])
    moved[-1] = True
    return {"x": _round(x[moved]), "y": _round(y[moved])}


def _round(values: NDArray[np.float64]) -> list[float]:
    return [round(float(value), 5) for value in values]
