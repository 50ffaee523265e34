"""Why a payment was not approved: the families of features that raised its score, by the model's own SHAP
values. Needs the core dependencies only.

The same row has the same values to the last bit in whatever batch it comes, so that a redelivered event gives
the same reasons.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from models.leaf_tables import TESTS, Group, LeafTables, grouped
from models.paths import Leaf, Tests, leaves
from models.shapley import blocks
from models.trees import Ensemble

MAX_REASONS = 4
_ROWS = 32  # at a time: 815 groups of 14 families take 3 MB

Floats = NDArray[np.float64]


class Explainer:
    """Reason codes by a model's trees and the columns that speak for each code."""

    def __init__(self, ensemble: Ensemble, groups: Mapping[str, Sequence[int]]) -> None:
        """`groups` is reason code → column indices, each column in one of them.

        Ties go to the code that comes first in the alphabet. Raises KeyError when a split is on a column of
        no group, ExportRefused as `require_affordable` does.
        """
        self.codes = sorted(groups)
        code_of = {column: row for row, code in enumerate(self.codes) for column in groups[code]}
        used = np.unique(ensemble.feature[~ensemble.is_leaf]).tolist()
        self._seen = sorted({code_of[column] for column in used})  # the codes that can have a value
        key_of = np.zeros(max(used, default=0) + 1, np.intp)
        key_of[used] = [self._seen.index(code_of[column]) for column in used]
        self._tests = Tests(ensemble)
        near, loose = _grouped(ensemble, self._tests)
        self._tables = LeafTables(near, key_of, len(self._seen), self._tests.never)
        keyed = ((leaf, [int(key_of[player.feature]) for player in leaf.players]) for leaf in loose)
        self._loose = blocks(keyed, self._tests.never, _ROWS)

    def contributions(self, vectors: NDArray[np.float32]) -> Floats:
        """The sum of each group's SHAP values (n, groups), in the order of `codes`, of vectors (n, k).

        With the mean over the training rows they add up to the model's raw output.
        """
        found = np.zeros((len(vectors), len(self.codes)))
        for at in range(0, len(vectors), _ROWS):
            chunk = vectors[at : at + _ROWS]
            # numpy adds up a single column in another order than many
            paid = self._paid(chunk if len(chunk) > 1 else np.repeat(chunk, 2, axis=0))
            found[at : at + _ROWS, self._seen] = paid[: len(chunk)]
        return found

    def _paid(self, vectors: NDArray[np.float32]) -> Floats:
        answers = self._tests.answers(vectors)
        paid = np.ascontiguousarray(self._tables.sums(answers).T)
        for block in self._loose:
            block.pay(answers, paid)
        return paid.T

    def reasons(self, vectors: NDArray[np.float32]) -> list[list[str]]:
        """At most 4 codes for each of vectors (n, k), largest value first; none that lower the score."""
        values = self.contributions(vectors)
        ranked = np.argsort(-values, axis=1, kind="stable")[:, :MAX_REASONS]
        return [
            [self.codes[column] for column in columns if row[column] > 0.0]
            for row, columns in zip(values, ranked, strict=True)
        ]


def require_affordable(ensemble: Ensemble) -> None:
    """Raises ExportRefused when the reasons of many alerts at a time would hold the worker up."""
    _grouped(ensemble, Tests(ensemble))


def _grouped(ensemble: Ensemble, tests: Tests) -> tuple[list[Group], list[Leaf]]:
    found = leaves(ensemble, tests)
    return grouped(tests.merged(leaf) if len(leaf.tests) > TESTS else leaf for leaf in found)
