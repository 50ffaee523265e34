"""`vigia retrain` on files and a real registry: promoted, unchanged, refused, and resumed after a failure."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import typer
from typer.testing import CliRunner, Result

from features import catalog
from features.errors import BadInput, VigiaError
from features.lock import only_one
from models import retrain as retraining
from models import train
from models.mlflow_registry import CHAMPION, Registry
from models.params import Member, Recipe
from stream.cli import retrain

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # MLflow's own, of SQLAlchemy

START = datetime(2026, 3, 1, tzinfo=UTC)
DAYS, A_DAY, DELAY = 34, 150, 6
AS_OF = "2026-04-04"
LOOSE = """
[parity]
least_vectors = 500
[calibration]
slope = [0.01, 100.0]
mean = [0.01, 100.0]
top_factor = 1000.0
[groups]
least_frauds = 100000
[latency]
p99_ms = 10000.0
"""


@pytest.fixture(scope="module", autouse=True)
def _few_trees() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        light = Member("lightgbm", {"trees": 30, "lambda_l2": 1.0, "num_threads": 1})
        patch.setattr(train, "default_recipe", lambda *_: Recipe((light,)))
        yield


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder, rng = tmp_path_factory.mktemp("files"), np.random.default_rng(5)
    n, k = DAYS * A_DAY, len(catalog.NAMES)
    vectors = rng.lognormal(size=(n, k)).astype(np.float32)
    fraud = rng.random(n) < 1 / (1 + np.exp(5.5 - vectors[:, 0] - vectors[:, 20] - vectors[:, 100]))
    times = [START + timedelta(days=i // A_DAY, seconds=i % A_DAY) for i in range(n)]
    ids = np.flatnonzero(fraud)
    columns: dict[str, Any] = {
        "event_id": [f"e{i}" for i in range(n)],
        "occurred_at": pa.array(times, pa.timestamp("us", "UTC")),
        "payer_account": [f"a{i % 300}" for i in range(n)],
        "payee_account": [f"b{i % 50}" for i in range(n)],
        "amount": np.round(rng.lognormal(5, 1, n), 2).astype(str),
    }
    columns |= {name: vectors[:, j] for j, name in enumerate(catalog.NAMES)}
    table = pa.table(columns).replace_schema_metadata({"features_version": catalog.FEATURES_VERSION})
    pq.write_table(table, folder / "features.parquet", row_group_size=500)
    reported = [times[i] + timedelta(days=DELAY) for i in ids]
    labels = {
        "report_id": [f"r{i}" for i in ids],
        "transaction_event_id": [f"e{i}" for i in ids],
        "payer_account": [f"a{i % 300}" for i in ids],
        "payee_account": [f"b{i % 50}" for i in ids],
        "reported_at": pa.array(reported, pa.timestamp("ms", "UTC")),
        "status": ["CONFIRMED"] * len(ids),
        "type": ["SCAM"] * len(ids),
    }
    pq.write_table(pa.table(labels), folder / "reports.parquet")
    (folder / "gates.toml").write_text(_gates(least_gain=-1.0))
    (folder / "strict.toml").write_text(_gates(least_gain=0.9))
    return folder


def _gates(least_gain: float) -> str:
    """The package's bounds, loosened to what so few payments can show; no first champion is refused."""
    import tomllib
    from importlib.resources import files as resources

    bounds = tomllib.loads((resources("models") / "gates.toml").read_text())
    for section, changed in tomllib.loads(LOOSE).items():
        bounds[section] |= changed
    bounds["champion"]["least_gain"] = least_gain
    lines = []
    for section, values in bounds.items():
        lines.append(f"[{section}]")
        lines += [f"{name} = {json.dumps(value)}" for name, value in values.items()]
    return "\n".join(lines)


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Registry:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    return Registry("pix-fraud").make()


def run(files: Path, tmp_path: Path, *more: object, gates: str = "gates.toml") -> Result:
    app = typer.Typer()
    app.callback()(lambda: None)
    retrain.register(app)
    words = [
        "retrain", "--features", files / "features.parquet", "--reports", files / "reports.parquet",
        "--as-of", AS_OF, "--train-days", 10, "--test-days", 5, "--gates", files / gates,
        "--runs", tmp_path / "runs", "--json", *more,
    ]  # fmt: skip
    return CliRunner().invoke(app, [str(word) for word in words])


