"""An Ensemble as one ONNX TreeEnsembleRegressor that takes the same branches on every float32 input."""

from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from models.trees import LEAST_PROBABILITY, Ensemble

INPUT, OUTPUT = "features", "logit"
ONNX_OPSET, ML_OPSET, IR_VERSION = 17, 3, 8  # read by every ONNX Runtime since 1.14

_SUMS, _KEPT, _LOGS = "sums", "kept", "logs"


def to_onnx(ensemble: Ensemble, n_features: int) -> onnx.ModelProto:
    """A model with input float32 (n, k) and output float32 (n, 1), the raw logit."""
    nodes, constants = _logit(ensemble) if ensemble.link == "logit" else _logit_of_probability(ensemble)
    graph = helper.make_graph(
        nodes,
        "vigia",
        [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, [None, n_features])],
        [helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, [None, 1])],
        constants,
    )
    opsets = [helper.make_opsetid("", ONNX_OPSET), helper.make_opsetid("ai.onnx.ml", ML_OPSET)]
    model = helper.make_model(graph, opset_imports=opsets, producer_name="vigia", ir_version=IR_VERSION)
    onnx.checker.check_model(model)
    return model


def _logit(ensemble: Ensemble) -> tuple[list[onnx.NodeProto], list[onnx.TensorProto]]:
    weights = ensemble.value[ensemble.is_leaf]
    base = {"base_values": [ensemble.base]} if ensemble.base else {}
    return [_regressor(ensemble, OUTPUT, weights[:, None], **base)], []


def _logit_of_probability(ensemble: Ensemble) -> tuple[list[onnx.NodeProto], list[onnx.TensorProto]]:
    """log p - log(1 - p), with 1 - p summed from the leaves as p is: in float32 it would lose its digits."""
    p = ensemble.value[ensemble.is_leaf]
    weights = np.column_stack([p, 1.0 / len(ensemble.roots) - p])
    constants = {"least": np.float32(LEAST_PROBABILITY), "sides": np.array([[1], [-1]], np.float32)}
    nodes = [
        _regressor(ensemble, _SUMS, weights),
        helper.make_node("Clip", [_SUMS, "least"], [_KEPT]),
        helper.make_node("Log", [_KEPT], [_LOGS]),
        helper.make_node("MatMul", [_LOGS, "sides"], [OUTPUT]),
    ]
    return nodes, [numpy_helper.from_array(np.asarray(array), name) for name, array in constants.items()]


def _regressor(ensemble: Ensemble, output: str, weights: np.ndarray[Any, Any], **more: Any) -> onnx.NodeProto:
    """The sums of the leaves' `weights` (leaves, targets), in the order of the nodes."""
    leaf, size = ensemble.is_leaf, np.diff([*ensemble.roots, len(ensemble.feature)])
    tree, root = np.repeat(np.arange(len(size)), size), np.repeat(ensemble.roots, size)
    local, targets = np.arange(len(leaf)) - root, weights.shape[1]
    return helper.make_node(
        "TreeEnsembleRegressor",
        [INPUT],
        [output],
        domain="ai.onnx.ml",
        n_targets=targets,
        aggregate_function="SUM",
        post_transform="NONE",
        nodes_treeids=tree.tolist(),
        nodes_nodeids=local.tolist(),
        nodes_featureids=np.where(leaf, 0, ensemble.feature).tolist(),
        nodes_values=np.where(leaf, np.float32(0), ensemble.threshold).tolist(),
        nodes_modes=np.where(leaf, "LEAF", "BRANCH_LEQ").tolist(),
        nodes_truenodeids=np.where(leaf, 0, ensemble.left - root).tolist(),
        nodes_falsenodeids=np.where(leaf, 0, ensemble.right - root).tolist(),
        nodes_missing_value_tracks_true=(ensemble.missing_left & ~leaf).astype(int).tolist(),
        target_treeids=np.repeat(tree[leaf], targets).tolist(),
        target_nodeids=np.repeat(local[leaf], targets).tolist(),
        target_ids=np.tile(np.arange(targets), int(leaf.sum())).tolist(),
        target_weights=weights.ravel().tolist(),
        **more,
    )
