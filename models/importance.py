"""What a served model leans on: the average precision it loses when columns are shuffled between payments.

It asks nothing of the model but scores, so it holds for every kind. Columns that say the same stand in for
each other, hence families first and single features second.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.metrics import average_precision
from models.scored import Scored

MOST_FRAUDS, MOST_HONEST = 2_000, 6_000
REPEATS = 3

Vectors = NDArray[np.float32]
Score = Callable[[Vectors], NDArray[np.float64]]


def importance(
    score: Score,
    vectors: Vectors,
    found: Scored,
    groups: Mapping[str, Sequence[int]],
    repeats: int = REPEATS,
    seed: int = 0,
) -> list[dict[str, Any]]:
    """{name, loss, std} of each of `groups` (name → columns), the largest loss of average precision first.

    Measured on a sample of `vectors` (n, k): at most 2,000 frauds and 6,000 honest payments, weighted back to
    their shares. A shuffled column takes its values from payments drawn by those weights. Groups whose
    columns hold one value are left out; [] without a fraud.
    """
    rng = np.random.default_rng(seed)
    rows, weight = _sample(found, rng)
    sample, y = vectors[rows], found.y[rows]
    whole = average_precision(y, score(sample), weight)
    if whole is None:
        return []
    losses = []
    for name, columns in groups.items():
        if not all(_constant(sample[:, column]) for column in columns):
            lost = [whole - _shuffled(score, sample, y, weight, columns, rng) for _ in range(repeats)]
            losses.append({"name": name, "loss": float(np.mean(lost)), "std": float(np.std(lost))})
    return sorted(losses, key=lambda found: -found["loss"])


def _sample(found: Scored, rng: np.random.Generator) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Rows (m,), and what each stands for."""
    rows, weights = [], []
    for of, most in ((found.y, MOST_FRAUDS), (~found.y, MOST_HONEST)):
        there = np.flatnonzero(of)
        taken = np.sort(rng.choice(there, min(most, len(there)), replace=False))
        rows.append(taken)
        weights.append(found.weight[taken] * (len(there) / max(1, len(taken))))
    return np.concatenate(rows), np.concatenate(weights)


def _shuffled(
    score: Score,
    sample: Vectors,
    y: NDArray[np.bool_],
    weight: NDArray[np.float64],
    columns: Sequence[int],
    rng: np.random.Generator,
) -> float:
    donors = rng.choice(len(sample), len(sample), p=weight / weight.sum())
    shuffled = sample.copy()
    shuffled[:, columns] = sample[donors][:, columns]
    return average_precision(y, score(shuffled), weight) or 0.0


def _constant(column: NDArray[np.float32]) -> bool:
    return bool(np.isnan(column).all() or (column == column[0]).all())
