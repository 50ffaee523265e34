"""XGBoost, the library named here alone among the candidates."""

from functools import partial
from typing import Any

import numpy as np
import xgboost as xgb

from models.candidates.base import Candidate, Floats, Labels, Params, TreeModel, Trial, Vectors
from models.params import XGBOOST
from models.trees_xgboost import raw_logits, read

FIXED: dict[str, Any] = {"objective": "binary:logistic", "tree_method": "hist", "verbosity": 0}
MORE = frozenset({"alpha", "gamma", "max_delta_step", "colsample_bylevel", "colsample_bynode"})


def fit(vectors: Vectors, y: Labels, weight: Floats | None, params: Params, seed: int) -> TreeModel:
    """`params` are XGBoost's, and `trees`."""
    settings = {**FIXED, **params, "seed": seed}
    trees = settings.pop("trees")
    data = xgb.QuantileDMatrix(vectors, y.astype(np.float32), weight=weight, max_bin=settings["max_bin"])
    booster = xgb.train(settings, data, num_boost_round=trees)
    return TreeModel(vectors.shape[1], partial(raw_logits, booster), partial(read, booster))


def space(trial: Trial) -> dict[str, Any]:
    """Around the settings that did well; small trees, for reasons are dear where leaves lie deep."""
    return {
        "trees": trial.suggest_int("trees", 60, 400, log=True),
        "learning_rate": trial.suggest_float("learning_rate", 0.02, 0.15, log=True),
        "max_depth": trial.suggest_int("max_depth", 3, 5),
        "min_child_weight": trial.suggest_float("min_child_weight", 0.1, 20.0, log=True),
        "lambda": trial.suggest_float("lambda", 0.1, 100.0, log=True),
        "colsample_bytree": trial.suggest_float("colsample_bytree", 0.15, 0.8),
        "subsample": trial.suggest_float("subsample", 0.5, 1.0),
    }


CANDIDATE = Candidate("xgboost", {"xgboost": xgb.__version__}, XGBOOST, space, fit, more=MORE)
