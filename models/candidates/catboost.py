"""CatBoost, the library named here alone among the candidates."""

from functools import partial
from typing import Any

import catboost
import numpy as np
from catboost import CatBoostClassifier, Pool

from models.candidates.base import Candidate, Floats, Labels, Params, TreeModel, Trial, Vectors
from models.params import CATBOOST
from models.trees_catboost import raw_logits, read

FIXED: dict[str, Any] = {
    "loss_function": "Logloss",
    "logging_level": "Silent",
    "allow_writing_files": False,
    "boosting_type": "Plain",
}
MORE = frozenset({"random_strength", "border_count", "leaf_estimation_iterations", "bagging_temperature"})


def fit(vectors: Vectors, y: Labels, weight: Floats | None, params: Params, seed: int) -> TreeModel:
    """`params` are CatBoost's, and `trees`."""
    settings = {**FIXED, **params, "random_seed": seed}
    model = CatBoostClassifier(iterations=settings.pop("trees"), **settings)
    model.fit(Pool(vectors, y.astype(np.int8), weight=weight))
    return TreeModel(vectors.shape[1], partial(raw_logits, model), partial(read, model))


def space(trial: Trial) -> dict[str, Any]:
    """Around the settings that did well; small trees, for reasons are dear where leaves lie deep."""
    return {
        "trees": trial.suggest_int("trees", 100, 600, log=True),
        "learning_rate": trial.suggest_float("learning_rate", 0.02, 0.2, log=True),
        "depth": trial.suggest_int("depth", 3, 7),
        "l2_leaf_reg": trial.suggest_float("l2_leaf_reg", 0.5, 50.0, log=True),
        "rsm": trial.suggest_float("rsm", 0.15, 0.8),
        "subsample": trial.suggest_float("subsample", 0.5, 1.0),
    }


CANDIDATE = Candidate("catboost", {"catboost": catboost.__version__}, CATBOOST, space, fit, more=MORE)
