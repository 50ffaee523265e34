"""LightGBM's settings for `pix-fraud`, in one place."""

from typing import Any

PARAMS: dict[str, Any] = {
    "objective": "binary",
    # Few positives (about 500 in 70,000 rows for a week): small steps, small trees, much averaging. Steps
    # half as long gain nothing on the Handbook's data, and their twice as many trees cost twice the time.
    "learning_rate": 0.06,
    "num_leaves": 15,
    "min_data_in_leaf": 40,
    "min_sum_hessian_in_leaf": 0.1,
    "lambda_l2": 10.0,
    "feature_fraction": 0.4,
    "bagging_fraction": 0.8,
    "bagging_freq": 1,
    "max_bin": 127,
    # The same rows and seed give the same trees, whatever the machine's load.
    "deterministic": True,
    "force_row_wise": True,
    "num_threads": 2,
    "verbose": -1,
}

MAX_TREES = 300
"""The folds choose how many of them are kept. Each costs the worker about 20 ns a payment."""

MIN_TREES = 20

PATIENCE = 60
"""A fold ends when its log loss has not improved for so many trees."""
