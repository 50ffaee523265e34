"""The model folder and its scorer: whole or refused, and the same bits in whatever batch."""

import os
import subprocess
import sys
from dataclasses import replace
from datetime import date
from functools import partial
from pathlib import Path

import lightgbm as lgb
import numpy as np
import pytest

from models.calibration import Calibration
from models.costs import Costs, Thresholds
from models.export import export
from models.registry import Manifest, Model, ModelRefused, load, save, sha256
from models.scorer import Scorer
from models.trees_lightgbm import raw_logits, read

NAMES, VERSION = tuple(f"f{i}" for i in range(6)), "aaaa1111"


def vectors_and_labels(n: int = 4000) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(11)
    vectors = rng.normal(size=(n, 6)).astype(np.float32)
    vectors[rng.random((n, 6)) < 0.1] = np.nan
    margin = np.nan_to_num(vectors[:, 0]) * 2 + np.nan_to_num(vectors[:, 1]) - 3
    return vectors, rng.random(n) < 1 / (1 + np.exp(-margin))


@pytest.fixture(scope="module")
def model() -> Model:
    vectors, y = vectors_and_labels()
    params = {"objective": "binary", "num_threads": 2, "verbose": -1, "seed": 1, "num_leaves": 31}
    booster = lgb.train(params, lgb.Dataset(vectors, y), 300)
    ensemble, trained = read(booster), partial(raw_logits, booster)
    content = export(trained, ensemble, vectors, Calibration(1.1, 0.9, -0.2), Thresholds(0.2, 0.6))
    trees = ensemble.to_bytes()
    manifest = Manifest(
        product="pix-fraud",
        features_version=VERSION,
        feature_names=NAMES,
        thresholds=Thresholds(0.2, 0.6),
        calibration=Calibration(1.1, 0.9, -0.2),
        costs=Costs(),
        train_from=date(2026, 1, 1),
        train_to=date(2026, 1, 7),
        as_of=date(2026, 1, 15),
        n=len(y),
        n_frauds=int(y.sum()),
        metrics={"average_precision": 0.5, "log_loss": 1 / 3},
        seed=1,
        params=params,
        libraries={"numpy": np.__version__},
        opset={"ai.onnx.ml": 3},
        onnx_sha256=sha256(content),
        trees_sha256=sha256(trees),
    )
    return Model(manifest.identified(), content, trees)


@pytest.fixture
def folder(model: Model, tmp_path: Path) -> Path:
    save(tmp_path / "m", model)
    return tmp_path / "m"


def scorer(folder: Path) -> Scorer:
    return Scorer.load(folder, names=NAMES, features_version=VERSION)


def test_what_is_saved_is_loaded(folder: Path, model: Model) -> None:
    assert load(folder, NAMES, VERSION) == model
    loaded = scorer(folder)
    assert (loaded.model_id, loaded.review, loaded.deny, loaded.n_features) == (
        model.manifest.model_id,
        0.2,
        0.6,
        6,
    )
    assert loaded.trees.to_bytes() == model.trees


def test_saving_again_replaces_the_folder(folder: Path, model: Model) -> None:
    save(folder, model)
    assert [path.name for path in folder.parent.iterdir()] == ["m"]


def test_a_score_has_the_same_bits_in_every_batch(folder: Path) -> None:
    loaded, vectors = scorer(folder), vectors_and_labels(2000)[0]
    whole = loaded.score(vectors)
    assert ((whole > 0) & (whole < 1)).all()
    for size in (1, 2, 3, 7, 50, 51, 128, 129, 500, 1999):
        for start in (0, 1, 5):
            parts = [loaded.score(vectors[at : at + size]) for at in range(start, len(vectors), size)]
            assert np.concatenate(parts).tobytes() == whole[start:].tobytes()
    others = np.random.default_rng(2).permutation(len(vectors))
    assert loaded.score(vectors[others]).tobytes() == whole[others].tobytes()
    assert loaded.score(vectors[::2]).tobytes() == whole[::2].tobytes()


def test_an_empty_batch_and_a_wrong_width(folder: Path) -> None:
    assert scorer(folder).score(np.empty((0, 6), dtype=np.float32)).shape == (0,)
    with pytest.raises(Exception, match=r"takes \(n, 6\) vectors"):
        scorer(folder).score(np.zeros((2, 5), dtype=np.float32))


def test_other_features_are_refused_with_both_hashes(folder: Path) -> None:
    with pytest.raises(ModelRefused, match=r"aaaa1111.*bbbb2222.*train again"):
        Scorer.load(folder, names=NAMES, features_version="bbbb2222")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("model.json", None, "model.json cannot be read"),
        ("model.onnx", None, "model.onnx cannot be read"),
        ("trees.npz", None, "trees.npz cannot be read"),
        ("model.json", b"{", "model.json is damaged at the file"),
        ("model.json", b"{}", "model.json is damaged at product"),
        ("model.json", b'{"format": 1}', "has format 1, this version reads 3; train again"),
        ("model.onnx", b"something else", "model.onnx has hash .* model.json says"),
        ("trees.npz", b"something else", "trees.npz has hash .* model.json says"),
    ],
)
def test_a_damaged_folder_is_refused(folder: Path, name: str, content: bytes | None, message: str) -> None:
    (folder / name).unlink() if content is None else (folder / name).write_bytes(content)
    with pytest.raises(ModelRefused, match=message) as raised:
        scorer(folder)
    assert "\n" not in str(raised.value)


def test_a_threshold_changed_by_hand_is_refused(folder: Path) -> None:
    text = (folder / "model.json").read_text()
    (folder / "model.json").write_text(text.replace('"deny": 0.6', '"deny": 0.9'))
    with pytest.raises(ModelRefused, match="was changed"):
        scorer(folder)


def test_a_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelRefused, match="no such model folder"):
        scorer(tmp_path / "none")


@pytest.mark.parametrize("part", ["onnx", "trees"])
def test_trees_that_cannot_be_read_are_refused(model: Model, part: str) -> None:
    with pytest.raises(ModelRefused, match=f"{model.manifest.model_id}: its trees cannot be read"):
        Scorer(replace(model, **{part: b"no trees"}))


def test_onnx_runtime_keeps_no_events_to_send(model_folder: Path, tmp_path: Path) -> None:
    code = "import pathlib, sys; from models.scorer import Scorer; Scorer.load(pathlib.Path(sys.argv[1]))"
    command = [sys.executable, "-c", code, str(model_folder)]
    kept = {k: v for k, v in os.environ.items() if k not in ("ORT_DISABLE_TELEMETRY", "CI", "XDG_CACHE_HOME")}
    subprocess.run(command, env={**kept, "HOME": str(tmp_path)}, check=True, timeout=60)
    assert list(tmp_path.rglob("*onnxruntime*")) == []
