"""Every library's trees, read, scored and explained as that library itself does."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import catboost
import lightgbm as lgb
import numpy as np
import pytest
import xgboost as xgb
from sklearn.ensemble import RandomForestClassifier

from models import leaf_tables, trees_catboost, trees_forest, trees_lightgbm, trees_xgboost
from models.calibration import Calibration
from models.costs import Thresholds
from models.explain import Explainer
from models.export import check, export
from models.scorer import open_session, run_session
from models.trees import LEAF, LEAST_PROBABILITY, Ensemble, ExportRefused, logit_of
from models.trees_onnx import to_onnx

K, N = 7, 3000
NEVER = Thresholds(1.0, 1.0)
ALONE = {f"F{i}": (i,) for i in range(K)}
"""Each feature its own family."""


def matrix(seed: int = 5) -> tuple[np.ndarray, np.ndarray]:
    """Columns with and without NaN, whole numbers, many zeros, tiny numbers, and one of nothing but NaN."""
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(N, K)).astype(np.float32)
    vectors[rng.random(N) < 0.3, 0] = np.nan
    vectors[:, 1] = np.round(vectors[:, 1] * 3)
    vectors[:, 2] *= rng.random(N) < 0.3
    vectors[:, 3] *= np.float32(1e-38)
    vectors[rng.random(N) < 0.5, 4] = np.nan
    vectors[:, 6] = np.nan
    margin = np.nan_to_num(vectors[:, 0]) + vectors[:, 1] * vectors[:, 2] + np.isnan(vectors[:, 4]) - 1.5
    return vectors, rng.random(N) < 1 / (1 + np.exp(-2 * margin))


class Trained(NamedTuple):
    """A library's model: its raw logits, its trees, and its own SHAP values (n, K + 1), the last the mean."""

    logits: Callable[[np.ndarray], np.ndarray]
    ensemble: Ensemble
    shap: Callable[[np.ndarray], np.ndarray] | None


def lightgbm(**params: Any) -> Trained:
    vectors, y = matrix()
    known = {"objective": "binary", "verbose": -1, "seed": 1, "num_threads": 2, "num_leaves": 20}
    booster = lgb.train({**known, **params}, lgb.Dataset(vectors, y), 50)
    shap = partial(booster.predict, pred_contrib=True)
    return Trained(partial(trees_lightgbm.raw_logits, booster), trees_lightgbm.read(booster), shap)


def xgboost(**params: Any) -> Trained:
    vectors, y = matrix()
    known = {"objective": "binary:logistic", "seed": 1, "nthread": 2, "max_depth": 5}
    booster = xgb.train({**known, **params}, xgb.DMatrix(vectors, y), 50)

    def shap(rows: np.ndarray) -> np.ndarray:
        return booster.predict(xgb.DMatrix(rows), pred_contribs=True)

    return Trained(partial(trees_xgboost.raw_logits, booster), trees_xgboost.read(booster), shap)


def cat(**params: Any) -> Trained:
    vectors, y = matrix()
    known = {"iterations": 50, "depth": 6, "random_seed": 1, "thread_count": 2, "verbose": 0}
    model = catboost.CatBoostClassifier(**{**known, "allow_writing_files": False, **params}).fit(vectors, y)

    def shap(rows: np.ndarray) -> np.ndarray:
        return model.get_feature_importance(catboost.Pool(rows), type="ShapValues")

    return Trained(partial(trees_catboost.raw_logits, model), trees_catboost.read(model), shap)


def forest(**params: Any) -> Trained:
    vectors, y = matrix()
    known = {"n_estimators": 40, "max_depth": 7, "random_state": 1}
    model = RandomForestClassifier(**{**known, **params}).fit(vectors, y)
    return Trained(partial(trees_forest.raw_logits, model), trees_forest.read(model), None)


MODELS: dict[str, Callable[[], Trained]] = {
    "lightgbm": lightgbm,
    "lightgbm weighted": lambda: lightgbm(scale_pos_weight=5, bagging_fraction=0.7, bagging_freq=1),
    "xgboost": xgboost,
    "xgboost pruned": lambda: xgboost(gamma=3, tree_method="exact", scale_pos_weight=4),
    "xgboost by leaves": lambda: xgboost(
        grow_policy="lossguide", max_leaves=12, max_depth=0, base_score=0.03, subsample=0.7
    ),
    "catboost": cat,
    "catboost high": lambda: cat(nan_mode="Max", auto_class_weights="Balanced", depth=4),
    "forest": forest,
    "forest weighted": lambda: forest(class_weight="balanced_subsample", max_leaf_nodes=40, max_depth=None),
}


@pytest.fixture(scope="module", params=MODELS)
def trained(request: pytest.FixtureRequest) -> Trained:
    return MODELS[request.param]()


