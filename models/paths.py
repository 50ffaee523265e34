"""The leaves of an Ensemble, each with what a row must do at the splits above it."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.trees import Ensemble

Answers = NDArray[np.uint8]  # (tests + 1, n): 1 where a row goes right; the last is 0 for all


class Player(NamedTuple):
    """A feature on a leaf's path: the answers to its tests that lead to the leaf."""

    feature: int
    tests: tuple[int, ...]
    answers: tuple[int, ...]
    z: float  # the share of the training rows that gave them


class Leaf(NamedTuple):
    value: float
    players: tuple[Player, ...]

    @property
    def tests(self) -> set[int]:
        return {test for player in self.players for test in player.tests}


class Tests:
    """The different splits of an ensemble, numbered: many trees ask the same."""

    def __init__(self, ensemble: Ensemble) -> None:
        split = ~ensemble.is_leaf
        asked = np.rec.fromarrays(
            [ensemble.feature[split], ensemble.threshold[split], ensemble.missing_left[split]]
        )
        different, number = np.unique(asked, return_inverse=True)
        self._feature = different["f0"]
        self._threshold = different["f1"][:, None]
        self._missing_left = different["f2"][:, None]
        self.of_node = np.full(len(split), len(different))
        self.of_node[split] = number

    def __len__(self) -> int:
        return len(self._feature)

    def answers(self, vectors: NDArray[np.float32]) -> Answers:
        """Of vectors (n, k)."""
        x = np.ascontiguousarray(vectors.T)[self._feature]
        left = (x <= self._threshold) | (np.isnan(x) & self._missing_left)
        return np.concatenate([~left, np.zeros((1, len(vectors)), np.bool_)]).view(np.uint8)


def leaves(ensemble: Ensemble, tests: Tests) -> Iterator[Leaf]:
    """All that pay something, tree by tree, from left to right."""
    feature, value, cover, number = (
        column.tolist() for column in (ensemble.feature, ensemble.value, ensemble.cover, tests.of_node)
    )
    sides = list(zip(ensemble.right.tolist(), ensemble.left.tolist(), strict=True))
    leaf = ensemble.is_leaf.tolist()
    waiting: list[tuple[int, dict[int, Player]]] = [(root, {}) for root in reversed(ensemble.roots.tolist())]
    while waiting:
        node, path = waiting.pop()
        if leaf[node]:
            if path and value[node]:
                yield Leaf(value[node], tuple(path.values()))
            continue
        known = path.get(feature[node], Player(feature[node], (), (), 1.0))
        for answer, child in zip((1, 0), sides[node], strict=True):
            z = known.z * (cover[child] / cover[node] if cover[node] else 0.0)
            gone = Player(known.feature, (*known.tests, number[node]), (*known.answers, answer), z)
            waiting.append((child, {**path, known.feature: gone}))
