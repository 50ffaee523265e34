"""The ONNX model takes LightGBM's branches on every float32, or is refused; trees.npz keeps the trees."""

from dataclasses import replace
from functools import partial

import lightgbm as lgb
import numpy as np
import onnxruntime as ort
import pytest

from models.calibration import Calibration
from models.costs import Thresholds
from models.export import check, export
from models.scorer import open_session, run_session
from models.trees import LEAF, Ensemble, ExportRefused
from models.trees_lightgbm import from_dump, raw_logits, read
from models.trees_onnx import to_onnx

PARAMS = {
    "objective": "binary",
    "num_leaves": 15,
    "min_data_in_leaf": 5,
    "num_threads": 2,
    "verbose": -1,
    "seed": 1,
    "deterministic": True,
    "force_row_wise": True,
}
THRESHOLDS = Thresholds(0.3, 0.7)


def matrix() -> tuple[np.ndarray, np.ndarray]:
    """Columns with and without NaN, whole numbers, many zeros and values about LightGBM's zero of 1e-35."""
    rng = np.random.default_rng(3)
    vectors = rng.normal(size=(3000, 8)).astype(np.float32)
    vectors[rng.random(3000) < 0.3, 0] = np.nan
    vectors[:, 1] = np.round(vectors[:, 1] * 3)
    vectors[:, 2] *= rng.random(3000) < 0.3
    vectors[:, 3] = np.where(rng.random(3000) < 0.5, vectors[:, 3] * np.float32(1e-35), vectors[:, 3])
    vectors[:, 4] = np.where(rng.random(3000) < 0.1, np.inf, vectors[:, 4])
    margin = np.nan_to_num(vectors[:, 0]) + vectors[:, 1] * vectors[:, 2] + np.sign(vectors[:, 3]) - 1
    return vectors, rng.random(3000) < 1 / (1 + np.exp(-margin))


@pytest.fixture(scope="module")
def trained() -> tuple[lgb.Booster, np.ndarray]:
    vectors, y = matrix()
    return lgb.train(PARAMS, lgb.Dataset(vectors, y), 60), vectors


def session_of(booster: lgb.Booster, vectors: np.ndarray) -> ort.InferenceSession:
    trained = partial(raw_logits, booster)
    return open_session(export(trained, read(booster), vectors, Calibration(), THRESHOLDS))


def test_export_agrees_on_training_rows_nan_and_thresholds(trained: tuple[lgb.Booster, np.ndarray]) -> None:
    booster, vectors = trained
    session = session_of(booster, vectors)
    everything = np.full((1, 8), np.nan, dtype=np.float32)
    for rows in (vectors, everything, np.zeros_like(everything), np.full_like(everything, np.inf)):
        assert np.abs(run_session(session, rows) - raw_logits(booster, rows)).max() < 1e-5


def test_values_about_zero_take_the_same_branch(trained: tuple[lgb.Booster, np.ndarray]) -> None:
    booster, vectors = trained
    session = session_of(booster, vectors)
    tiny = np.float32(1e-35)
    about_zero = [
        0.0,
        -0.0,
        tiny,
        -tiny,
        1e-45,
        -1e-45,
        *(np.nextafter(s * tiny, s * 1) for s in (1.0, -1.0)),
    ]
    for column in range(8):
        rows = vectors[: len(about_zero)].copy()
        rows[:, column] = about_zero
        assert np.abs(run_session(session, rows) - raw_logits(booster, rows)).max() < 1e-5


@pytest.mark.parametrize("rows", ["shift", "boundary", "missing"])
def test_export_is_refused_when_the_two_disagree(trained: tuple[lgb.Booster, np.ndarray], rows: str) -> None:
    booster, vectors = trained
    ensemble = read(booster)
    wrong = replace(ensemble, **_changed(ensemble, rows))
    content = to_onnx(wrong, 8).SerializeToString()
    with pytest.raises(ExportRefused, match=r"differ by .* in logit"):
        check(partial(raw_logits, booster), content, vectors, Calibration(), THRESHOLDS, ensemble)


def _changed(ensemble: Ensemble, how: str) -> dict[str, np.ndarray]:
    if how == "shift":
        value = ensemble.value.copy()
        value[np.flatnonzero(ensemble.feature == LEAF)[0]] += 1.0
        return {"value": value}
    if how == "boundary":  # one float32 lower than it should be: seen only by a row on the threshold
        threshold = ensemble.threshold.copy()
        threshold[0] = np.nextafter(threshold[0], np.float32(-np.inf))
        return {"threshold": threshold}
    missing_left = ensemble.missing_left.copy()
    missing_left[np.flatnonzero(ensemble.feature == 0)[0]] ^= True  # the column that has NaN
    return {"missing_left": missing_left}


def test_export_is_refused_when_a_decision_flips(trained: tuple[lgb.Booster, np.ndarray]) -> None:
    booster, vectors = trained
    content = to_onnx(read(booster), 8).SerializeToString()
    served = Calibration().probability(run_session(open_session(content), vectors))
    own = Calibration().probability(raw_logits(booster, vectors))
    row = int(np.argmax(np.abs(served - own)))
    between = float(max(served[row], own[row]))
    with pytest.raises(ExportRefused, match="decisions flip"):
        check(partial(raw_logits, booster), content, vectors, Calibration(), Thresholds(between, 1.0))


@pytest.mark.parametrize("change", [{"missing_type": "Zero"}, {"decision_type": "=="}])
def test_what_has_no_equal_form_is_refused(
    trained: tuple[lgb.Booster, np.ndarray], change: dict[str, str]
) -> None:
    dump = trained[0].dump_model()
    dump["tree_info"][0]["tree_structure"] |= change
    with pytest.raises(ExportRefused, match="not exported"):
        from_dump(dump)


def test_a_tree_of_one_leaf() -> None:
    dump = {"tree_info": [{"tree_structure": {"leaf_value": -2.5}}, {"tree_structure": {"leaf_value": 0.5}}]}
    session = open_session(to_onnx(from_dump(dump), 3).SerializeToString())
    assert run_session(session, np.zeros((4, 3), dtype=np.float32)).tolist() == [-2.0] * 4


def test_trees_are_kept_in_bytes_and_the_same_bytes(trained: tuple[lgb.Booster, np.ndarray]) -> None:
    ensemble = read(trained[0])
    content = ensemble.to_bytes()
    kept = Ensemble.from_bytes(content)
    assert kept.to_bytes() == content == read(trained[0]).to_bytes()
    assert to_onnx(kept, 8).SerializeToString() == to_onnx(ensemble, 8).SerializeToString()
    assert (kept.base, kept.link) == (0.0, "logit")


def test_covers_are_the_training_rows(trained: tuple[lgb.Booster, np.ndarray]) -> None:
    ensemble = read(trained[0])
    split = ~ensemble.is_leaf
    assert (ensemble.cover[ensemble.roots] == 3000).all()
    below = ensemble.cover[ensemble.left[split]] + ensemble.cover[ensemble.right[split]]
    assert (below == ensemble.cover[split]).all()


def test_no_trees_are_refused() -> None:
    with pytest.raises(ExportRefused, match="no trees"):
        Ensemble.of([])
