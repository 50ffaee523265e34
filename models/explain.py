"""Why a payment was not approved: the groups of features without which its score would be lower.

Occlusion: a group's columns are set to an honest payment's (the medians of the honest training rows), and the
fall of the raw logit is the group's weight. Needs the core dependencies only.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

MAX_REASONS = 4
_ROWS_A_CALL = 4096


class LogitModel(Protocol):
    """What an Explainer needs of a Scorer."""

    reference: NDArray[np.float32]

    def logits(self, vectors: NDArray[np.float32]) -> NDArray[np.float64]:
        """Raw logits (n,) of vectors (n, k)."""


class Explainer:
    """Reason codes by a model and the columns that speak for each code."""

    def __init__(self, scorer: LogitModel, groups: Mapping[str, Sequence[int]]) -> None:
        """`groups` is reason code → column indices. Ties go to the code that comes first in the alphabet."""
        self._scorer = scorer
        self._codes = sorted(groups)
        self._occluded = np.zeros((len(groups), len(scorer.reference)), dtype=np.bool_)
        for row, code in enumerate(self._codes):
            self._occluded[row, list(groups[code])] = True

    def falls(self, vectors: NDArray[np.float32]) -> NDArray[np.float64]:
        """The fall in logit (m, groups) of each group, in alphabetical order of codes, for vectors (m, k)."""
        m, groups = len(vectors), len(self._codes)
        step = max(1, _ROWS_A_CALL // max(1, groups))
        falls = np.empty((m, groups))
        for at in range(0, m, step):
            chunk = vectors[at : at + step]
            hidden = np.where(self._occluded[None], self._scorer.reference, chunk[:, None, :])
            without = self._scorer.logits(hidden.reshape(-1, vectors.shape[1])).reshape(len(chunk), groups)
            falls[at : at + step] = self._scorer.logits(chunk)[:, None] - without
        return falls

    def reasons(self, vectors: NDArray[np.float32]) -> list[list[str]]:
        """At most 4 codes for each of vectors (m, k), largest fall first; none that lower the score."""
        falls = self.falls(vectors)
        ranked = np.argsort(-falls, axis=1, kind="stable")[:, :MAX_REASONS]
        return [
            [self._codes[column] for column in columns if row[column] > 0.0]
            for row, columns in zip(falls, ranked, strict=True)
        ]
