"""Card precision: the share of frauds among the payers that an analyst would call each day.

The Fraud Detection Handbook's measure, exactly (its `card_precision_top_k`): each day the payers are ranked
by their highest score of that day, the first `top` are called, and the day's precision is the number of those
with a fraud on that day, divided by `top`. A payer that was so found is removed from all later days. The
figure is the mean over the days; it begins with nobody found.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class PayerDay:
    """One day's m payers, the highest score first: number, whether a payment was a fraud, and weight."""

    payer: NDArray[np.int64]
    fraud: NDArray[np.bool_]
    weight: Floats


def payer_days(
    y: NDArray[np.bool_], score: Floats, payer: NDArray[np.int64], day: NDArray[np.datetime64], weight: Floats
) -> tuple[PayerDay, ...]:
    """The days in their order, of rows (n,); of equal scores the first row wins.

    A payer's weight is that of its row with the highest score.
    """
    return tuple(
        _payer_day(y[here], score[here], payer[here], weight[here])
        for here in (np.flatnonzero(day == date) for date in np.unique(day))
    )


def _payer_day(y: NDArray[np.bool_], score: Floats, payer: NDArray[np.int64], weight: Floats) -> PayerDay:
    ranked = np.argsort(-score, kind="stable")
    payers, first, of = np.unique(payer[ranked], return_index=True, return_inverse=True)
    fraud = np.bincount(of, weights=y[ranked]) > 0
    order = np.argsort(first)
    return PayerDay(payers[order], fraud[order], weight[ranked[first[order]]])


def precision_at_top(days: Sequence[PayerDay], copies: Floats, top: int) -> Floats:
    """Card precision (r,) when each payer stands in the data as often as `copies` (r, payers) says.

    Copies are customers like any other: those that fit among the `top` are called, and removed if found.
    """
    left = copies.astype(np.float64)
    shares = np.empty((len(days), len(copies)))
    for at, day in enumerate(days):
        mass = left[:, day.payer] * day.weight
        before = np.cumsum(mass, axis=1) - mass
        called = np.clip(top - before, 0.0, mass) * day.fraud
        shares[at] = called.sum(axis=1) / top
        left[:, day.payer] -= called / day.weight
    mean: Floats = shares.mean(axis=0)
    return mean
