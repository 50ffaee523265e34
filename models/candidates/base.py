"""What every candidate offers: fit on rows, then logits, trees and ONNX."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import onnx
from numpy.typing import NDArray

from features.errors import BadInput, VigiaError
from models.trees import Ensemble
from models.trees_onnx import to_onnx

Vectors = NDArray[np.float32]
Labels = NDArray[np.bool_]
Floats = NDArray[np.float64]
Params = Mapping[str, Any]


class NotServable(VigiaError):
    """The model is no single tree ensemble: its reasons would not be exact, so it is for comparison only."""


class Fitted(Protocol):
    """A fitted model of vectors (n, k)."""

    def logits(self, vectors: Vectors) -> Floats:
        """Raw logits (n,), as its own library computes them."""

    def ensemble(self) -> Ensemble:
        """Its trees. Raises NotServable when it is something else."""

    def onnx(self, shift: float = 0.0) -> onnx.ModelProto:
        """The ONNX model that is served, or measured, its logits moved by `shift`.

        Raises NotServable when there is none.
        """


class Trial(Protocol):
    """What a search space asks; Optuna's trial is one."""

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = ...) -> float:
        """A number within [low, high]."""

    def suggest_int(self, name: str, low: int, high: int, *, log: bool = ...) -> int:
        """A whole number within [low, high]."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A kind of model. `fit(vectors, y, weight, params, seed)` gives the same model for the same arguments.

    `additive`: its raw output is a sum that is a logit, so that models can be averaged and moved as one.
    `servable`: it has trees, so its reasons are exact. `more`: settings beside those of `params`.
    """

    name: str
    libraries: Mapping[str, str]  # name → version, which a model records
    params: Params
    space: Callable[[Trial], dict[str, Any]]
    fit: Callable[[Vectors, Labels, Floats | None, Params, int], Fitted]
    additive: bool = True
    servable: bool = True
    more: frozenset[str] = frozenset()

    def require(self, params: Params) -> None:
        """Raises BadInput that names a setting that the library would not know, or would not take.

        Tried on a few rows: what a library allows is its own to say, and some pass over what they don't know.
        """
        known = {*self.params, *self.more}
        if unknown := sorted(set(params) - known):
            raise BadInput(
                f"--recipe: {self.name} has no {unknown[0]!r}; choose from {', '.join(sorted(known))}"
            )
        trees = params.get("trees", 1)
        if not isinstance(trees, int) or isinstance(trees, bool) or trees < 1:
            raise BadInput(f"--recipe: {self.name}: trees = {trees!r} must be a whole number from 1")
        rng = np.random.default_rng(0)
        vectors, y = rng.normal(size=(200, 8)).astype(np.float32), np.arange(200) % 4 == 0
        few = {"trees": 1} if "trees" in self.params else {}
        try:
            self.fit(vectors, y, None, {**self.params, **params, **few}, 0)
        except Exception as error:  # each library raises types of its own
            told = (str(error).splitlines() or [type(error).__name__])[0]
            raise BadInput(f"--recipe: {self.name} refuses {dict(params)}: {told}") from None


@dataclass(frozen=True, slots=True)
class TreeModel:
    """A Fitted of one library's trees."""

    n_features: int
    raw: Callable[[Vectors], Floats]
    read: Callable[[], Ensemble]

    def logits(self, vectors: Vectors) -> Floats:
        """See Fitted."""
        return self.raw(vectors)

    def ensemble(self) -> Ensemble:
        """See Fitted."""
        return self.read()

    def onnx(self, shift: float = 0.0) -> onnx.ModelProto:
        """See Fitted."""
        return to_onnx(moved(self.ensemble(), shift), self.n_features)


def moved(trees: Ensemble, shift: float) -> Ensemble:
    """The same trees, their sum moved by `shift`."""
    return replace(trees, base=trees.base + shift)