def answer(result: Result) -> dict[str, Any]:
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def test_a_first_model_is_promoted_and_a_second_run_changes_nothing(
    files: Path, tmp_path: Path, registry: Registry
) -> None:
    first = run(files, tmp_path)
    told = answer(first)
    assert (first.exit_code, told["outcome"]) == (0, "promoted"), first.stderr
    assert told["spans"] == {
        "train_from": "2026-03-06",
        "train_to": "2026-03-15",
        "test_from": "2026-03-23",
        "test_to": "2026-03-27",
        "as_of": AS_OF,
    }
    champion = registry.serving(CHAMPION)
    assert champion is not None
    assert champion.model_id == told["model"]
    assert told["version"]["aliases"] == ["champion"], "as they are after the promotion"
    again = run(files, tmp_path)
    assert (again.exit_code, answer(again)["outcome"]) == (0, "unchanged")
    assert "train (done before)" in again.stderr
    assert len(registry.versions()) == 1
    folder = Path(told["folder"])
    assert (folder / "report.html").stat().st_size > 10_000
    assert (folder / "model" / "model.onnx").exists()


def test_one_that_is_no_better_is_refused_with_the_figures_and_stays_the_challenger(
    files: Path, tmp_path: Path, registry: Registry
) -> None:
    champion = answer(run(files, tmp_path))["model"]
    second = run(files, tmp_path, "--seed", 1, gates="strict.toml")
    told = answer(second)
    assert (second.exit_code, told["outcome"], told["champion"]) == (1, "refused", champion)
    assert [gate["gate"] for gate in told["gates"] if gate["result"] == "refused"] == ["champion"]
    serving, challenger = registry.serving(CHAMPION), registry.serving("challenger")
    assert serving is not None
    assert challenger is not None
    assert (serving.model_id, challenger.model_id) == (champion, told["model"])


def test_after_a_failure_it_goes_on_with_the_step_that_failed(
    files: Path, tmp_path: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object, **__: object) -> None:
        raise OSError("no space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(retraining, "evaluate", fails)
        assert isinstance(run(files, tmp_path).exception, OSError)
    assert registry.versions() == []
    result = run(files, tmp_path)
    assert "train (done before)" in result.stderr
    assert "evaluate on later days (done before)" not in result.stderr
    assert answer(result)["outcome"] == "promoted"


def test_a_registry_that_was_lost_is_filled_again(files: Path, tmp_path: Path, registry: Registry) -> None:
    model = answer(run(files, tmp_path, "--no-promote"))["model"]
    (tmp_path / "mlflow.db").unlink()
    again = run(files, tmp_path)
    assert answer(again)["outcome"] == "promoted"
    assert "train (done before)" in again.stderr
    assert [version.model_id for version in registry.versions()] == [model]


def test_days_without_payments_are_bad_input(files: Path, tmp_path: Path, registry: Registry) -> None:
    result = run(files, tmp_path, "--as-of", "2025-01-01")
    assert isinstance(result.exception, BadInput)
    assert "no transactions" in str(result.exception)
    assert registry.versions() == []


@pytest.mark.usefixtures("registry")
def test_days_that_the_data_do_not_reach_are_told(files: Path, tmp_path: Path) -> None:
    told = answer(run(files, tmp_path, "--train-days", 20, "--no-promote"))
    assert told["outcome"] == "registered"
    warning = "only 15 of the 20 training days (2026-02-24 to 2026-03-15) hold labelled payments"
    assert warning in told["warnings"]


def test_one_process_at_a_run(files: Path, tmp_path: Path, registry: Registry) -> None:
    folder = tmp_path / "runs" / f"pix-fraud-{AS_OF}"
    folder.mkdir(parents=True)
    with only_one(folder / ".lock", "taken"):
        result = run(files, tmp_path)
    assert isinstance(result.exception, VigiaError)
    assert "another run works in" in str(result.exception)
    assert registry.versions() == []
