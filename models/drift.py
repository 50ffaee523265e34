"""Population stability index: how far values have moved from what they were."""

import numpy as np
from numpy.typing import NDArray

BINS = 10
MOVED, MOVED_MUCH = 0.1, 0.25
"""The usual reading of a PSI: below the first nothing moved, above the second much did."""

_LEAST_SHARE = 1e-4  # an empty bin counts as this, or its logarithm would not exist

Values = NDArray[np.floating]


def psi(reference: Values, values: Values) -> float:
    """Sum over bins of (q - p) · ln(q / p): p the reference's shares, q the values'; 0 when they are equal.

    Bins are the reference's deciles, fewer where values repeat; NaN is a bin of its own.
    """
    known = reference[~np.isnan(reference)]
    edges = np.unique(np.quantile(known, np.linspace(0, 1, BINS + 1)[1:-1])) if len(known) else np.empty(0)
    p, q = (_shares(part, edges) for part in (reference, values))
    return float(((q - p) * np.log(q / p)).sum())


def _shares(values: Values, edges: Values) -> NDArray[np.float64]:
    place = np.where(np.isnan(values), len(edges) + 1, np.searchsorted(edges, values, "left"))
    shares = np.bincount(place, minlength=len(edges) + 2) / max(1, len(values))
    return np.maximum(shares, _LEAST_SHARE)
