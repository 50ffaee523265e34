"""LightGBM's trees as an Ensemble.

LightGBM compares in double; the inputs are float32. Two facts of its predictor (`Predictor` and
`Tree::NumericalDecision`) are carried over, so that the branches are equal and not only close:

* an input with \\|x\\| <= 1e-35 is read as 0;
* NaN is read as 0 where training saw no NaN (missing type None), and else goes to the split's default side.
"""

from collections.abc import Mapping
from typing import Any

import lightgbm as lgb
import numpy as np
from numpy.typing import NDArray

from models.trees import LEAF, Ensemble, ExportRefused, Tree, floor_float32

_ZERO = float(np.float32(1e-35))  # LightGBM's kZeroThreshold

Node = Mapping[str, Any]


def raw_logits(booster: lgb.Booster, vectors: NDArray[np.float32]) -> NDArray[np.float64]:
    """LightGBM's raw logits (n,) of vectors (n, k)."""
    return np.asarray(booster.predict(vectors, raw_score=True), dtype=np.float64)


def read(booster: lgb.Booster) -> Ensemble:
    """The trees that `Booster.predict` uses by default.

    Raises ExportRefused for categorical splits, linear trees, random forest mode and zero_as_missing.
    """
    return from_dump(booster.dump_model())


def from_dump(dump: Mapping[str, Any]) -> Ensemble:
    """As `read`, from `Booster.dump_model()`."""
    if dump.get("average_output") or dump.get("num_tree_per_iteration", 1) != 1:
        raise ExportRefused("boosting type rf and many classes are not exported; use objective binary")
    return Ensemble.of(_tree(info["tree_structure"]) for info in dump["tree_info"])


def float32_threshold(threshold: float) -> float:
    """The float32 t' with (x <= t') == (LightGBM's comparison of x with `threshold`) for every float32 x."""
    if 0 <= threshold <= _ZERO:
        return _ZERO
    if -_ZERO <= threshold < 0:
        return float(np.nextafter(np.float32(-_ZERO), np.float32(-np.inf)))
    return float(floor_float32(np.array([threshold]))[0])


def _tree(root: Node) -> Tree:
    """The nodes in pre-order; deep trees do not recurse."""
    nodes: list[Node] = []
    sides: list[list[int]] = []  # left and right child of each
    waiting: list[tuple[Node, int, int]] = [(root, -1, 0)]
    while waiting:
        node, parent, side = waiting.pop()
        here = len(nodes)
        nodes.append(node)
        sides.append([0, 0])
        if parent >= 0:
            sides[parent][side] = here
        if "split_feature" in node:
            waiting += [(node["right_child"], here, 1), (node["left_child"], here, 0)]
        elif "leaf_coeff" in node:
            raise ExportRefused("linear trees are not exported; leave linear_tree off")
    left, right = np.array(sides).T
    columns = (np.array(column) for column in zip(*map(_split_or_leaf, nodes), strict=True))
    feature, threshold, missing_left, value, cover = columns
    return Tree(feature, threshold.astype(np.float32), missing_left, left, right, value, cover)


def _split_or_leaf(node: Node) -> tuple[int, float, bool, float, float]:
    """Feature, threshold, missing_left, value and cover."""
    if "split_feature" not in node:
        return LEAF, 0.0, False, float(node["leaf_value"]), float(node.get("leaf_count", 1))
    threshold = float32_threshold(float(node["threshold"]))
    return int(node["split_feature"]), threshold, _missing_left(node), 0.0, float(node["internal_count"])


def _missing_left(node: Node) -> bool:
    if node["decision_type"] != "<=":
        raise ExportRefused(f"splits of type {node['decision_type']!r} are not exported; use numbers only")
    if node["missing_type"] == "None":
        return float(node["threshold"]) >= 0.0  # NaN is read as 0
    if node["missing_type"] == "NaN":
        return bool(node["default_left"])
    raise ExportRefused(f"missing type {node['missing_type']!r} is not exported; leave zero_as_missing off")
