"""The kinds of model that are tried, by name; each library is imported when its candidate is asked for."""

from collections.abc import Sequence
from importlib import import_module

import numpy as np
from numpy.typing import NDArray

from features.errors import BadInput
from models.calibration import sampling_shift
from models.candidates.bag import Bag, Narrow
from models.candidates.base import Candidate, Fitted, Floats, Labels, NotServable, Vectors
from models.params import Member, Recipe

CHOOSES_COLUMNS = "lightgbm"
"""Whose gains say which columns a narrow member sees."""

NAMES = ("lightgbm", "xgboost", "catboost", "forest", "logistic")

__all__ = [
    "CHOOSES_COLUMNS",
    "NAMES",
    "Bag",
    "Candidate",
    "NotServable",
    "candidate",
    "fit",
    "require_servable",
]


def candidate(name: str, option: str = "--candidate") -> Candidate:
    """The candidate of that name. Raises BadInput for another, by the option that named it."""
    if name not in NAMES:
        raise BadInput(f"{option}: {name!r} is unknown; choose from {', '.join(NAMES)}")
    found: Candidate = import_module(f"models.candidates.{name}").CANDIDATE
    return found


def require_servable(recipe: Recipe) -> None:
    """Raises BadInput, before anything is read or fitted, for a recipe of which no served model can come."""
    kinds = [candidate(member.candidate, "--recipe") for member in recipe.members]
    for kind, member in zip(kinds, recipe.members, strict=True):
        if not kind.servable:
            raise BadInput(f"--recipe: {kind.name} has no trees: it is there to compare with, never to serve")
        kind.require(member.params)
    _require_a_mean(kinds)


def fit(recipe: Recipe, vectors: Vectors, y: Labels, seed: int, weight: Floats | None = None) -> Bag:
    """The recipe's model of `vectors` (n, k) and labels `y` (n,); the same arguments give the same model.

    Its logits are those of the rows as they are: what sampling and weights moved is moved back.
    """
    kinds = [candidate(member.candidate) for member in recipe.members]
    _require_a_mean(kinds)
    weights = _weights(recipe, y, weight)
    members = [
        _fit(kind, member, vectors, y, weights, seed * 1_000 + number)
        for number, (kind, member) in enumerate(zip(kinds, recipe.members, strict=True))
    ]
    shifts = [sampling_shift(member.honest_share, recipe.fraud_weight) for member in recipe.members]
    return Bag(members, vectors.shape[1], float(np.mean(shifts)) if kinds[0].additive else 0.0)


def _require_a_mean(kinds: Sequence[Candidate]) -> None:
    if len(kinds) > 1 and not all(kind.additive for kind in kinds):
        raise BadInput("recipe: a forest or a logistic regression must be the only member")


def _fit(
    kind: Candidate,
    member: Member,
    vectors: Vectors,
    y: Labels,
    weights: Floats | None,
    seed: int,
) -> Fitted:
    drawn = y | (np.random.default_rng(seed).random(len(y)) < member.honest_share)
    seen = np.flatnonzero(drawn if weights is None else drawn & (weights > 0))
    rows, part = vectors[seen], None if weights is None else weights[seen]
    params = {**kind.params, **member.params}
    if member.features is None or member.features >= vectors.shape[1]:
        return kind.fit(rows, y[seen], part, params, seed)
    columns = best_columns(rows, y[seen], member.features, seed)
    fitted = kind.fit(np.ascontiguousarray(rows[:, columns]), y[seen], part, params, seed)
    return Narrow(fitted, columns, vectors.shape[1])


def _weights(recipe: Recipe, y: Labels, weight: Floats | None) -> Floats | None:
    if recipe.fraud_weight == 1.0:
        return weight
    weights = np.where(y, recipe.fraud_weight, 1.0)
    return weights if weight is None else weights * weight


def best_columns(vectors: Vectors, y: Labels, count: int, seed: int) -> NDArray[np.intp]:
    """The columns (count,) of most gain in a LightGBM of these rows, ascending."""
    gains = import_module(f"models.candidates.{CHOOSES_COLUMNS}").gains
    order = np.argsort(-gains(vectors, y, seed), kind="stable")
    return np.sort(order[:count])
