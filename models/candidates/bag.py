"""Several tree models averaged in logit: one ensemble again, so it is served, and explained exactly."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import onnx
from numpy.typing import NDArray

from models.candidates.base import Fitted, Floats, NotServable, Vectors, moved
from models.trees import LEAF, Ensemble
from models.trees_onnx import to_onnx


@dataclass(frozen=True, slots=True, eq=False)
class Narrow:
    """A model of some `columns` (c,) of vectors (n, k), as a model of all k."""

    inner: Fitted
    columns: NDArray[np.intp]
    n_features: int

    def logits(self, vectors: Vectors) -> Floats:
        """See Fitted."""
        return self.inner.logits(np.ascontiguousarray(vectors[:, self.columns]))

    def ensemble(self) -> Ensemble:
        """See Fitted."""
        trees = self.inner.ensemble()
        feature = np.where(trees.is_leaf, LEAF, self.columns[trees.feature])
        return replace(trees, feature=feature.astype(np.int32))

    def onnx(self, shift: float = 0.0) -> onnx.ModelProto:
        """See Fitted."""
        return to_onnx(moved(self.ensemble(), shift), self.n_features)


@dataclass(frozen=True, slots=True, eq=False)
class Bag:
    """The mean of the members' logits, moved by `shift`: what was sampled away is corrected so."""

    members: Sequence[Fitted]
    n_features: int
    shift: float = 0.0

    def logits(self, vectors: Vectors) -> Floats:
        """See Fitted."""
        total: Floats = np.sum([member.logits(vectors) for member in self.members], axis=0)
        return total / len(self.members) + self.shift

    def ensemble(self) -> Ensemble:
        """See Fitted. Raises NotServable when a member has no trees."""
        return moved(mean([member.ensemble() for member in self.members]), self.shift)

    def onnx(self, shift: float = 0.0) -> onnx.ModelProto:
        """See Fitted. Raises NotServable when one of several members has no trees."""
        if len(self.members) == 1:
            return self.members[0].onnx(self.shift + shift)
        return to_onnx(moved(self.ensemble(), shift), self.n_features)


def mean(parts: Sequence[Ensemble]) -> Ensemble:
    """One ensemble whose raw output is the mean of the parts': all their trees, each leaf by their count.

    Raises NotServable for parts whose output is a probability (a forest), unless there is one part only.
    """
    if len(parts) == 1:
        return parts[0]
    if any(part.link != "logit" for part in parts):
        raise NotServable("a mean of probabilities and logits is no sum of trees; bag boosted trees only")
    first = np.cumsum([0, *(len(part.feature) for part in parts[:-1])])
    joined = {name: np.concatenate([getattr(part, name) for part in parts]) for name in _ALIKE}
    return Ensemble(
        roots=np.concatenate([part.roots + at for part, at in zip(parts, first, strict=True)]).astype(
            np.int32
        ),
        left=np.concatenate([part.left + at for part, at in zip(parts, first, strict=True)]).astype(np.int32),
        right=np.concatenate([part.right + at for part, at in zip(parts, first, strict=True)]).astype(
            np.int32
        ),
        value=np.concatenate([part.value / len(parts) for part in parts]),
        base=float(np.mean([part.base for part in parts])),
        link="logit",
        **joined,
    )


_ALIKE = ("feature", "threshold", "missing_left", "cover")
"""An Ensemble's arrays that stay as they are when it is joined to others."""
