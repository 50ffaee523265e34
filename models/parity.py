"""The trained trees in plain numpy, to hold the ONNX model against: another way to the same logits."""

import numpy as np
from numpy.typing import NDArray

from models.trees import LEAF, Ensemble, logit_of

Vectors = NDArray[np.float32]
Logits = NDArray[np.float64]

_CHUNK = 2_048


def logits(trees: Ensemble, vectors: Vectors) -> Logits:
    """The raw logits (n,) of vectors (n, k): each row walks each tree, leaves are summed in float64."""
    raw = np.concatenate(
        [_raw(trees, vectors[at : at + _CHUNK]) for at in range(0, max(1, len(vectors)), _CHUNK)]
    )
    return logit_of(raw) if trees.link == "probability" else raw


def _raw(trees: Ensemble, vectors: Vectors) -> Logits:
    node = np.tile(trees.roots, (len(vectors), 1))
    rows = np.broadcast_to(np.arange(len(vectors))[:, None], node.shape)
    walking = trees.feature[node] != LEAF
    while walking.any():
        at = node[walking]
        value = vectors[rows[walking], trees.feature[at]]
        goes_left = np.where(np.isnan(value), trees.missing_left[at], value <= trees.threshold[at])
        node[walking] = np.where(goes_left, trees.left[at], trees.right[at])
        walking = trees.feature[node] != LEAF
    total: Logits = trees.base + trees.value[node].sum(axis=1)
    return total