def rows_with_more_nan() -> np.ndarray:
    """New rows; among them NaN in columns that had none in training, numbers where there was only NaN."""
    vectors = matrix(seed=8)[0]
    rng = np.random.default_rng(1)
    vectors[rng.random(vectors.shape) < 0.2] = np.nan
    vectors[:500, 6] = rng.normal(size=500)
    vectors[0], vectors[1] = np.nan, 0.0
    return vectors


def test_the_export_agrees_on_training_rows_nan_and_thresholds(trained: Trained) -> None:
    vectors, _ = matrix()
    session = open_session(export(trained.logits, trained.ensemble, vectors, Calibration(), NEVER))
    rows = rows_with_more_nan()
    assert np.abs(run_session(session, rows) - trained.logits(rows)).max() < 1e-4


@pytest.mark.parametrize("column", [0, 1, 2])
def test_one_float_aside_is_refused_below_the_root_too(trained: Trained, column: int) -> None:
    vectors, _ = matrix()
    ensemble = trained.ensemble
    inner = np.setdiff1d(np.flatnonzero((ensemble.feature == column) & (ensemble.cover > 60)), ensemble.roots)
    most = inner[np.argmax(ensemble.cover[inner])]
    same = (ensemble.feature == column) & (ensemble.threshold == ensemble.threshold[most])
    with np.errstate(over="ignore", under="ignore"):
        below = np.nextafter(ensemble.threshold, np.float32(-np.inf))
    wrong = replace(ensemble, threshold=np.where(same, below, ensemble.threshold))
    content = to_onnx(wrong, K).SerializeToString()
    with pytest.raises(ExportRefused, match="rows on a threshold"):
        check(trained.logits, content, vectors, Calibration(), NEVER, ensemble)


def test_values_add_up_to_the_raw_output(trained: Trained) -> None:
    rows = rows_with_more_nan()
    given = Explainer(trained.ensemble, ALONE).contributions(rows).sum(axis=1)
    raw = trained.logits(rows)
    if trained.ensemble.link == "probability":
        raw = 1 / (1 + np.exp(-raw))
    mean = raw - given
    assert np.ptp(mean) < 2e-5
    assert abs(mean.mean() - expected(trained.ensemble)) < 2e-5


def expected(ensemble: Ensemble) -> float:
    """The mean raw output over the training rows, by the covers."""
    leaf, size = ensemble.is_leaf, np.diff([*ensemble.roots, len(ensemble.feature)])
    root = np.repeat(ensemble.roots, size)
    return ensemble.base + float((ensemble.value * ensemble.cover / ensemble.cover[root])[leaf].sum())


def test_values_are_the_librarys_own(trained: Trained) -> None:
    if trained.shap is None:
        pytest.skip("scikit-learn has none; that they add up is held above, the formula by the others")
    rows = rows_with_more_nan()
    own = trained.shap(rows)[:, :K]
    ours = Explainer(trained.ensemble, ALONE).contributions(rows)
    precise = own.dtype == np.float64
    assert np.abs(own - ours).max() < (1e-9 if precise else 2e-5)


def test_a_forest_that_is_certain_has_a_finite_logit() -> None:
    logits = logit_of(np.array([0.0, 1e-9, 0.5, 1.0]))
    assert np.allclose(
        logits, [np.log(LEAST_PROBABILITY), np.log(LEAST_PROBABILITY), 0, 13.815510], atol=2e-6
    )
    vectors, y = np.zeros((4, 2), np.float32), np.array([False, False, True, True])
    vectors[2:, 0] = 1
    model = RandomForestClassifier(3, bootstrap=False).fit(vectors, y)
    content = export(
        partial(trees_forest.raw_logits, model), trees_forest.read(model), vectors, Calibration(), NEVER
    )
    served = run_session(open_session(content), vectors)
    assert np.allclose(served, [-13.815510, -13.815510, 13.815510, 13.815510], atol=1e-5)


def test_a_forest_too_deep_for_reasons_in_time_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leaf_tables, "LINES", 1 << 14)  # so that 100 trees are too many
    model = forest(n_estimators=100, max_depth=None)
    with pytest.raises(ExportRefused, match="too deep for reasons"):
        export(model.logits, model.ensemble, matrix()[0], Calibration(), NEVER)


def test_a_pruned_tree_is_read_without_what_was_cut() -> None:
    ensemble = MODELS["xgboost pruned"]().ensemble
    leaves = int((ensemble.feature == LEAF).sum())
    assert len(ensemble.feature) == 2 * leaves - len(ensemble.roots)


@pytest.mark.parametrize(
    ("library", "params"),
    [
        (xgboost, {"objective": "reg:squarederror"}),
        (xgboost, {"booster": "dart"}),
        (cat, {"grow_policy": "Lossguide"}),
        (lightgbm, {"boosting": "rf", "bagging_freq": 1, "bagging_fraction": 0.5}),
        (lightgbm, {"linear_tree": True}),
    ],
)
def test_what_has_no_equal_form_is_refused(library: Callable[..., Trained], params: dict[str, Any]) -> None:
    with pytest.raises(ExportRefused, match="exported"):
        library(**params)
