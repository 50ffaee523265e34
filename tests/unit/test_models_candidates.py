"""Every candidate by one contract: the same model again, ONNX as the library, sampling corrected."""

from dataclasses import replace

import numpy as np
import pytest
from optuna.trial import FixedTrial

from features.errors import BadInput
from models.calibration import sampling_shift, sigmoid
from models.candidates import NAMES, NotServable, candidate, fit
from models.candidates.stack import stacked
from models.params import Member, Recipe, default_recipe, read_recipe
from models.scorer import open_session, run_session

TREES = [name for name in NAMES if name != "logistic"]
FEW = {
    "lightgbm": {"trees": 20, "num_threads": 1},
    "xgboost": {"trees": 20, "nthread": 1},
    "catboost": {"trees": 20, "thread_count": 1},
    "forest": {"trees": 10, "n_jobs": 1},
    "logistic": {},
}

Data = tuple[np.ndarray, np.ndarray]


@pytest.fixture(scope="module")
def data() -> Data:
    rng = np.random.default_rng(11)
    vectors = (rng.lognormal(size=(3000, 12)) * rng.choice([-1, 1], 12)).astype(np.float32)
    vectors[:, 3] = np.where(rng.random(3000) < 0.3, np.nan, vectors[:, 3])
    vectors[:, 7] = 5.0
    risk = np.log(np.abs(vectors[:, 0])) * 2 + 2 * np.isnan(vectors[:, 3]) + np.abs(vectors[:, 5]) - 4.5
    return vectors, rng.random(3000) < sigmoid(risk)


def only(name: str, honest_share: float = 1.0, fraud_weight: float = 1.0) -> Recipe:
    return Recipe((Member(name, FEW[name], None, honest_share),), fraud_weight)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("honest_share", [1.0, 0.5])
def test_onnx_says_what_the_library_says(data: Data, name: str, honest_share: float) -> None:
    vectors, y = data
    model = fit(only(name, honest_share), vectors, y, seed=1)
    if name != "forest":  # it corrects its own scores
        assert (model.shift == 0.0) == (honest_share == 1.0)
    probes = vectors.copy()
    probes[np.random.default_rng(0).random(probes.shape) < 0.2] = np.nan
    session = open_session(model.onnx().SerializeToString())
    for rows in (vectors, probes):
        logits = model.logits(rows)
        assert logits.shape == (len(rows),)
        assert np.abs(run_session(session, rows) - logits).max() < 1e-4
    assert model.logits(vectors)[y].mean() > model.logits(vectors)[~y].mean() + 0.5


@pytest.mark.parametrize("name", NAMES)
def test_a_search_can_begin_with_the_settings_that_are_built_in(name: str) -> None:
    """Else its first trial is another recipe, and its answer may be worse."""
    kind = candidate(name)
    assert kind.space(FixedTrial(kind.params)).items() <= kind.params.items()


@pytest.mark.parametrize("name", NAMES)
def test_a_seed_gives_the_same_model_again(data: Data, name: str) -> None:
    vectors, y = data
    first, again = (fit(only(name, honest_share=0.7), vectors, y, seed=4).logits(vectors) for _ in range(2))
    assert np.array_equal(first, again)
    if name != "logistic":
        assert not np.array_equal(first, fit(only(name), vectors, y, seed=5).logits(vectors))


@pytest.mark.parametrize("name", NAMES)
def test_a_candidate_says_which_libraries_it_took(name: str) -> None:
    assert all(found[0].isdigit() for found in candidate(name).libraries.values())


def test_a_logistic_regression_has_no_trees(data: Data) -> None:
    vectors, y = data
    with pytest.raises(NotServable, match="no trees"):
        fit(only("logistic"), vectors, y, seed=1).ensemble()


@pytest.mark.parametrize("name", ["lightgbm", "xgboost", "catboost", "logistic"])
@pytest.mark.parametrize("change", [{"honest_share": 0.25}, {"fraud_weight": 6.0}])
def test_what_sampling_and_weights_moved_is_moved_back(
    data: Data, name: str, change: dict[str, float]
) -> None:
    vectors, y = data
    told = sigmoid(fit(only(name, **change), vectors, y, seed=2).logits(vectors)).mean()
    assert 0.75 * y.mean() < told < 1.3 * y.mean()


def test_the_shift_is_that_of_the_odds() -> None:
    assert np.isclose(sampling_shift(0.2, 3.0), -np.log(15.0))
    assert sampling_shift(1.0) == 0.0


def test_a_mixed_bag_is_one_ensemble(data: Data) -> None:
    vectors, y = data
    members = (
        Member("lightgbm", FEW["lightgbm"]),
        Member("xgboost", FEW["xgboost"], features=4),
        Member("catboost", FEW["catboost"], features=3, honest_share=0.5),
    )
    bag = fit(Recipe(members), vectors, y, seed=3)
    alone = [member.logits(vectors) for member in bag.members]
    assert np.allclose(bag.logits(vectors), np.mean(alone, axis=0) + np.log(0.5) / 3)
    ensemble = bag.ensemble()
    assert len(ensemble.roots) == 60
    assert ensemble.feature.max() < vectors.shape[1]
    session = open_session(bag.onnx().SerializeToString())
    assert np.abs(run_session(session, vectors) - bag.logits(vectors)).max() < 1e-4


