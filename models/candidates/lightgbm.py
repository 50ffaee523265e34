"""LightGBM, the library named here alone among the candidates."""

from functools import partial
from typing import Any

import lightgbm as lgb
import numpy as np

from models.candidates.base import Candidate, Floats, Labels, Params, TreeModel, Trial, Vectors
from models.params import LIGHTGBM
from models.trees_lightgbm import raw_logits, read

FIXED: dict[str, Any] = {
    "objective": "binary",
    # The same rows and seed give the same trees, whatever the machine's load.
    "deterministic": True,
    "force_row_wise": True,
    "verbose": -1,
}
MORE = frozenset({"lambda_l1", "max_depth", "min_gain_to_split", "min_sum_hessian_in_leaf", "path_smooth"})


def fit(vectors: Vectors, y: Labels, weight: Floats | None, params: Params, seed: int) -> TreeModel:
    """`params` are LightGBM's, and `trees`."""
    settings = {**FIXED, **params, "seed": seed}
    trees = settings.pop("trees")
    booster = lgb.train(settings, lgb.Dataset(vectors, y, weight=weight), num_boost_round=trees)
    return TreeModel(vectors.shape[1], partial(raw_logits, booster), partial(read, booster))


def gains(vectors: Vectors, y: Labels, seed: int) -> Floats:
    """What each column's splits gained (k,) in 50 trees of the candidate's own settings, at larger steps."""
    settings = {**FIXED, **LIGHTGBM, "learning_rate": 0.1, "seed": seed}
    del settings["trees"]
    booster = lgb.train(settings, lgb.Dataset(vectors, y), num_boost_round=50)
    return np.asarray(booster.feature_importance("gain"), dtype=np.float64)


def space(trial: Trial) -> dict[str, Any]:
    """Around the settings that did well; bounded so that no trial grows more than 400 trees."""
    return {
        "trees": trial.suggest_int("trees", 60, 400, log=True),
        "learning_rate": trial.suggest_float("learning_rate", 0.02, 0.15, log=True),
        "num_leaves": trial.suggest_int("num_leaves", 7, 20),
        "min_data_in_leaf": trial.suggest_int("min_data_in_leaf", 10, 200, log=True),
        "lambda_l2": trial.suggest_float("lambda_l2", 0.1, 100.0, log=True),
        "feature_fraction": trial.suggest_float("feature_fraction", 0.15, 0.8),
        "bagging_fraction": trial.suggest_float("bagging_fraction", 0.5, 1.0),
    }


CANDIDATE = Candidate("lightgbm", {"lightgbm": lgb.__version__}, LIGHTGBM, space, fit, more=MORE)
