"""LightGBM's trees as one ONNX TreeEnsembleRegressor that takes the same branches on every float32 input.

LightGBM compares in double, ONNX Runtime in float32. Two facts of LightGBM's predictor (its `Predictor`
and `Tree::NumericalDecision`) are carried over, so that the branches are equal and not only close:

* an input with \\|x\\| <= 1e-35 is read as 0;
* NaN is read as 0 where training saw no NaN (missing type None), and else goes to the split's default side.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

from features.errors import VigiaError

INPUT, OUTPUT = "features", "logit"
ONNX_OPSET, ML_OPSET, IR_VERSION = 17, 3, 8  # read by every ONNX Runtime since 1.14
_ZERO = float(np.float32(1e-35))  # LightGBM's kZeroThreshold


class ExportRefused(VigiaError):
    """The ONNX model would not decide as the trained one does; nothing was written."""


def float32_threshold(threshold: float) -> float:
    """The float32 t' with (x <= t') == (LightGBM's comparison of x with `threshold`) for every float32 x."""
    if 0 <= threshold <= _ZERO:
        return _ZERO
    if -_ZERO <= threshold < 0:
        return float(np.nextafter(np.float32(-_ZERO), np.float32(-np.inf)))
    with np.errstate(over="ignore", under="ignore"):
        nearest = np.float32(threshold)
        below = np.nextafter(nearest, np.float32(-np.inf))
    return float(below if float(nearest) > threshold else nearest)


@dataclass
class _Ensemble:
    """The parallel lists of ONNX's TreeEnsembleRegressor, named as its attributes."""

    nodes_treeids: list[int] = field(default_factory=list)
    nodes_nodeids: list[int] = field(default_factory=list)
    nodes_featureids: list[int] = field(default_factory=list)
    nodes_values: list[float] = field(default_factory=list)
    nodes_modes: list[str] = field(default_factory=list)
    nodes_truenodeids: list[int] = field(default_factory=list)
    nodes_falsenodeids: list[int] = field(default_factory=list)
    nodes_missing_value_tracks_true: list[int] = field(default_factory=list)
    target_treeids: list[int] = field(default_factory=list)
    target_nodeids: list[int] = field(default_factory=list)
    target_ids: list[int] = field(default_factory=list)
    target_weights: list[float] = field(default_factory=list)

    def add_tree(self, tree: int, root: Mapping[str, Any]) -> None:
        """Append one tree in pre-order; deep trees do not recurse."""
        waiting: list[tuple[Mapping[str, Any], int | None, bool]] = [(root, None, False)]
        first = len(self.nodes_treeids)
        while waiting:
            node, parent, is_left = waiting.pop()
            here = len(self.nodes_treeids) - first
            if parent is not None:
                side = self.nodes_truenodeids if is_left else self.nodes_falsenodeids
                side[first + parent] = here
            if "split_feature" in node:
                self._add_split(tree, here, node)
                waiting += [(node["right_child"], here, False), (node["left_child"], here, True)]
            else:
                self._add_leaf(tree, here, float(node["leaf_value"]))

    def _add_node(
        self, tree: int, here: int, mode: str, feature: int, value: float, missing_left: bool
    ) -> None:
        self.nodes_treeids.append(tree)
        self.nodes_nodeids.append(here)
        self.nodes_modes.append(mode)
        self.nodes_featureids.append(feature)
        self.nodes_values.append(value)
        self.nodes_truenodeids.append(0)
        self.nodes_falsenodeids.append(0)
        self.nodes_missing_value_tracks_true.append(int(missing_left))

    def _add_split(self, tree: int, here: int, node: Mapping[str, Any]) -> None:
        threshold = float32_threshold(float(node["threshold"]))
        self._add_node(tree, here, "BRANCH_LEQ", int(node["split_feature"]), threshold, _missing_left(node))

    def _add_leaf(self, tree: int, here: int, value: float) -> None:
        self._add_node(tree, here, "LEAF", 0, 0.0, False)
        self.target_treeids.append(tree)
        self.target_nodeids.append(here)
        self.target_ids.append(0)
        self.target_weights.append(value)


def _missing_left(node: Mapping[str, Any]) -> bool:
    if node["decision_type"] != "<=":
        raise ExportRefused(f"splits of type {node['decision_type']!r} are not exported; use numbers only")
    if node["missing_type"] == "None":
        return float(node["threshold"]) >= 0.0  # NaN is read as 0
    if node["missing_type"] == "NaN":
        return bool(node["default_left"])
    raise ExportRefused(f"missing type {node['missing_type']!r} is not exported; leave zero_as_missing off")


def to_onnx(dump: Mapping[str, Any], n_features: int) -> onnx.ModelProto:
    """`Booster.dump_model()` as a model with input float32 (n, k) and output float32 (n, 1), the raw logit.

    Raises ExportRefused for categorical splits and for zero_as_missing.
    """
    ensemble = _Ensemble()
    for tree, info in enumerate(dump["tree_info"]):
        ensemble.add_tree(tree, info["tree_structure"])
    node = helper.make_node(
        "TreeEnsembleRegressor",
        [INPUT],
        [OUTPUT],
        domain="ai.onnx.ml",
        n_targets=1,
        aggregate_function="SUM",
        post_transform="NONE",
        **vars(ensemble),
    )
    graph = helper.make_graph(
        [node],
        "vigia",
        [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, [None, n_features])],
        [helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, [None, 1])],
    )
    opsets = [helper.make_opsetid("", ONNX_OPSET), helper.make_opsetid("ai.onnx.ml", ML_OPSET)]
    model = helper.make_model(graph, opset_imports=opsets, producer_name="vigia", ir_version=IR_VERSION)
    onnx.checker.check_model(model)
    return model


def splits(dump: Mapping[str, Any]) -> Iterator[tuple[int, float]]:
    """Every (feature column, threshold) of every tree."""
    waiting = [info["tree_structure"] for info in dump["tree_info"]]
    while waiting:
        node = waiting.pop()
        if "split_feature" in node:
            yield int(node["split_feature"]), float(node["threshold"])
            waiting += [node["left_child"], node["right_child"]]
