"""Settings of every candidate for `pix-fraud`, and the recipe that a default `train` follows."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from features.errors import BadInput

LIGHTGBM: dict[str, Any] = {
    "trees": 300,
    "learning_rate": 0.05,
    "num_leaves": 15,  # more gain nothing, and reasons are dear where leaves lie deep
    "min_data_in_leaf": 40,
    "lambda_l2": 10.0,
    "feature_fraction": 0.4,
    "bagging_fraction": 0.8,
    "bagging_freq": 1,
    "max_bin": 127,
    "num_threads": 2,
}
XGBOOST: dict[str, Any] = {
    "trees": 250,
    "learning_rate": 0.06,
    "max_depth": 5,
    "min_child_weight": 3.0,
    "lambda": 5.0,
    "colsample_bytree": 0.4,
    "subsample": 0.8,
    "max_bin": 128,
    "nthread": 2,
}
CATBOOST: dict[str, Any] = {
    "trees": 150,
    "learning_rate": 0.12,
    "depth": 6,
    "l2_leaf_reg": 5.0,
    "rsm": 0.4,
    "bootstrap_type": "Bernoulli",
    "subsample": 0.8,
    "thread_count": 2,
}
FOREST: dict[str, Any] = {
    "trees": 100,
    "max_depth": 6,
    "min_samples_leaf": 5,
    "max_features": 0.2,
    "n_jobs": 2,
}
LOGISTIC: dict[str, Any] = {"C": 0.01, "max_iter": 300}

FEW_FRAUDS = 2_000
"""Below so many in training, recipes are made for few. The Handbook's week has 600, its 60 days 5,000."""

LAMBDA_L2_FEW = 1.0
"""LightGBM's shrinkage of the leaves where there are few frauds."""

HONEST_A_FRAUD, HONEST_LEAST = 25, 5_000
"""The honest rows that a model sees for each fraud, and at least. See docs/quality.md for what it brought on
days that were not tested."""

NARROW = (15, 25, 40)
"""Of the default recipe: how many columns each member sees, those of most gain."""
HONEST_BY_MEMBER, HONEST_BY_MEMBER_FEW = (25, 10, 10), (25, 25, 25)
DEPTH, DEPTH_FEW = 6, 5
"""Likewise each member's honest rows for a fraud, and all members' depth; the second where frauds are few."""


@dataclass(frozen=True, slots=True)
class Member:
    """One model of a bag: a candidate, and what differs from the candidate's own settings."""

    candidate: str = "lightgbm"
    params: Mapping[str, Any] = field(default_factory=dict)
    features: int | None = None  # of the columns, only those of most gain; None: all
    honest_share: float = 1.0  # of the honest rows, drawn by the member's seed; every fraud is seen

    def __post_init__(self) -> None:
        """Raises BadInput that names the value out of range."""
        if not isinstance(self.params, Mapping):
            raise BadInput(f"recipe: params = {self.params!r} must be names and values")
        if self.features is not None and self.features < 1:
            raise BadInput(f"recipe: features = {self.features} must be 1 or more, or null")
        if not 0 < self.honest_share <= 1:
            raise BadInput(f"recipe: honest_share = {self.honest_share} must be above 0 and at most 1")


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a model is made from labelled rows: the mean in logit of its members, and what they see."""

    members: tuple[Member, ...] = (Member(),)
    fraud_weight: float = 1.0

    def __post_init__(self) -> None:
        """Raises BadInput that names the value out of range."""
        if not 1 <= len(self.members) <= 20:
            raise BadInput(f"recipe: {len(self.members)} members; there must be 1 to 20")
        if not 0 < self.fraud_weight <= 1e4:
            raise BadInput(f"recipe: fraud_weight = {self.fraud_weight} must be above 0 and at most 10000")

    @property
    def candidate(self) -> str:
        """The members' candidates, each once."""
        return "+".join(dict.fromkeys(member.candidate for member in self.members))


def default_recipe(n_frauds: int, n: int) -> Recipe:
    """What `train` does without a recipe, with so many frauds among n rows."""
    few = n_frauds < FEW_FRAUDS
    depth, honest = (DEPTH_FEW, HONEST_BY_MEMBER_FEW) if few else (DEPTH, HONEST_BY_MEMBER)
    return Recipe(
        tuple(
            Member("catboost", {"depth": depth}, columns, _honest_share(a_fraud, n_frauds, n))
            for columns, a_fraud in zip(NARROW, honest, strict=True)
        )
    )


def candidate_recipe(name: str, n_frauds: int, n: int) -> Recipe:
    """One model of that candidate: where a search starts, and what a comparison measures."""
    params = _shrinkage(n_frauds) if name == "lightgbm" else {}
    return Recipe((Member(name, params, None, _honest_share(HONEST_A_FRAUD, n_frauds, n)),))


def _honest_share(a_fraud: int, n_frauds: int, n: int) -> float:
    return min(1.0, max(a_fraud * n_frauds, HONEST_LEAST) / max(1, n - n_frauds))


def _shrinkage(n_frauds: int) -> dict[str, float]:
    return {"lambda_l2": LAMBDA_L2_FEW} if n_frauds < FEW_FRAUDS else {}


def recipe_of(told: Mapping[str, Any]) -> Recipe:
    """The recipe that was told as JSON."""
    return Recipe(**{**told, "members": tuple(Member(**member) for member in told["members"])})


def read_recipe(path: Path) -> Recipe:
    """The recipe of a file that `vigia models search` or `compare` wrote. Raises BadInput for anything else.

    Whether a served model can come of it is `candidates.require_servable`'s to say.
    """
    try:
        return recipe_of(orjson.loads(path.read_bytes())["recipe"])
    except (OSError, orjson.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
        raise BadInput(f"--recipe: {path} is no file of `vigia models search` ({error!r})") from None
