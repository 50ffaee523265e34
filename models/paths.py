"""The leaves of an Ensemble, each with what a row must do at the splits above it."""

from collections.abc import Iterator
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.trees import Ensemble

Answers = NDArray[np.uint8]  # (tests, n)


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
    """The different splits of an ensemble, numbered: many trees ask the same. The answer is 1 to the right.

    After them comes `never`, answered 0 by all, and then what `merged` made of several.
    """

    def __init__(self, ensemble: Ensemble) -> None:
        split = ~ensemble.is_leaf
        asked = np.rec.fromarrays(
            [ensemble.feature[split], ensemble.threshold[split], ensemble.missing_left[split]]
        )
        different, number = np.unique(asked, return_inverse=True)
        self._feature = different["f0"]
        self._threshold = different["f1"][:, None]
        self._missing_left = different["f2"][:, None]
        self.never = len(different)
        self.of_node = np.full(len(split), self.never)
        self.of_node[split] = number
        self._several: dict[tuple[tuple[int, ...], tuple[int, ...]], int] = {}

    def merged(self, leaf: Leaf) -> Leaf:
        """The leaf with one test a player, answered 1 by whom all of its tests lead to the leaf.

        For use before the first call of `answers`.
        """
        return leaf._replace(players=tuple(self._merged(player) for player in leaf.players))

    def _merged(self, player: Player) -> Player:
        if len(player.tests) == 1:
            return player
        key = player.tests, player.answers
        number = self._several.setdefault(key, self.never + 1 + len(self._several))
        return player._replace(tests=(number,), answers=(1,))

    def answers(self, vectors: NDArray[np.float32]) -> Answers:
        """Of vectors (n, k)."""
        x = np.ascontiguousarray(vectors.T)[self._feature]
        left = (x <= self._threshold) | (np.isnan(x) & self._missing_left)
        single = np.concatenate([~left, np.zeros((1, len(vectors)), np.bool_)])
        tests, asked = self._conditions
        several = (single[tests] == asked).all(axis=0)
        return np.concatenate([single, several]).view(np.uint8)

    @cached_property
    def _conditions(self) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
        """The tests behind each merged one (most, merged), and the answers it asks for (most, merged, 1)."""
        most = max((len(tests) for tests, _ in self._several), default=1)
        tests = np.full((most, len(self._several)), self.never, np.intp)
        asked = np.zeros((most, len(self._several), 1), np.bool_)
        for i, (several, answers) in enumerate(self._several):
            tests[: len(several), i] = several
            asked[: len(several), i, 0] = answers
        return tests, asked


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
