"""The registry on a real MLflow with SQLite: what is served is what was registered; a watcher brings it."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnxruntime as ort
import orjson
import pytest

from deploy.local.ports import free_port
from features.errors import BadInput
from models.mlflow_connection import RegistryAway
from models.mlflow_registry import Registry, Version
from models.model_cache import Address, ModelCache
from models.model_watch import Watcher
from models.registry import ModelRefused
from models.scorer import Scorer

from ..small_model import small_model
from ..unit.test_gates import EVALUATION

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # MLflow's own, of SQLAlchemy


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory, model_folder: Path) -> list[Path]:
    return [model_folder, small_model(tmp_path_factory.mktemp("other") / "model", seed=4)]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Made once: MLflow takes seconds to make its tables."""
    folder = tmp_path_factory.mktemp("store")
    Registry("pix-fraud", f"sqlite:///{folder}/mlflow.db").make()
    return folder / "mlflow.db"


@pytest.fixture
def registry(store: Path, tmp_path: Path) -> Iterator[Registry]:
    """An empty one."""
    shutil.copy(store, tmp_path / "mlflow.db")
    return Registry("pix-fraud", f"sqlite:///{tmp_path}/mlflow.db")


def evaluation(folder: Path, path: Path, **more: object) -> Path:
    told = {**EVALUATION, "model": Scorer.load(folder).model_id, "average_precision": 0.7, **more}
    path.write_bytes(orjson.dumps(told))
    return path


def content(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def test_the_same_folder_twice_is_one_version(registry: Registry, folders: list[Path]) -> None:
    first, new = registry.register(folders[0])
    again, new_again = registry.register(folders[0])
    other, _ = registry.register(folders[1])
    assert (new, new_again) == (True, False)
    assert first == again
    assert [version.version for version in registry.versions()] == [2, 1]
    assert registry.find(other.model_id) == other
    assert first.model_id == Scorer.load(folders[0]).model_id


def test_what_is_fetched_is_what_was_registered(
    registry: Registry, folders: list[Path], tmp_path: Path
) -> None:
    version, _ = registry.register(folders[0])
    assert content(registry.fetch(version, tmp_path)) == content(folders[0])


def test_a_version_has_its_signature_and_the_same_logits(
    registry: Registry, folders: list[Path], tmp_path: Path
) -> None:
    from mlflow.models import Model

    version, _ = registry.register(folders[0])
    path = Path(registry._client.download_artifacts(version.run_id, "model", str(tmp_path)))
    signature = Model.load(str(path)).signature
    k = len(Scorer.load(folders[0]).manifest.feature_names)
    assert [(spec.type, spec.shape) for spec in signature.inputs] == [(np.dtype("float32"), (-1, k))]
    assert [(spec.type, spec.shape) for spec in signature.outputs] == [(np.dtype("float32"), (-1, 1))]
    vectors = np.random.default_rng(0).lognormal(size=(50, k)).astype(np.float32)
    session = ort.InferenceSession(next(path.glob("*.onnx")))
    (logits,) = session.run(None, {"features": vectors})
    assert np.abs(logits[:, 0] - Scorer.load(folders[0]).logits(vectors)).max() < 1e-5


def test_a_run_says_where_the_model_came_from(
    registry: Registry, folders: list[Path], tmp_path: Path
) -> None:
    report = tmp_path / "report.html"
    report.write_text("<p>report")
    measured = evaluation(folders[0], tmp_path / "e.json")
    version, _ = registry.register(folders[0], measured, report)
    run = registry._client.get_run(version.run_id)
    manifest = Scorer.load(folders[0]).manifest
    assert run.data.params["features_version"] == manifest.features_version
    assert run.data.params["thresholds.deny"] == str(manifest.thresholds.deny)
    assert run.data.metrics["average_precision"] == 0.7
    assert run.data.metrics["calibration.slope"] == 0.82
    assert "out_of_time.log_loss" in run.data.metrics
    assert (
        len(run.data.tags["mlflow.source.git.commit"]) >= 40 or not run.data.tags["mlflow.source.git.commit"]
    )
    assert {"report.html", "evaluation.json", "folder", "model"} == {
        file.path for file in registry._client.list_artifacts(version.run_id)
    }
    assert registry.evaluation(version) == orjson.loads(measured.read_bytes())


def test_another_evaluation_of_a_known_version_takes_the_others_place(
    registry: Registry, folders: list[Path], tmp_path: Path
) -> None:
    version, _ = registry.register(folders[0])
    assert registry.evaluation(version) is None
    registry.register(folders[0], evaluation(folders[0], tmp_path / "a.json", days=7))
    registry.register(folders[0], evaluation(folders[0], tmp_path / "b.json", days=8))
    found = registry.evaluation(version)
    assert found is not None
    assert found["days"] == 8


def test_what_does_not_belong_together_is_refused(
    registry: Registry, folders: list[Path], tmp_path: Path
) -> None:
    with pytest.raises(BadInput, match=r"--evaluation: .* is of .*, the folder is"):
        registry.register(folders[0], evaluation(folders[1], tmp_path / "e.json"))
    with pytest.raises(BadInput, match=r"--evaluation: .* cannot be read"):
        registry.register(folders[0], tmp_path / "none.json")
    for wrong, told in (
        ({"frauds": None}, "frauds"), ({"from": "yesterday"}, "from"), ({"groups": [{}]}, "groups.0.group"),
    ):  # fmt: skip
        foreign = evaluation(folders[0], tmp_path / "e.json", **wrong)
        with pytest.raises(BadInput, match=rf"is none that the gates can read \({told}: .*evaluate again"):
            registry.register(folders[0], foreign)
    with pytest.raises(BadInput, match=r"--report: .* does not exist"):
        registry.register(folders[0], None, tmp_path / "none.html")
    broken = Path(shutil.copytree(folders[0], tmp_path / "broken"))
    (broken / "model.onnx").write_bytes(b"x")
    with pytest.raises(ModelRefused, match="has hash"):
        registry.register(broken)
    with pytest.raises(BadInput, match="has no version 7; see `vigia models list`"):
        registry.get(7)
    assert registry.versions() == []


def test_aliases_move(registry: Registry, folders: list[Path]) -> None:
    assert registry.serving("champion") is None
    versions = [registry.register(folder)[0] for folder in folders]
    for version in (*versions, versions[0]):
        registry.set_alias("champion", version)
        served = registry.serving("champion")
        assert served is not None
        assert (served.version, served.aliases) == (version.version, ("champion",))
    registry.drop_alias("champion")
    assert registry.serving("champion") is None


def test_a_server_that_is_away_is_told_without_its_password() -> None:
    uri = f"http://user:secret@127.0.0.1:{free_port()}"
    with pytest.raises(
        RegistryAway, match=r"the registry at http://127\.0\.0\.1:\d+ does not answer"
    ) as raised:
        Registry("pix-fraud", uri).serving("champion")
    assert "secret" not in str(raised.value)
    assert "\n" not in str(raised.value)


class Watched:
    """A registry, a cache, and the watcher between them."""

    def __init__(self, registry: Registry, folder: Path) -> None:
        self.registry = registry
        self.cache = ModelCache(folder, Address("pix-fraud", "champion"))
        folder.mkdir()
        self.watcher = Watcher(registry, self.cache)

    def serves(self) -> str | None:
        """The model that the cache names and holds, whole."""
        folder = self.cache.current()
        return Scorer.load(folder).model_id if folder else None

    def harm(self, version: Version) -> None:
        """Change a byte of the model in the artifact store."""
        artifacts = self.cache.folder.parent / "mlartifacts" / version.run_id / "artifacts"
        path = artifacts / "folder" / "model.onnx"
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)


