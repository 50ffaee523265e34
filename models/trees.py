"""Trees as parallel arrays of nodes, whatever library grew them. Needs the core dependencies only.

A vendor's trees come in by `trees_lightgbm`, `trees_xgboost`, `trees_catboost` or `trees_forest`, and go out
as ONNX by `trees_onnx`, which scores, and as `trees.npz`, which gives the reasons.
"""

from collections.abc import Iterable
from dataclasses import dataclass, fields
from io import BytesIO
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from features.errors import VigiaError

Ints = NDArray[np.int32]
Floats = NDArray[np.float64]
Link = Literal["logit", "probability"]

LEAF = -1
"""The `feature` of a node that is no split."""

LEAST_PROBABILITY = 1e-6
"""A forest may say 0 or 1, whose logits are infinite: they are read as this far from them."""


class ExportRefused(VigiaError):
    """The ONNX model would not decide as the trained one does; nothing was written."""


class Tree(NamedTuple):
    """One tree of m nodes, the root first; arrays as an Ensemble's, `left` and `right` in the tree."""

    feature: NDArray[np.integer]
    threshold: NDArray[np.float32]
    missing_left: NDArray[np.bool_]
    left: NDArray[np.integer]
    right: NDArray[np.integer]
    value: Floats
    cover: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Ensemble:
    """t trees of m nodes in all, a tree's nodes in one piece that begins with its root.

    A row's raw output is `base` plus the value of the leaf it falls into in each tree: the logit, or the
    probability (`link`; the leaves' values are then shares of 1 / t). At a split x <= threshold goes left, x
    beyond it right, and NaN left where `missing_left`.
    """

    roots: Ints  # (t,)
    feature: Ints  # (m,), LEAF at a leaf
    threshold: NDArray[np.float32]  # (m,)
    missing_left: NDArray[np.bool_]  # (m,)
    left: Ints  # (m,), the child's index; at a leaf of no meaning, as are threshold and missing_left
    right: Ints  # (m,)
    value: Floats  # (m,), of leaves
    cover: Floats  # (m,), the training rows that reached the node, as the library's own SHAP weighs them
    base: float
    link: Link

    @classmethod
    def of(cls, trees: Iterable[Tree], base: float = 0.0, link: Link = "logit") -> "Ensemble":
        """The trees in their order. Raises ExportRefused when there are none."""
        columns = list(zip(*trees, strict=True))
        if not columns:
            raise ExportRefused("the model has no trees; train it on more payments")
        roots = np.cumsum([0, *(len(feature) for feature in columns[0][:-1])])
        feature, threshold, missing_left, left, right, value, cover = columns
        return cls(
            roots.astype(np.int32),
            np.concatenate(feature).astype(np.int32),
            np.concatenate(threshold).astype(np.float32),
            np.concatenate(missing_left).astype(np.bool_),
            np.concatenate([at + side for at, side in zip(roots, left, strict=True)]).astype(np.int32),
            np.concatenate([at + side for at, side in zip(roots, right, strict=True)]).astype(np.int32),
            np.concatenate(value).astype(np.float64),
            np.concatenate(cover).astype(np.float64),
            float(base),
            link,
        )

    @classmethod
    def from_bytes(cls, content: bytes) -> "Ensemble":
        """What `to_bytes` gave. Raises ValueError, KeyError or OSError when it is something else."""
        with np.load(BytesIO(content), allow_pickle=False) as arrays:
            held = {item.name: arrays[item.name] for item in fields(cls)}
        link = str(held.pop("link"))
        if link not in get_args(Link):
            raise ValueError(f"unknown link {link!r}")
        return cls(**held | {"base": float(held["base"]), "link": link})

    def to_bytes(self) -> bytes:
        """`trees.npz`; the same trees give the same bytes."""
        content = BytesIO()
        arrays: dict[str, Any] = {item.name: np.asarray(getattr(self, item.name)) for item in fields(self)}
        np.savez(content, **arrays)
        return content.getvalue()

    @property
    def is_leaf(self) -> NDArray[np.bool_]:
        """Whether each node (m,) is a leaf."""
        leaf: NDArray[np.bool_] = self.feature == LEAF
        return leaf

    def splits(self) -> Ints:
        """One node of every (feature, threshold), in their order."""
        nodes = np.flatnonzero(~self.is_leaf)
        _, first = np.unique(
            np.rec.fromarrays([self.feature[nodes], self.threshold[nodes]]), return_index=True
        )
        return nodes[first].astype(np.int32)

    def visitors(self, vectors: NDArray[np.float32]) -> NDArray[np.intp]:
        """For each node (m,) one of the rows (n, k) that come through it; 0 where none does."""
        rows, found = np.arange(len(vectors))[:, None], np.zeros(len(self.feature), np.intp)
        node, before = np.broadcast_to(self.roots, (len(vectors), len(self.roots))), None
        while before is None or (node != before).any():
            found[node] = rows
            x, before = vectors[rows, self.feature[node]], node
            left = (x <= self.threshold[node]) | (np.isnan(x) & self.missing_left[node])
            below = np.where(left, self.left[node], self.right[node])
            node = np.where(self.feature[node] == LEAF, node, below)
        return found


def logit_of(probability: Floats) -> Floats:
    """The logit of a forest's probability, any shape, at most that of LEAST_PROBABILITY from 0."""
    kept = [np.maximum(p, LEAST_PROBABILITY) for p in (probability, 1.0 - probability)]
    logit: Floats = np.log(kept[0]) - np.log(kept[1])
    return logit


def floor_float32(threshold: Floats) -> NDArray[np.float32]:
    """The float32 t' (n,) with (x <= t') == (x <= t) for every float32 x and each double t of `threshold`."""
    with np.errstate(over="ignore", under="ignore"):
        nearest = threshold.astype(np.float32)
        below = np.nextafter(nearest, np.float32(-np.inf))
    return np.where(nearest.astype(np.float64) > threshold, below, nearest)
