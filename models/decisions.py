"""What thresholds decide about rows: the one place where an evaluation asks them."""

import numpy as np
from numpy.typing import NDArray

from models.costs import DENY, REVIEW, Thresholds

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]


def outcomes(thresholds: Thresholds, scores: Floats, amount: Floats) -> NDArray[np.int8]:  # noqa: ARG001
    """APPROVE (0), REVIEW (1) or DENY (2) of rows (n,) by score, and by `amount` in BRL if they ask it."""
    return thresholds.outcome(scores)


def held_or_denied(thresholds: Thresholds, scores: Floats, amount: Floats) -> Mask:
    """(n,) True where the payment was not approved."""
    stopped: Mask = outcomes(thresholds, scores, amount) >= REVIEW
    return stopped


def denied(thresholds: Thresholds, scores: Floats, amount: Floats) -> Mask:
    """(n,) True where the payment was denied."""
    refused: Mask = outcomes(thresholds, scores, amount) == DENY
    return refused
