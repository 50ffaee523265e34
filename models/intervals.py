"""Intervals at one level: of a share (Wilson 1927) and of bootstrap replicates (percentiles)."""

from math import sqrt
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

LEVEL = 0.9
"""Every interval of an evaluation covers this share."""

SURE = 0.99
"""A warning that a share is off needs so much: who looks at ten shares would else always find one."""


def z(level: float) -> float:
    """How many standard errors the middle `level` of a normal distribution reaches."""
    return NormalDist().inv_cdf(0.5 + level / 2)


def wilson(share: float, n: float, level: float = LEVEL) -> tuple[float, float]:
    """The Wilson score interval of a share seen in `n` trials (n may be an effective count; 0: anything)."""
    if n <= 0:
        return 0.0, 1.0
    zz = z(level) ** 2
    centre = (share + zz / (2 * n)) / (1 + zz / n)
    half = sqrt(zz * share * (1 - share) / n + (zz / (2 * n)) ** 2) / (1 + zz / n)
    # At the ends the interval reaches them; rounding would leave it short by a last bit.
    return (0.0 if share <= 0 else centre - half), (1.0 if share >= 1 else centre + half)


def effective(weight: NDArray[np.float64]) -> float:
    """How many equal rows the weighted ones are worth (Kish): (sum w)^2 / sum w^2."""
    return float(weight.sum() ** 2 / (weight**2).sum()) if len(weight) else 0.0


def percentiles(replicates: NDArray[np.float64]) -> tuple[float, float] | None:
    """The middle LEVEL of the replicates that are defined; None when none is."""
    known = replicates[np.isfinite(replicates)]
    if not len(known):
        return None
    low, high = np.quantile(known, [0.5 - LEVEL / 2, 0.5 + LEVEL / 2])
    return float(low), float(high)
