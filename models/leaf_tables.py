"""TreeSHAP looked up: what leaves pay depends on the answers to their few tests alone.

Leaves side by side share most of their path. A group of them that has b different tests sees 2^b sorts of
rows; what each sort is paid is worked out when the model is loaded, and a row then costs one line a group.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from models.paths import Answers, Leaf
from models.shapley import Floats, Keyed, blocks
from models.trees import ExportRefused

TESTS, TESTS_ALONE = 9, 12
"""The most of a group, and of a group of one leaf."""

LINES = 1 << 19
"""The most of all tables: with 14 families 56 MiB. The leaves beyond are worked out for each row."""

EFFORT = 1 << 18
"""The most of that, in factors: a leaf of d features has d * ceil(d / 2). One takes some 12 ns a row, so that
512 alerts stay within about two seconds."""

Group = tuple[list[Leaf], set[int]]


class LeafTables:
    """Tables of k numbers a line, one line for each sort of row of each group."""

    def __init__(self, groups: Sequence[Group], key_of: NDArray[np.intp], k: int, no_test: int) -> None:
        """`key_of`: feature → which of a line's k numbers its values add to."""
        by_size: dict[int, list[Group]] = defaultdict(list)
        for group in groups:
            by_size[len(group[1])].append(group)
        self._tests = np.full((max(by_size, default=0), len(groups)), no_test, np.intp)
        parts, starts, at, line = [np.zeros((0, k))], [], 0, 0
        for b, some in sorted(by_size.items()):
            self._tests[:b, at : at + len(some)] = np.array([sorted(tests) for _, tests in some]).T
            parts.append(_table(some, b, key_of, k))
            starts += [line + i * (1 << b) for i in range(len(some))]
            at, line = at + len(some), line + len(parts[-1])
        self._lines = np.concatenate(parts)
        self._starts = np.array(starts, np.intp)[:, None]

    def sums(self, answers: Answers) -> Floats:
        """What all groups pay to n rows (2 or more), (n, k)."""
        line = np.repeat(self._starts, answers.shape[1], axis=1)
        for bit, tests in enumerate(self._tests):
            line += answers[tests].astype(np.intp) << bit
        paid: Floats = self._lines[line].sum(axis=0)
        return paid


def _table(groups: Sequence[Group], b: int, key_of: NDArray[np.intp], k: int) -> Floats:
    """The lines (groups * 2^b, k) of groups that have b tests each."""
    sorts = np.arange(1 << b)
    answers = np.array([*(sorts >> bit & 1 for bit in range(b)), np.zeros_like(sorts)], np.uint8)
    sums = np.zeros((len(groups) * k, 1 << b))
    for block in blocks(_keyed(groups, key_of, k), b, 1 << b):
        block.pay(answers, sums)
    return sums.reshape(len(groups), k, -1).swapaxes(1, 2).reshape(-1, k)


def _keyed(groups: Sequence[Group], key_of: NDArray[np.intp], k: int) -> Iterable[Keyed]:
    """The groups' leaves with their tests numbered as the group's bits."""
    for i, (some, tests) in enumerate(groups):
        bit = {test: number for number, test in enumerate(sorted(tests))}
        for leaf in some:
            players = tuple(p._replace(tests=tuple(bit[test] for test in p.tests)) for p in leaf.players)
            yield leaf._replace(players=players), [i * k + int(key_of[p.feature]) for p in players]


def grouped(leaves: Iterable[Leaf]) -> tuple[list[Group], list[Leaf]]:
    """Groups of neighbours that fit the bounds, and the leaves that fit none.

    Raises ExportRefused when these are more than EFFORT.
    """
    groups: list[Group] = []
    loose: list[Leaf] = []
    lines = effort = 0
    for leaf in leaves:
        own = leaf.tests
        together = groups[-1][1] | own if groups else own
        if len(together) <= TESTS and groups:
            lines += (1 << len(together)) - (1 << len(groups[-1][1]))
            groups[-1] = [*groups[-1][0], leaf], together
        elif len(own) <= TESTS_ALONE and lines + (1 << max(TESTS, len(own))) <= LINES:
            lines += 1 << len(own)
            groups.append(([leaf], own))
        else:
            loose.append(leaf)
            effort += len(leaf.players) * ((len(leaf.players) + 1) // 2)
        if effort > EFFORT:
            raise ExportRefused("the trees are too many or too deep for reasons in time; use smaller ones")
    return groups, loose
