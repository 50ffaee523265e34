"""Exact path-dependent TreeSHAP in arrays: the numbers of LightGBM's pred_contrib.

The game: a leaf pays its value v times, for each feature on its path, o (1 if the row answers all of that
feature's tests as the path does, else 0) where the feature is known, and z (the share of the training rows
that did) where it is not. A leaf's Shapley value of feature i is then

    v (o_i - z_i) * integral over u in [0, 1] of the product over j != i of (u o_j + (1 - u) z_j)

and with d features the integrand is a polynomial of degree d - 1: ceil(d / 2) points of Gauss and Legendre
give it exactly. Lundberg and Lee's recursion over trees gives the same; this form has no branches.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from models.paths import Answers, Leaf

Floats = NDArray[np.float64]
Keyed = tuple[Leaf, Sequence[int]]
"""A leaf, and the row of the sums that each of its players adds to."""

_CELLS = 1 << 16  # of a block's arrays: they stay in the cache


def leaf_values(o: NDArray[np.bool_], z: Floats, v: Floats) -> Floats:
    """The Shapley value of each of d features, (d, leaves, n), of n rows.

    `o` (d, leaves, n), `z` (d, leaves) and `v` (leaves,) as above.
    """
    z = z[:, :, None]
    integral = np.zeros(o.shape)
    for u, weight in _points(len(o)):
        integral += weight * _others(u * o + (1.0 - u) * z)
    return v[:, None] * (o - z) * integral


def _others(factors: Floats) -> Floats:
    """For each i of the first axis the product of all others; without division, for a factor may be 0."""
    before, after = np.ones_like(factors), np.ones_like(factors)
    np.cumprod(factors[:-1], axis=0, out=before[1:])
    np.cumprod(factors[:0:-1], axis=0, out=after[-2::-1])
    before *= after
    return before


def _points(d: int) -> Iterator[tuple[float, float]]:
    """Places in [0, 1] and weights that integrate every polynomial of degree d - 1 exactly."""
    places, weights = np.polynomial.legendre.leggauss((d + 1) // 2)
    return zip(((1.0 + places) / 2.0).tolist(), (weights / 2.0).tolist(), strict=True)


class LeafBlock:
    """Leaves of equally many features as arrays; what a row is paid does not depend on the other rows."""

    def __init__(self, keyed: Sequence[Keyed], no_test: int) -> None:
        """`no_test`: the test that every row answers with 0."""
        players = [player for leaf, _ in keyed for player in leaf.players]
        shape = len(keyed), -1
        longest = max(len(player.tests) for player in players)
        tests = [_padded(player.tests, no_test, longest) for player in players]
        asked = [_padded(player.answers, 0, longest) for player in players]
        self._tests = np.array(tests, np.intp).T.reshape(longest, *shape).swapaxes(1, 2)
        self._asked = np.array(asked, np.uint8).T.reshape(longest, *shape).swapaxes(1, 2)[..., None]
        self._z = np.array([player.z for player in players]).reshape(shape).T
        self._v = np.array([leaf.value for leaf, _ in keyed])
        keys = np.array([rows for _, rows in keyed]).T.ravel()
        self._order = np.argsort(keys, kind="stable")
        self._keys, self._starts = np.unique(keys[self._order], return_index=True)

    def pay(self, answers: Answers, sums: Floats) -> None:
        """Add the leaves' Shapley values to `sums` (keys, n); n of 2 or more (numpy adds a single column in
        another order)."""
        o = np.ones((*self._z.shape, answers.shape[1]), np.bool_)
        for tests, asked in zip(self._tests, self._asked, strict=True):
            o &= answers[tests] == asked
        values = leaf_values(o, self._z, self._v).reshape(len(self._order), -1)
        sums[self._keys] += np.add.reduceat(values[self._order], self._starts, axis=0)


def blocks(keyed: Iterable[Keyed], no_test: int, rows: int) -> list[LeafBlock]:
    """The leaves in blocks that take a few MB for so many rows at a time."""
    by_size: dict[int, list[Keyed]] = defaultdict(list)
    for it in keyed:
        by_size[len(it[0].players)].append(it)
    found = []
    for d, some in sorted(by_size.items()):
        step = max(1, _CELLS // (d * rows))
        found += [LeafBlock(some[at : at + step], no_test) for at in range(0, len(some), step)]
    return found


def _padded(values: tuple[int, ...], missing: int, length: int) -> tuple[int, ...]:
    return (*values, *[missing] * (length - len(values)))