def test_a_narrow_member_sees_the_best_columns_alone(data: Data) -> None:
    vectors, y = data
    bag = fit(Recipe((Member("lightgbm", FEW["lightgbm"], features=3),)), vectors, y, seed=1)
    split_on = set(bag.ensemble().feature.tolist()) - {-1}
    assert split_on == {0, 3, 5}


def test_weights_count_as_copies(data: Data) -> None:
    vectors, y = data
    twice = fit(only("logistic"), np.vstack([vectors, vectors]), np.concatenate([y, y]), seed=1)
    weighted = fit(only("logistic"), vectors, y, seed=1, weight=np.full(len(y), 2.0))
    assert np.allclose(twice.logits(vectors), weighted.logits(vectors), atol=1e-3)


def test_a_forest_joins_no_bag(data: Data) -> None:
    vectors, y = data
    recipe = Recipe((Member("forest", FEW["forest"]), Member("lightgbm", FEW["lightgbm"])))
    with pytest.raises(BadInput, match="only member"):
        fit(recipe, vectors, y, seed=1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"fraud_weight": -1}, "fraud_weight"),
        ({"members": ()}, "0 members"),
    ],
)
def test_a_recipe_out_of_range_is_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        replace(Recipe(), **change)


def test_a_member_out_of_range_is_refused() -> None:
    with pytest.raises(BadInput, match="honest_share = 0"):
        Member("lightgbm", honest_share=0)
    with pytest.raises(BadInput, match="features = 0"):
        Member("lightgbm", features=0)


@pytest.mark.parametrize("name", TREES)
def test_every_setting_of_a_candidate_and_of_its_search_is_one_of_its_own(name: str) -> None:
    kind = candidate(name)
    searched = kind.space(FixedTrial(kind.params))
    assert searched.keys() <= {*kind.params, *kind.more}
    kind.require({**kind.params, **searched})  # raises for what the library itself would not take


def test_an_unknown_candidate_is_named() -> None:
    with pytest.raises(BadInput, match="'neural' is unknown; choose from lightgbm"):
        candidate("neural")


def test_a_file_that_is_no_recipe_is_named(tmp_path) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "r.json").write_text('{"recipe": {"members": [{"candidat": "lightgbm"}]}}')
    with pytest.raises(BadInput, match="--recipe: "):
        read_recipe(tmp_path / "r.json")


@pytest.mark.parametrize("n_frauds", [100, 1_999, 2_000, 5_000])
def test_the_default_asks_no_more_of_a_payment_than_latency_allows(n_frauds: int) -> None:
    recipe = default_recipe(n_frauds, 100_000)
    params = [{**candidate(m.candidate).params, **m.params} for m in recipe.members]
    assert sum(p["trees"] * p["depth"] for p in params) <= 2_700


@pytest.mark.parametrize(
    ("n_frauds", "members"),
    [
        (1_999, [(15, 5, 0.25), (25, 5, 0.25), (40, 5, 0.25)]),
        (2_000, [(15, 6, 0.25), (25, 6, 0.1), (40, 6, 0.1)]),
    ],
)
def test_the_default_has_three_members_by_the_number_of_frauds(
    n_frauds: int, members: list[tuple[int, int, float]]
) -> None:
    recipe = default_recipe(n_frauds, 101 * n_frauds)
    found = [(m.features, m.params["depth"], round(m.honest_share, 3)) for m in recipe.members]
    assert found == members


@pytest.mark.parametrize(
    ("n_frauds", "n", "shares"),
    [
        (600, 67_600, {15 / 67}),
        (5_000, 505_000, {0.25, 0.1}),
        (20, 500_020, {0.01}),
        (1_000, 5_000, {1.0}),
    ],
)
def test_the_default_sees_so_many_honest_rows_a_fraud(n_frauds: int, n: int, shares: set[float]) -> None:
    members = default_recipe(n_frauds, n).members
    assert {round(member.honest_share, 9) for member in members} == {round(share, 9) for share in shares}


def test_a_stack_learns_from_earlier_folds_alone() -> None:
    rng = np.random.default_rng(3)
    fold, y = np.repeat([0, 1, 2], 300), rng.random(900) < 0.2
    good, noise = rng.normal(size=900) + 2 * y, rng.normal(size=900)
    logits = stacked([good, noise], y, fold)
    assert np.isnan(logits[fold == 0]).all()
    assert logits[fold > 0][y[fold > 0]].mean() > logits[fold > 0][~y[fold > 0]].mean() + 1
    later = y.copy()
    later[fold == 2] = ~later[fold == 2]
    assert np.array_equal(stacked([good, noise], later, fold), logits, equal_nan=True)