@pytest.fixture
def watched(registry: Registry, tmp_path: Path) -> Watched:
    return Watched(registry, tmp_path / "cache")


def test_a_watcher_brings_each_champion(watched: Watched, folders: list[Path]) -> None:
    look = watched.watcher.look()
    assert look.error == "pix-fraud has no champion in the registry"
    assert not look.named
    for folder in folders:
        version, _ = watched.registry.register(folder)
        watched.registry.set_alias("champion", version)
        look = watched.watcher.look()
        assert (look.error, look.refused, look.named) == (None, None, True)
        assert watched.serves() == version.model_id
        assert watched.cache.told() == look
    watched.registry.drop_alias("champion")
    assert not watched.watcher.look().named
    assert watched.serves() == version.model_id, "workers go on with what they had"


def test_a_champion_that_is_broken_in_the_store_is_not_brought(
    watched: Watched, folders: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    good, bad = (watched.registry.register(folder)[0] for folder in folders)
    watched.registry.set_alias("champion", good)
    watched.watcher.look()
    watched.harm(bad)
    watched.registry.set_alias("champion", bad)
    look = watched.watcher.look()
    assert look.refused is not None
    assert look.refused.startswith(f"version {bad.version} ({bad.model_id}): model.onnx has hash")
    assert str(watched.cache.folder) not in look.refused
    assert watched.serves() == good.model_id
    watched.harm(bad)  # the same byte again: it is as it was
    assert watched.watcher.look().refused == look.refused, "not fetched every two seconds"
    monkeypatch.setattr("models.model_watch._AGAIN_SECONDS", 0.0)
    assert watched.watcher.look().refused is None
    assert watched.serves() == bad.model_id


def test_a_model_that_is_harmed_in_the_cache_is_brought_again(watched: Watched, folders: list[Path]) -> None:
    version, _ = watched.registry.register(folders[0])
    watched.registry.set_alias("champion", version)
    watched.watcher.look()
    folder = watched.cache.model_folder(version.model_id)
    (folder / "model.onnx").write_bytes(b"")
    watched.watcher.look()
    assert watched.serves() == version.model_id


def test_a_registry_that_is_away_leaves_what_is_there(watched: Watched, folders: list[Path]) -> None:
    version, _ = watched.registry.register(folders[0])
    watched.registry.set_alias("champion", version)
    watched.watcher.look()
    away = Registry("pix-fraud", f"http://127.0.0.1:{free_port()}")
    look = Watcher(away, watched.cache).look()
    assert look.error is not None
    assert "does not answer" in look.error
    assert look.named
    assert watched.serves() == version.model_id


def test_a_registry_whose_file_is_gone_is_away(watched: Watched, folders: list[Path], tmp_path: Path) -> None:
    version, _ = watched.registry.register(folders[0])
    watched.registry.set_alias("champion", version)
    watched.watcher.look()
    file = (tmp_path / "mlflow.db").rename(tmp_path / "moved.db")
    look = watched.watcher.look()
    assert look.error is not None
    assert f"there is no {tmp_path}/mlflow.db" in look.error
    assert (look.named, watched.serves()) == (True, version.model_id), "workers go on"
    file.rename(tmp_path / "mlflow.db")
    assert watched.watcher.look().error is None


def test_the_champion_of_a_restored_file_is_brought(
    watched: Watched, folders: list[Path], tmp_path: Path
) -> None:
    """The file of yesterday in the place of today's, by a rename: the old one's connections still answer."""
    first, second = (watched.registry.register(folder)[0] for folder in folders)
    watched.registry.set_alias("champion", first)
    shutil.copy(tmp_path / "mlflow.db", tmp_path / "yesterday.db")
    watched.registry.set_alias("champion", second)
    watched.watcher.look()
    assert watched.serves() == second.model_id
    (tmp_path / "yesterday.db").rename(tmp_path / "mlflow.db")
    assert watched.watcher.look().error is None
    assert watched.serves() == first.model_id


def test_what_was_refused_of_one_file_is_not_refused_of_the_next(
    watched: Watched, folders: list[Path], store: Path, tmp_path: Path
) -> None:
    """Version 1 of both."""
    bad, _ = watched.registry.register(folders[0])
    watched.harm(bad)
    watched.registry.set_alias("champion", bad)
    assert watched.watcher.look().refused is not None
    (tmp_path / "next").mkdir()
    shutil.copy(store, tmp_path / "next" / "mlflow.db")
    after = Registry("pix-fraud", f"sqlite:///{tmp_path}/next/mlflow.db")
    good, _ = after.register(folders[1])
    after.set_alias("champion", good)
    (tmp_path / "next" / "mlflow.db").rename(tmp_path / "mlflow.db")
    assert watched.watcher.look().refused is None
    assert watched.serves() == good.model_id


def test_who_only_reads_makes_no_registry(folders: list[Path], tmp_path: Path) -> None:
    registry = Registry("pix-fraud", f"sqlite:///{tmp_path}/.vigia/mlflow.db")
    with pytest.raises(RegistryAway, match=r"there is no .*mlflow.db; .*`vigia models register DIR`"):
        registry.versions()
    assert list(tmp_path.iterdir()) == []
    version, _ = registry.register(folders[0])
    assert registry.versions() == [version]
    assert sorted(file.name for file in (tmp_path / ".vigia").iterdir()) == ["mlartifacts", "mlflow.db"]


def test_a_locked_file_is_told_in_one_line(registry: Registry, tmp_path: Path) -> None:
    """In a process of its own, as the watcher is: whatever MLflow prints would be in the worker's log."""
    registry.versions()
    code = (
        "import sqlite3, sys\n"
        "from models.mlflow_connection import RegistryAway\n"
        "from models.mlflow_registry import Registry\n"
        "import mlflow.store.db.utils as utils\n"
        "import sqlalchemy as sql\n"
        "registry = Registry('pix-fraud'); registry.versions()\n"
        "text = utils.sql.text\n"
        "utils.sql.text = lambda t: text(t.replace('busy_timeout = 20000', 'busy_timeout = 200'))\n"
        "lock = sqlite3.connect(sys.argv[1]); lock.execute('BEGIN EXCLUSIVE')\n"
        "try:\n    registry.versions()\n"
        "except RegistryAway as away:\n    print(away)\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code, f"{tmp_path}/mlflow.db"],
        capture_output=True, text=True, timeout=120,
        env={**os.environ, "MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path}/mlflow.db"},
    )  # fmt: skip
    assert "database is locked" in done.stdout, done.stderr
    assert done.stdout.count("\n") == 1
    assert done.stderr == ""
