"""Promotion on a real registry: each wrong model is refused by its gate, and that changes nothing."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import typer
from typer.testing import CliRunner, Result

from features import catalog
from features.errors import BadInput, VigiaError
from models.gate_bounds import load_gates
from models.gates import GateRefused
from models.mlflow_registry import Registry, Version
from models.promotion import named, newest, promote, register, rollback
from models.registry import JSON_FILE, ONNX_FILE, TREES_FILE, Manifest, sha256
from models.scorer import Scorer
from stream.cli import models

from ..small_model import small_model
from ..unit.test_gates import EVALUATION

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # MLflow's own, of SQLAlchemy

N = 3_000
BOUNDS = load_gates().model_copy(
    update={
        "parity": load_gates().parity.model_copy(update={"least_vectors": N}),
        "latency": load_gates().latency.model_copy(update={"p99_ms": 1000.0}),
    }
)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory, model_folder: Path) -> list[Path]:
    return [model_folder, small_model(tmp_path_factory.mktemp("other") / "model", seed=4)]


@pytest.fixture(scope="module")
def features(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rng = np.random.default_rng(2)
    columns: dict[str, Any] = {
        name: rng.lognormal(4, 1.5, 2 * N).astype(np.float32) for name in catalog.NAMES
    }
    columns["event_id"] = columns["payer_account"] = [f"e{i}" for i in range(2 * N)]
    columns["occurred_at"] = pa.array(np.arange(2 * N) * 1_000_000, pa.timestamp("us", "UTC"))
    columns["amount"] = ["1.00"] * 2 * N
    path = tmp_path_factory.mktemp("features") / "features.parquet"
    table = pa.table(columns).replace_schema_metadata({"features_version": catalog.FEATURES_VERSION})
    pq.write_table(table, path, row_group_size=N // 2)
    return path


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("store")
    Registry("pix-fraud", f"sqlite:///{folder}/mlflow.db").make()
    return folder / "mlflow.db"


@pytest.fixture
def registry(store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Registry:
    """An empty one, that the commands use too."""
    shutil.copy(store, tmp_path / "mlflow.db")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    return Registry("pix-fraud")


def registered(
    registry: Registry, folder: Path, tmp_path: Path, champion: Version | None = None, **changes: Any
) -> Version:
    """With an evaluation as good as EVALUATION against this champion."""
    changes |= {"model": Scorer.load(folder).model_id, "champion": champion and champion.model_id}
    path = tmp_path / "evaluation.json"
    path.write_bytes(orjson.dumps({**EVALUATION, **changes}))
    return registry.register(folder, path)[0]


def refusal(registry: Registry, version: Version, features: Path) -> dict[str, str]:
    """Gate → what it told, of those that refused; nothing may have changed."""
    before = registry.versions()
    with pytest.raises(GateRefused) as raised:
        promote(registry, version, BOUNDS, features)
    assert registry.versions() == before
    refused = {f.gate: f.told for f in raised.value.findings if f.result == "refused"}
    assert all(f"{gate}: {told}" in str(raised.value) for gate, told in refused.items())
    return refused


def aliases(registry: Registry) -> dict[str, int]:
    return {alias: version.version for version in registry.versions() for alias in version.aliases}


def test_the_way_of_two_champions(
    registry: Registry, folders: list[Path], features: Path, tmp_path: Path
) -> None:
    first = registered(registry, folders[0], tmp_path)
    done = promote(registry, first, BOUNDS, features)
    assert (done["changed"], done["previous"]) == (True, None)
    assert {f["gate"]: f["result"] for f in done["gates"]} == {
        "integrity": "passed", "evaluation": "passed", "champion": "skipped", "groups": "passed",
        "calibration": "passed", "parity": "passed", "latency": "passed",
    }  # fmt: skip
    second = registered(registry, folders[1], tmp_path, first)
    registry.set_alias("challenger", second)
    done = promote(registry, named(registry, "@challenger"), BOUNDS, features)
    assert done["previous"] == first.model_id
    assert aliases(registry) == {"champion": 2, "previous": 1}, "it is challenger no more"
    assert not promote(registry, second, BOUNDS, features)["changed"], "it serves already"
    assert rollback(registry)["rolled_back"] == second.model_id
    assert aliases(registry) == {"champion": 1}
    with pytest.raises(VigiaError, match="no previous champion to go back to"):
        rollback(registry)
    assert aliases(registry) == {"champion": 1}


def test_a_worse_challenger_is_refused_by_the_gate_champion(
    registry: Registry, folders: list[Path], features: Path, tmp_path: Path
) -> None:
    first = registered(registry, folders[0], tmp_path)
    promote(registry, first, BOUNDS, features)
    worse = {"average_precision": {"champion": 0.7, "difference": -0.02, "low": -0.04, "high": -0.01}}
    second = registered(registry, folders[1], tmp_path, first, against_champion=worse)
    assert refusal(registry, second, features) == {
        "champion": f"average_precision -0.0200 [-0.0400, -0.0100] against {first.model_id}; "
        "its low end must lie above 0"
    }


def test_one_without_an_evaluation_is_refused_by_all_that_read_it(
    registry: Registry, folders: list[Path], features: Path
) -> None:
    version, _ = registry.register(folders[0])
    assert set(refusal(registry, version, features)) == {"evaluation", "groups", "calibration"}


def test_an_evaluation_of_an_older_form_is_told_in_one_line(
    registry: Registry, folders: list[Path], features: Path, tmp_path: Path
) -> None:
    version = registered(registry, folders[0], tmp_path)
    (path,) = tmp_path.glob(f"mlartifacts/{version.run_id}/artifacts/evaluation.json")
    path.write_bytes(orjson.dumps({"model": version.model_id, "from": "2030-01-01", "n_frauds": 400}))
    assert refusal(registry, version, features) == {
        "evaluation": "that of version 1 is unusable (to: Field required); evaluate the model and "
        "register it with another one"
    }


def rewritten(folder: Path, **changes: Any) -> Path:
    """The folder with a manifest that has a right id and right hashes, as someone who knows how writes it."""
    manifest = Manifest.model_validate_json((folder / JSON_FILE).read_bytes())
    hashes = {f"{name}_sha256": sha256((folder / file).read_bytes())
              for name, file in (("onnx", ONNX_FILE), ("trees", TREES_FILE))}  # fmt: skip
    content = manifest.model_copy(update={**hashes, **changes}).identified().model_dump(mode="json")
    (folder / JSON_FILE).write_bytes(orjson.dumps(content))
    return folder


def test_onnx_that_reads_the_features_in_another_order_is_refused_by_the_gate_parity(
    registry: Registry, folders: list[Path], features: Path, tmp_path: Path
) -> None:
    import onnx

    folder = Path(shutil.copytree(folders[0], tmp_path / "flipped"))
    model = onnx.load(str(folder / ONNX_FILE))
    (ids,) = (a for a in model.graph.node[0].attribute if a.name == "nodes_featureids")
    last = len(catalog.NAMES) - 1
    ids.ints[:] = [last - i for i in ids.ints]
    (folder / ONNX_FILE).write_bytes(model.SerializeToString())
    version = registered(registry, rewritten(folder), tmp_path)
    (told,) = (text for gate, text in refusal(registry, version, features).items() if gate == "parity")
    assert "flipped decisions on 3,000 vectors" in told
    assert not told.startswith("0 ")


def artifacts(tmp_path: Path, version: Version) -> Path:
    return tmp_path / "mlartifacts" / version.run_id / "artifacts" / "folder"


def test_a_manifest_with_names_in_another_order_is_refused_by_the_gate_integrity(
    registry: Registry, folders: list[Path], features: Path, tmp_path: Path
) -> None:
    version = registered(registry, folders[0], tmp_path)
    names = Manifest.model_validate_json((folders[0] / JSON_FILE).read_bytes()).feature_names
    rewritten(artifacts(tmp_path, version), feature_names=names[::-1])
    (told,) = refusal(registry, version, features).values()
    assert told.startswith(f"{version.model_id}: the names of its features, or their order, are not those of")


def test_a_champion_that_no_worker_can_load_is_told(
    registry: Registry, folders: list[Path], features: Path, tmp_path: Path
) -> None:
    version = registered(registry, folders[0], tmp_path)
    promote(registry, version, BOUNDS, features)
    (artifacts(tmp_path, version) / ONNX_FILE).write_bytes(b"")
    (told,) = refusal(registry, version, features).values()
    assert told.startswith(f"{version.model_id}: model.onnx has hash")


@pytest.mark.parametrize("name", [ONNX_FILE, TREES_FILE, JSON_FILE])
def test_a_byte_that_changed_in_the_store_is_refused_by_the_gate_integrity(
    name: str, registry: Registry, folders: list[Path], features: Path, tmp_path: Path
) -> None:
    version = registered(registry, folders[0], tmp_path)
    path = artifacts(tmp_path, version) / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    assert set(refusal(registry, version, features)) == {"integrity"}


def test_another_model_in_the_place_of_the_registered_one_is_refused(
    registry: Registry, folders: list[Path], features: Path, tmp_path: Path
) -> None:
    version = registered(registry, folders[0], tmp_path)
    place = artifacts(tmp_path, version)
    shutil.rmtree(place)
    shutil.copytree(folders[1], place)
    other = Scorer.load(folders[1]).model_id
    assert refusal(registry, version, features) == {
        "integrity": f"version 1 is {version.model_id}, its folder {other}"
    }


def test_the_newest_vectors_are_taken(features: Path, folders: list[Path]) -> None:
    scorer = Scorer.load(folders[0])
    column = pq.read_table(features, columns=[catalog.NAMES[7]]).column(0).to_numpy()
    found = newest(features, scorer, N)
    assert sorted(found.vectors[:, 7]) == sorted(column[-N:])
    assert found.amount.tolist() == [1.0] * N
    assert len(newest(features, scorer, 10 * N).vectors) == 2 * N


def test_a_new_version_is_the_challenger_unless_it_served(
    registry: Registry, folders: list[Path], features: Path, tmp_path: Path
) -> None:
    made = register(registry, folders[0], None, None, challenger=True)
    assert (made["new"], made["version"]["aliases"]) == (True, ["challenger"])
    again = register(registry, folders[0], None, None, challenger=True)
    assert (again["new"], again["version"]["aliases"]) == (False, ["challenger"])
    promote(registry, registered(registry, folders[0], tmp_path), BOUNDS, features)
    served = register(registry, folders[0], None, None, challenger=True)
    assert served["version"]["aliases"] == ["champion"]
    register(registry, folders[1], None, None, challenger=False)
    assert aliases(registry) == {"champion": 1}


def test_versions_are_named_by_number_or_alias(registry: Registry, folders: list[Path]) -> None:
    version, _ = registry.register(folders[0])
    assert named(registry, "1") == version
    for text, told in (("@challenger", "has no challenger"), ("2", "no version 2"), ("one", "is no version")):
        with pytest.raises(BadInput, match=told):
            named(registry, text)


def run(*words: object) -> Result:
    app = typer.Typer()
    models.register(app)
    return CliRunner().invoke(app, ["models", *(str(word) for word in words)])


def answer(*words: object) -> dict[str, Any]:
    result = run(*words, "--json")
    assert result.exception is None, result.exception
    assert result.stdout.count("\n") == 1
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def test_the_commands_answer_in_json(
    registry: Registry, folders: list[Path], features: Path, tmp_path: Path
) -> None:
    bounds = tmp_path / "gates.toml"
    text = (Path(models.__file__).parents[2] / "models" / "gates.toml").read_text()
    bounds.write_text(text.replace("100_000", str(N)).replace("p99_ms = 10.0", "p99_ms = 1000.0"))
    options = ("--features", features, "--gates", bounds)
    made = answer("register", folders[0], "--no-challenger")
    assert made["version"]["version"] == 1

    refused = run("promote", 1, *options, "--json")
    assert isinstance(refused.exception, GateRefused)
    assert refused.exception.exit_code == 1
    told = json.loads(refused.stdout)
    assert not told["changed"]
    assert [g["gate"] for g in told["gates"] if g["result"] == "refused"] == [
        "evaluation",
        "groups",
        "calibration",
    ]

    registered(registry, folders[0], tmp_path)
    assert answer("promote", 1, *options)["champion"]["aliases"] == ["champion"]
    fetched = answer("fetch", "@champion", "--out", tmp_path / "fetched")
    assert fetched["version"]["version"] == 1
    for name in (ONNX_FILE, TREES_FILE, JSON_FILE):
        assert (tmp_path / "fetched" / name).read_bytes() == (folders[0] / name).read_bytes()
    listed = answer("list")["versions"]
    assert [(v["version"], v["aliases"]) for v in listed] == [(1, ["champion"])]
    assert isinstance(run("rollback").exception, VigiaError)
    assert run("list").exception is None
