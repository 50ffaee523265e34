"""Several tree models averaged in logit: one ensemble again, so it is served, and explained exactly."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import onnx

from models.candidates.base import Fitted, Floats, NotServable, Vectors
from models.trees import Ensemble
from models.trees_onnx import to_onnx


@dataclass(frozen=True, slots=True)
class Bag:
    """The mean of the members' logits, moved by `shift` (what was sampled away is corrected so)."""

    members: Sequence[Fitted]
    n_features: int
    shift: float = 0.0

    def logits(self, vectors: Vectors) -> Floats:
        """See Fitted."""
        total: Floats = np.sum([member.logits(vectors) for member in self.members], axis=0)
        return total / len(self.members) + self.shift

    def ensemble(self) -> Ensemble:
        """See Fitted. Raises NotServable when a member has no trees whose sum is a logit."""
        joined = mean([member.ensemble() for member in self.members])
        return replace(joined, base=joined.base + self.shift) if self.shift else joined

    def onnx(self) -> onnx.ModelProto:
        """See Fitted."""
        return to_onnx(self.ensemble(), self.n_features)


def mean(parts: Sequence[Ensemble]) -> Ensemble:
    """One ensemble whose raw output is the mean of the parts': all their trees, each leaf by their count.

    Raises NotServable for parts whose output is a probability (a forest), unless there is one part only.
    """
    if len(parts) == 1:
        return parts[0]
    if any(part.link != "logit" for part in parts):
        raise NotServable("a mean of probabilities and logits is no sum of trees; bag boosted trees only")
    first = np.cumsum([0, *(len(part.feature) for part in parts[:-1])])
    return Ensemble(
        _joined([part.roots + at for part, at in zip(parts, first, strict=True)], np.int32),
        _joined([part.feature for part in parts], np.int32),
        _joined([part.threshold for part in parts], np.float32),
        _joined([part.missing_left for part in parts], np.bool_),
        _joined([part.left + at for part, at in zip(parts, first, strict=True)], np.int32),
        _joined([part.right + at for part, at in zip(parts, first, strict=True)], np.int32),
        _joined([part.value / len(parts) for part in parts], np.float64),
        _joined([part.cover for part in parts], np.float64),
        float(np.mean([part.base for part in parts])),
        "logit",
    )


def _joined(columns, kind):  # type: ignore[no-untyped-def]
    return np.concatenate(columns).astype(kind)
