"""The kinds of model that are tried, by name; each library is imported when its candidate is asked for."""

from importlib import import_module

import numpy as np

from features.errors import BadInput
from models.calibration import sampling_shift
from models.candidates.bag import Bag
from models.candidates.base import Candidate, Floats, Labels, NotServable, Vectors
from models.params import Recipe

NAMES = ("lightgbm", "xgboost", "catboost", "forest", "logistic")

__all__ = ["NAMES", "Bag", "Candidate", "NotServable", "candidate", "fit"]


def candidate(name: str) -> Candidate:
    """The candidate of that name. Raises BadInput for another."""
    if name not in NAMES:
        raise BadInput(f"--candidate: {name!r} is unknown; choose from {', '.join(NAMES)}")
    found: Candidate = import_module(f"models.candidates.{name}").CANDIDATE
    return found


def fit(recipe: Recipe, vectors: Vectors, y: Labels, seed: int, weight: Floats | None = None) -> Bag:
    """The recipe's model of `vectors` (n, k) and labels `y` (n,); the same arguments give the same model.

    Its logits are those of the rows as they are: what sampling and weights moved is moved back.
    """
    kind = candidate(recipe.candidate)
    if recipe.members > 1 and not kind.additive:
        raise BadInput(f"recipe: {recipe.candidate} is a mean of many trees itself; members must be 1")
    members = [
        _member(kind, recipe, vectors, y, weight, seed * 1_000 + number) for number in range(recipe.members)
    ]
    shift = sampling_shift(recipe.honest_share, recipe.fraud_weight) if kind.additive else 0.0
    return Bag(members, vectors.shape[1], shift)


def _member(kind: Candidate, recipe: Recipe, vectors: Vectors, y: Labels, weight: Floats | None, seed: int):  # type: ignore[no-untyped-def]
    seen = y | (np.random.default_rng(seed).random(len(y)) < recipe.honest_share)
    weights = None if weight is None and recipe.fraud_weight == 1 else np.where(y, recipe.fraud_weight, 1.0)
    if weight is not None and weights is not None:
        weights = weights * weight
    params = {**kind.params, **recipe.params}
    part = None if weights is None else weights[seen]
    return kind.fit(vectors[seen], y[seen], part, params, seed)
