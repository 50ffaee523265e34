"""Payments with their labels and one model's scores: what every measure in `models/` is taken on."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from models.dataset import Rows, Times

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Scored:
    """n judged payments: labels `y`, scores in (0, 1), amounts in BRL, days, and what each row stands for.

    `payer` (n,) numbers the customers from 0. `weight` (n,) is the inverse of the chance that the row's label
    became known (1 for all without a control group); counts, shares and BRL are sums of weights.
    """

    y: Mask
    score: Floats
    amount: Floats
    payer: NDArray[np.int64]
    day: Times
    weight: Floats

    def __len__(self) -> int:
        return len(self.y)

    @property
    def n_payers(self) -> int:
        """Customers are numbered below this."""
        return int(self.payer.max()) + 1 if len(self) else 0

    def take(self, mask: Mask) -> "Scored":
        """The rows where `mask` (n,) holds; the numbers of the customers stay."""
        return Scored(
            self.y[mask],
            self.score[mask],
            self.amount[mask],
            self.payer[mask],
            self.day[mask],
            self.weight[mask],
        )

    def by(self, score: Floats) -> "Scored":
        """The same rows with another model's scores (n,)."""
        return replace(self, score=score)


def scored(rows: Rows, y: Mask, score: Floats, weight: Floats | None = None) -> Scored:
    """`rows` (n) with labels, scores and weights (None: each row stands for itself).

    Raises ValueError unless all weights are above 0.
    """
    payer = rows.payer_account.dictionary_encode().indices.to_numpy(zero_copy_only=False).astype(np.int64)
    weights = np.ones(len(rows)) if weight is None else weight
    if not (weights > 0).all():
        raise ValueError("weights must be above 0; leave out the rows for which others stand")
    return Scored(y, score, rows.amount, payer, rows.day, weights)
