"""What thresholds do to rows, as the evaluation asks: who was stopped, and who was denied."""

import numpy as np
from numpy.typing import NDArray

from models.costs import DENY, REVIEW, Thresholds

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]


def held_or_denied(thresholds: Thresholds, scores: Floats, amount: Floats) -> Mask:
    """(n,) True where the payment of `amount` (n,) BRL was not approved."""
    stopped: Mask = thresholds.outcome(scores, amount) >= REVIEW
    return stopped


def denied(thresholds: Thresholds, scores: Floats, amount: Floats) -> Mask:
    """(n,) True where the payment was denied."""
    refused: Mask = thresholds.outcome(scores, amount) == DENY
    return refused
