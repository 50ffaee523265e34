"""From a raw logit to a probability of fraud by a strictly increasing map.

Beta calibration (Kull, Silva Filho, Flach 2017) written in logits: with p = sigmoid(z),
logit(p') = a·log(p) − b·log(1 − p) + c = −a·softplus(−z) + b·softplus(z) + c. Its slope lies between a and b,
both held above 0, so that the order of two payments is never changed. a = b = 1, c = 0 is the identity.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

SLOPES = (0.05, 20.0)  # bounds of a and b
_PRIOR = 1.0  # pull of a and b towards 1; matters with few frauds only
_ABOVE_ZERO, _BELOW_ONE = np.nextafter(0.0, 1.0), np.nextafter(1.0, 0.0)


@dataclass(frozen=True, slots=True)
class Calibration:
    """The map's three numbers.

    Strictly increasing in float64 for logits in [-30, 30] that differ by 1e-6 or more, as far as the
    calibrated logit lies below 15 (a probability of 0.9999997); nowhere decreasing.
    """

    a: float = 1.0
    b: float = 1.0
    c: float = 0.0

    def __post_init__(self) -> None:
        """Raises ValueError when the map would not be strictly increasing."""
        low, high = SLOPES
        if not (low <= self.a <= high and low <= self.b <= high and np.isfinite(self.c)):
            raise ValueError(f"calibration slopes must lie in [{low}, {high}] and c be finite: {self}")

    def logit(self, z: Floats) -> Floats:
        """Calibrated logits of raw logits `z`, any shape."""
        calibrated: Floats = self.b * np.logaddexp(0.0, z) - self.a * np.logaddexp(0.0, -z) + self.c
        return calibrated

    def probability(self, z: Floats) -> Floats:
        """Calibrated probabilities, strictly inside (0, 1), of raw logits `z`, any shape."""
        return sigmoid(self.logit(z))


def sigmoid(z: Floats) -> Floats:
    """1 / (1 + exp(-z)) in float64, strictly inside (0, 1)."""
    with np.errstate(over="ignore"):
        probability: Floats = 1.0 / (1.0 + np.exp(-z))
    return np.minimum(np.maximum(probability, _ABOVE_ZERO), _BELOW_ONE)


def sampling_shift(honest_share: float, fraud_weight: float = 1.0) -> float:
    """What to add to the logits of a model that saw a share of the honest rows, and frauds so often.

    Keeping a share s of the honest and counting a fraud w times multiplies the odds of fraud by w / s.
    """
    return float(np.log(honest_share) - np.log(fraud_weight))


def fit_calibration(z: Floats, y: NDArray[np.bool_], weight: Floats | None = None) -> Calibration:
    """The map of least log loss (plus the prior) for raw logits `z` (n,), labels `y` (n,) and weights (n,).

    A slope that would leave its bounds is set to the bound and the others are fitted again.
    """
    columns = np.column_stack([-np.logaddexp(0.0, -z), np.logaddexp(0.0, z), np.ones_like(z)])
    target = y.astype(np.float64)
    w = np.ones(len(z)) if weight is None else weight
    fixed: dict[int, float] = {}
    while True:
        coefficients = _newton(columns, target, w, fixed)
        outside = {i: float(np.clip(coefficients[i], *SLOPES)) for i in (0, 1)}
        outside = {i: bound for i, bound in outside.items() if bound != coefficients[i]}
        if not outside:
            return Calibration(*(float(value) for value in coefficients))
        worst = min(outside, key=lambda i: coefficients[i])
        fixed[worst] = outside[worst]


def _newton(columns: Floats, target: Floats, weight: Floats, fixed: dict[int, float]) -> Floats:
    """Penalised logistic regression over the columns not `fixed`: convex, so damped Newton converges."""
    coefficients = np.array([1.0, 1.0, 0.0])
    for index, value in fixed.items():
        coefficients[index] = value
    free = [i for i in range(3) if i not in fixed]
    prior = np.diag([_PRIOR, _PRIOR, 1e-9])
    centre = np.array([1.0, 1.0, 0.0])
    loss = _loss(columns, target, weight, coefficients)
    for _ in range(100):
        p = sigmoid(columns @ coefficients)
        gradient = columns.T @ (weight * (p - target)) + prior @ (coefficients - centre)
        hessian = (columns * (weight * p * (1 - p))[:, None]).T @ columns + prior
        step = np.zeros(3)
        step[free] = np.linalg.solve(hessian[np.ix_(free, free)], gradient[free])
        moved, new_loss = coefficients - step, _loss(columns, target, weight, coefficients - step)
        while new_loss > loss and np.abs(step).max() > 1e-10:
            step = step / 2
            moved, new_loss = coefficients - step, _loss(columns, target, weight, coefficients - step)
        if loss - new_loss < 1e-10 * (1 + loss):
            return moved if new_loss <= loss else coefficients
        coefficients, loss = moved, new_loss
    return coefficients


def _loss(columns: Floats, target: Floats, weight: Floats, coefficients: Floats) -> float:
    logits = columns @ coefficients
    return float(
        np.sum(weight * (np.logaddexp(0.0, logits) - target * logits))
        + 0.5 * _PRIOR * np.sum((coefficients[:2] - 1.0) ** 2)
        + 0.5e-9 * coefficients[2] ** 2
    )
