"""All contenders on the same folds, and which of them may serve."""

import numpy as np
import pyarrow as pa
import pytest

from models.compare import compare, contenders
from models.dataset import Rows
from models.params import Member, Recipe

LIGHT = Recipe((Member("lightgbm", {"trees": 20, "num_threads": 1}),))
WEAK = Recipe((Member("lightgbm", {"trees": 1, "num_leaves": 2, "num_threads": 1}),))
LOGISTIC = Recipe((Member("logistic"),))


@pytest.fixture(scope="module")
def labelled() -> tuple[Rows, np.ndarray]:
    rng, n = np.random.default_rng(2), 4000
    vectors = rng.lognormal(size=(n, 6)).astype(np.float32)
    y = rng.random(n) < 1 / (1 + np.exp(5 - 2 * vectors[:, 0]))
    times = np.datetime64("2026-01-01T00:00:00", "us") + np.arange(n) * np.timedelta64(216, "s")
    ids = pa.array([f"e{i}" for i in range(n)])
    return Rows(ids, ids, times, rng.lognormal(4, 1, n), vectors), y


def test_the_champion_is_the_best_that_is_servable_and_fast_enough(labelled: tuple[Rows, np.ndarray]) -> None:
    recipes = {"weak": WEAK, "lightgbm": LIGHT, "logistic": LOGISTIC}
    answer = compare(*labelled, seed=0, latency_ms=1e6, recipes=recipes)
    by_name = {one["name"]: one for one in answer["contenders"]}
    assert list(by_name)[-1] == "stack"
    assert answer["champion"] == "lightgbm"
    assert not by_name["logistic"]["servable"]
    assert not by_name["stack"]["servable"]
    assert by_name["lightgbm"]["average_precision"] > by_name["weak"]["average_precision"]
    assert (by_name["lightgbm"]["trees"], by_name["logistic"]["trees"]) == (20, 0)
    assert all(by_name[name]["latency_ms"] > 0 for name in recipes)


def test_no_champion_is_too_slow(labelled: tuple[Rows, np.ndarray]) -> None:
    assert compare(*labelled, seed=0, latency_ms=1e-9, recipes={"weak": WEAK})["champion"] is None


def test_every_candidate_and_way_with_imbalance_contends() -> None:
    assert list(contenders(100, 10_000)) == [
        *("default", "lightgbm", "xgboost", "catboost", "forest", "logistic"),
        *("lightgbm, weights", "lightgbm, sampling"),
    ]
