"""Logistic regression on signed logarithms: the model that all others must beat.

A vector's values are skewed and partly unknown, so each becomes sign(x)·log(1 + |x|), scaled by its training
mean and spread, with the mean for NaN and a column of its own that says "unknown". Its ONNX is a small graph.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import sklearn
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from sklearn.linear_model import LogisticRegression

from models.candidates.base import Candidate, Floats, Labels, NotServable, Params, Trial, Vectors
from models.params import LOGISTIC
from models.trees import Ensemble
from models.trees_onnx import INPUT, IR_VERSION, ONNX_OPSET, OUTPUT

_MOST = 1e6  # a value beyond it reads as it, so that no single one decides


@dataclass(frozen=True, slots=True, eq=False)
class Logistic:
    """Weights of the scaled values (k,) and of their being unknown (k,)."""

    weight: Floats
    weight_unknown: Floats
    mean: Floats
    spread: Floats
    bias: float

    def logits(self, vectors: Vectors) -> Floats:
        """See Fitted."""
        unknown = np.isnan(vectors)
        scaled = np.where(unknown, 0.0, (_squashed(vectors) - self.mean) / self.spread)
        logits: Floats = scaled @ self.weight + unknown @ self.weight_unknown + self.bias
        return logits

    def ensemble(self) -> Ensemble:
        """Raises NotServable: there are no trees."""
        raise NotServable("logistic regression has no trees; it is measured for comparison only")

    def onnx(self, shift: float = 0.0) -> onnx.ModelProto:
        """See Fitted."""
        constants = {
            "most": np.array(_MOST),
            "least": np.array(-_MOST),
            "one": np.array(1.0),
            "zero": np.array(0.0),
            "mean": self.mean,
            "spread": self.spread,
            "weight": self.weight[:, None],
            "weight_unknown": self.weight_unknown[:, None],
            "bias": np.array(self.bias + shift),
        }
        k = len(self.weight)
        graph = helper.make_graph(
            [helper.make_node(kind, inputs, [output], **extra) for kind, inputs, output, extra in _STEPS],
            "vigia",
            [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, [None, k])],
            [helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, [None, 1])],
            [numpy_helper.from_array(value.astype(np.float64), name) for name, value in constants.items()],
        )
        opsets = [helper.make_opsetid("", ONNX_OPSET)]
        model = helper.make_model(graph, opset_imports=opsets, producer_name="vigia", ir_version=IR_VERSION)
        onnx.checker.check_model(model)
        return model


_STEPS: tuple[tuple[str, list[str], str, dict[str, Any]], ...] = (
    ("Cast", [INPUT], "x", {"to": TensorProto.DOUBLE}),
    ("IsNaN", ["x"], "unknown", {}),
    ("Cast", ["unknown"], "is_unknown", {"to": TensorProto.DOUBLE}),
    ("Clip", ["x", "least", "most"], "clipped", {}),
    ("Abs", ["clipped"], "size", {}),
    ("Add", ["size", "one"], "size_and_one", {}),
    ("Log", ["size_and_one"], "log", {}),
    ("Sign", ["clipped"], "sign", {}),
    ("Mul", ["sign", "log"], "squashed", {}),
    ("Sub", ["squashed", "mean"], "centred", {}),
    ("Div", ["centred", "spread"], "scaled", {}),
    ("Where", ["unknown", "zero", "scaled"], "filled", {}),
    ("MatMul", ["filled", "weight"], "known_part", {}),
    ("MatMul", ["is_unknown", "weight_unknown"], "unknown_part", {}),
    ("Add", ["known_part", "unknown_part"], "both_parts", {}),
    ("Add", ["both_parts", "bias"], "sum", {}),
    ("Cast", ["sum"], OUTPUT, {"to": TensorProto.FLOAT}),
)


def _squashed(vectors: Vectors) -> Floats:
    x = np.clip(vectors.astype(np.float64), -_MOST, _MOST)
    squashed: Floats = np.sign(x) * np.log(1.0 + np.abs(x))
    return squashed


def _mean_and_spread(values: Floats, known: NDArray[np.bool_]) -> tuple[Floats, Floats]:
    count = np.maximum(known.sum(axis=0), 1)
    mean = np.where(known, values, 0.0).sum(axis=0) / count
    spread = np.sqrt((np.where(known, values - mean, 0.0) ** 2).sum(axis=0) / count)
    return mean, np.where(spread > 0, spread, 1.0)


def fit(vectors: Vectors, y: Labels, weight: Floats | None, params: Params, seed: int) -> Logistic:
    """`params` are scikit-learn's C and max_iter; the solver draws nothing, so `seed` changes nothing."""
    known, values = ~np.isnan(vectors), _squashed(vectors)
    mean, spread = _mean_and_spread(values, known)
    columns = np.hstack([np.where(known, (values - mean) / spread, 0.0), ~known])
    model = LogisticRegression(**params, random_state=seed).fit(columns, y, sample_weight=weight)
    k = vectors.shape[1]
    return Logistic(model.coef_[0, :k], model.coef_[0, k:], mean, spread, float(model.intercept_[0]))


def space(trial: Trial) -> dict[str, Any]:
    """The inverse of the shrinkage."""
    return {"C": trial.suggest_float("C", 1e-4, 10.0, log=True)}


CANDIDATE = Candidate("logistic", {"scikit-learn": sklearn.__version__}, LOGISTIC, space, fit, servable=False)
