"""XGBoost's trees as an Ensemble.

XGBoost compares in float32 as we do, but x < t goes left; NaN goes to the split's default side. A node's
cover is the sum of its rows' Hessians, for so XGBoost's own SHAP weighs them.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import orjson
import xgboost as xgb
from numpy.typing import NDArray

from models.trees import LEAF, Ensemble, ExportRefused, Tree


def raw_logits(booster: xgb.Booster, vectors: NDArray[np.float32]) -> NDArray[np.float64]:
    """XGBoost's raw logits (n,), by all of its trees, of vectors (n, k)."""
    margin = booster.inplace_predict(vectors, predict_type="margin", validate_features=False)
    return np.asarray(margin, dtype=np.float64)


def read(booster: xgb.Booster) -> Ensemble:
    """All trees of the booster; one that stopped early is to be cut before (`booster[:best_iteration + 1]`).

    Raises ExportRefused for other objectives than binary:logistic, other boosters than gbtree, and
    categorical splits.
    """
    learner = orjson.loads(booster.save_raw("json"))["learner"]
    kind = f"{learner['gradient_booster']['name']} {learner['objective']['name']}"
    if kind != "gbtree binary:logistic":
        raise ExportRefused(f"{kind!r} is not exported; use gbtree with binary:logistic")
    trees = learner["gradient_booster"]["model"]["trees"]
    return Ensemble.of(map(_tree, trees), _base(learner["learner_model_param"]["base_score"]))


def _base(base_score: str) -> float:
    """A probability, alone or in a list (since 3.1), as the logit that every row begins with."""
    p = float(np.float32(orjson.loads(base_score.strip("[]"))))
    return float(np.log(p / (1.0 - p)))


def _tree(tree: Mapping[str, Any]) -> Tree:
    """Without the nodes that pruning cut off and XGBoost keeps."""
    left, right = (np.array(tree[f"{side}_children"]) for side in ("left", "right"))
    kept = _reached(left, right)
    number = np.zeros(len(left), np.intp)
    number[kept] = np.arange(len(kept))
    left, right, split_type = left[kept], right[kept], np.array(tree["split_type"])[kept]
    leaf = left < 0
    if (split_type[~leaf] != 0).any():
        raise ExportRefused("categorical splits are not exported; use numbers only")
    condition = np.array(tree["split_conditions"], dtype=np.float32)[kept]
    with np.errstate(over="ignore", under="ignore"):
        below = np.nextafter(condition, np.float32(-np.inf))
    return Tree(
        np.where(leaf, LEAF, np.array(tree["split_indices"])[kept]),
        np.where(leaf, np.float32(0), below),
        np.array(tree["default_left"], dtype=np.bool_)[kept],
        np.where(leaf, 0, number[left]),
        np.where(leaf, 0, number[right]),
        np.where(leaf, condition, 0.0).astype(np.float64),
        np.array(tree["sum_hessian"], dtype=np.float32)[kept].astype(np.float64),
    )


def _reached(left: NDArray[np.integer], right: NDArray[np.integer]) -> list[int]:
    reached, waiting = [], [0]
    while waiting:
        node = waiting.pop()
        reached.append(node)
        if left[node] >= 0:
            waiting += [int(right[node]), int(left[node])]
    return reached
