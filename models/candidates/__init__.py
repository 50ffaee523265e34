"""The kinds of model that are tried, by name; each library is imported when its candidate is asked for."""

from importlib import import_module

import numpy as np
from numpy.typing import NDArray

from features.errors import BadInput
from models.calibration import sampling_shift
from models.candidates.bag import Bag
from models.candidates.base import Candidate, Fitted, Floats, Labels, NotServable, Vectors
from models.params import Member, Recipe

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
    kinds = [candidate(member.candidate) for member in recipe.members]
    if len(kinds) > 1 and not all(kind.additive for kind in kinds):
        raise BadInput("recipe: a forest or a logistic regression must be the only member")
    weights = _weights(recipe, y, weight)
    columns = _columns(recipe, vectors, y, seed)
    members = [
        _fit(kind, member, recipe.honest_share, vectors, y, weights, columns, seed * 1_000 + number)
        for number, (kind, member) in enumerate(zip(kinds, recipe.members, strict=True))
    ]
    shift = sampling_shift(recipe.honest_share, recipe.fraud_weight) if kinds[0].additive else 0.0
    return Bag(members, columns, vectors.shape[1], shift)


def _fit(
    kind: Candidate,
    member: Member,
    honest_share: float,
    vectors: Vectors,
    y: Labels,
    weights: Floats | None,
    columns: NDArray[np.intp],
    seed: int,
) -> Fitted:
    seen = _draw(y, honest_share, seed)
    part = None if weights is None else weights[seen]
    return kind.fit(vectors[np.ix_(seen, columns)], y[seen], part, {**kind.params, **member.params}, seed)


def _draw(y: Labels, honest_share: float, seed: int) -> NDArray[np.intp]:
    """Every fraud and that share of the honest rows, in their order."""
    return np.flatnonzero(y | (np.random.default_rng(seed).random(len(y)) < honest_share))


def _weights(recipe: Recipe, y: Labels, weight: Floats | None) -> Floats | None:
    if recipe.fraud_weight == 1.0:
        return weight
    weights = np.where(y, recipe.fraud_weight, 1.0)
    return weights if weight is None else weights * weight


def _columns(recipe: Recipe, vectors: Vectors, y: Labels, seed: int) -> NDArray[np.intp]:
    """The columns the members see, ascending: all, or those of most gain in a LightGBM of the same rows."""
    k = vectors.shape[1]
    if recipe.features is None or recipe.features >= k:
        return np.arange(k)
    from models.candidates.lightgbm import gains

    seen = _draw(y, recipe.honest_share, seed)
    order = np.argsort(-gains(vectors[seen], y[seen], seed), kind="stable")
    return np.sort(order[: recipe.features])
