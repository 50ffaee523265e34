"""A small real model on the real catalog, trained on noise: it decides quickly, not well."""

from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa

from features import catalog
from models.dataset import Rows, Span
from models.params import Member, Recipe
from models.registry import save
from models.train import Task, train


def small_model(folder: Path, seed: int = 3) -> Path:
    """Large amounts and new pairs are fraud, so all three outcomes occur. Another seed is another model."""
    n, rng = 4000, np.random.default_rng(seed)
    vectors = rng.normal(50, 20, size=(n, len(catalog.NAMES))).astype(np.float32)
    vectors[:, catalog.NAMES.index("transaction_amount")] = rng.lognormal(4, 1.5, n)
    vectors[:, catalog.NAMES.index("pair_new_60d")] = rng.random(n) < 0.3
    vectors[rng.random(vectors.shape) < 0.05] = np.nan
    amount, new = (vectors[:, catalog.NAMES.index(name)] for name in ("transaction_amount", "pair_new_60d"))
    risk = 1 / (1 + np.exp(-(np.nan_to_num(amount) / 100 + 2 * np.nan_to_num(new) - 5)))
    first = np.datetime64("2026-01-01T00:00:00", "us")
    ids = pa.array([f"e{i}" for i in range(n)])
    rows = Rows(
        ids, ids, first + np.arange(n) * np.timedelta64(60, "s"), np.nan_to_num(amount, nan=1.0), vectors
    )
    span = Span(date(2026, 1, 1), date(2026, 1, 3))
    recipe = Recipe((Member("lightgbm", {"trees": 60, "lambda_l2": 1.0}),))
    task = Task("pix-fraud", span, date(2026, 1, 11), catalog.NAMES, catalog.FEATURES_VERSION, recipe=recipe)
    save(folder, train(task, rows, rng.random(n) < risk))
    return folder
