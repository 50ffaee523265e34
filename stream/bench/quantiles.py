"""Quantiles of what was measured: of all values, or of a Prometheus histogram's buckets."""

import math
import statistics
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

QUANTILES = {"p50": 0.5, "p95": 0.95, "p99": 0.99, "p999": 0.999}

Buckets = Mapping[float, float]
"""Upper bound → how many values lie at or below it; the last bound is infinite."""


def quantiles(values: NDArray[np.float64]) -> dict[str, float]:
    """The values at these ranks (never between two), and the largest; infinite ones stay so."""
    ranks = np.quantile(values, list(QUANTILES.values()), method="inverted_cdf")
    return {**dict(zip(QUANTILES, ranks.tolist(), strict=True)), "max": float(values.max())}


def bucket_quantiles(buckets: Buckets) -> dict[str, float] | None:
    """As `histogram_quantile` of Prometheus: linear inside the bucket. None if nothing was counted.

    What lies beyond the last finite bound is infinite: it is not known how far.
    """
    bounds = sorted(buckets)
    if not bounds or buckets[bounds[-1]] <= 0:
        return None
    return {name: _quantile(bounds, buckets, share) for name, share in QUANTILES.items()}


def _quantile(bounds: Sequence[float], buckets: Buckets, share: float) -> float:
    rank = share * buckets[bounds[-1]]
    at = next(i for i, bound in enumerate(bounds) if buckets[bound] >= rank)
    low, below = (bounds[at - 1], buckets[bounds[at - 1]]) if at else (0.0, 0.0)
    if math.isinf(bounds[at]):
        return math.inf
    return low + (bounds[at] - low) * (rank - below) / (buckets[bounds[at]] - below)


def samples_of(exposition: str, name: str) -> Iterator[Sample]:
    """Those called `name` in what /metrics answered; none if it is not there."""
    for family in text_string_to_metric_families(exposition):
        yield from (sample for sample in family.samples if sample.name == name)


def buckets_of(exposition: str, name: str) -> Buckets:
    """The buckets of the histogram called `name`; empty if it is not there."""
    return {float(sample.labels["le"]): sample.value for sample in samples_of(exposition, f"{name}_bucket")}


def between(before: Buckets, after: Buckets) -> Buckets:
    """What was counted from one look to the next."""
    return {bound: count - before.get(bound, 0.0) for bound, count in after.items()}


def medians(found: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Of runs that tell the same figures: each one's."""
    return {name: statistics.median(one[name] for one in found) for name in found[0]}
