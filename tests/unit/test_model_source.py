"""A served model changes with its folder; what can't be loaded is refused, and what served goes on."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import orjson
import pytest

from features.errors import BadInput
from features.transaction import Transaction
from models.model_cache import Address, Look, ModelCache
from models.registry import JSON_FILE, ONNX_FILE, Manifest, ModelRefused, sha256
from models.scorer import Scorer
from stream import metrics
from stream.health import Health
from stream.judge import Judge
from stream.model_source import Followed, ModelSource, PlainFolder, WatcherProcess, place_of, warmed
from stream.policy import Policy

from ..small_model import small_model
from .test_command_line import vigia


@pytest.fixture(scope="module")
def other_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_model(tmp_path_factory.mktemp("other") / "model", seed=4)


@pytest.fixture
def folder(model_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(model_folder, tmp_path / "served"))


def judge(scorer: Scorer) -> Judge:
    return warmed(Judge(scorer, Policy(scorer.thresholds)), scorer)


def refusals() -> float:
    return float(metrics.MODEL_REFUSED._value.get())


def put(source: Path, target: Path) -> None:
    shutil.rmtree(target)
    shutil.copytree(source, target)


def looked(source: ModelSource[Judge]) -> Judge | None:
    """After two looks: files that changed a moment ago are left for the next one."""
    assert source.look() is None
    return source.look()


def rewrite(folder: Path, **changes: object) -> None:
    """Another manifest with a right id of its own, as someone who knows how would write it."""
    manifest = Manifest.model_validate_json((folder / JSON_FILE).read_bytes()).model_copy(update=changes)
    content = manifest.identified().model_dump(mode="json")
    (folder / JSON_FILE).write_bytes(orjson.dumps(content))


def test_another_model_in_the_folder_is_served_once(folder: Path, other_folder: Path) -> None:
    source = ModelSource(PlainFolder(folder), judge)
    first = source.first(Health())
    assert looked(source) is None, "nothing changed"
    put(other_folder, folder)
    second = looked(source)
    assert second is not None
    assert second.versions != first.versions
    assert second.versions.startswith(source.model_id)
    assert looked(source) is None
    assert metrics.MODEL_INFO.labels(source.model_id)._value.get() == 1


def test_the_same_model_copied_again_is_no_swap(folder: Path, model_folder: Path) -> None:
    source = ModelSource(PlainFolder(folder), judge)
    source.first(Health())
    put(model_folder, folder)
    assert looked(source) is None


def corrupt_onnx(folder: Path) -> None:
    content = bytearray((folder / ONNX_FILE).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / ONNX_FILE).write_bytes(content)


def no_onnx_at_all(folder: Path) -> None:
    (folder / ONNX_FILE).write_bytes(b"not a model")
    rewrite(folder, onnx_sha256=sha256(b"not a model"))


def flipped_order(folder: Path) -> None:
    names = Manifest.model_validate_json((folder / JSON_FILE).read_bytes()).feature_names
    rewrite(folder, feature_names=(names[1], names[0], *names[2:]))


def other_features(folder: Path) -> None:
    rewrite(folder, features_version="0123456789abcdef")


def half_copied(folder: Path) -> None:
    (folder / ONNX_FILE).unlink()


@pytest.mark.parametrize("harm", [corrupt_onnx, no_onnx_at_all, flipped_order, other_features, half_copied])
def test_a_broken_model_is_refused_and_a_whole_one_is_taken_after_it(
    harm: object, folder: Path, other_folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source = ModelSource(PlainFolder(folder), judge)
    first = source.first(Health())
    served = source.model_id
    broken = Path(shutil.copytree(other_folder, tmp_path / "broken"))
    harm(broken)  # type: ignore[operator]
    before = refusals()
    put(broken, folder)
    assert looked(source) is None
    assert refusals() == before + 1
    assert "what served goes on" in caplog.text
    assert looked(source) is None
    assert refusals() == before + 1, "told once"
    assert source.model_id == served
    assert first.versions.startswith(served)
    put(other_folder, folder)
    assert looked(source) is not None


def test_a_model_that_can_judge_nothing_is_refused(folder: Path) -> None:
    scorer = Scorer.load(folder)
    scorer.score = lambda vectors: vectors[:, 0] * float("nan")  # type: ignore[method-assign,assignment]
    with pytest.raises(ModelRefused, match="can't be judged"):
        judge(scorer)


def test_a_folder_that_holds_no_model_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(ModelRefused, match="no such model folder"):
        ModelSource(PlainFolder(tmp_path / "none"), judge).first(Health())


def test_addresses() -> None:
    assert Address.parse("registry:pix-fraud@champion") == Address("pix-fraud", "champion")
    assert str(Address("pix-fraud", "champion")) == "registry:pix-fraud@champion"
    assert isinstance(place_of(Path("registry:pix-fraud@champion"), Path("cache")), Followed)
    assert isinstance(place_of(Path("models/registry"), Path("cache")), PlainFolder)
    for wrong in (
        "registry:",
        "registry:pix-fraud",
        "registry:../x@champion",
        "registry:a@b@c",
        "pix@champion",
    ):
        with pytest.raises(BadInput, match=r"e\.g\. registry:pix-fraud@champion"):
            Address.parse(wrong)


def test_a_product_that_is_not_one_of_ours_stops_the_start() -> None:
    done = vigia("worker", "--model", "registry:nope@champion", "--http-port", "0")
    assert done.returncode == 2
    assert "VIGIA_MODEL: 'nope' is no product of this version; known: pix-fraud" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_watcher_that_is_refused_ends_without_an_abort(tmp_path: Path) -> None:
    """Its thread still waits at standard input, as a worker holds it."""
    (tmp_path / "cache").write_text("not a folder")
    words = ("models", "watch", "registry:pix-fraud@champion", "--cache", f"{tmp_path}/cache")
    with subprocess.Popen(
        [sys.executable, "-m", "stream.cli", *words, "--with-parent"],
        stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stderr is not None
        told = process.stderr.read()
        assert process.wait(60) == 2, told
    assert told.count("\n") == 1
    assert "VIGIA_MODEL_CACHE" in told


def test_a_cache_says_what_is_to_serve(tmp_path: Path) -> None:
    cache = ModelCache(tmp_path, Address("pix-fraud", "champion"))
    assert (cache.current(), cache.told()) == (None, None)
    cache.serve("pix-fraud@0123456789ab")
    cache.tell(Look(5.0, error="away"))
    again = ModelCache(tmp_path, Address("pix-fraud", "champion"))
    assert again.current() == tmp_path / "pix-fraud@0123456789ab"
    assert again.told() == Look(5.0, error="away")
    assert ModelCache(tmp_path, Address("pix-fraud", "challenger")).current() is None


def test_a_cache_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with (
        pytest.raises(BadInput, match=r"VIGIA_MODEL_CACHE: .* can't be written"),
        ModelCache(tmp_path / "file", Address("pix-fraud", "champion")).watching(),
    ):
        pass


def test_a_followed_alias_serves_what_the_cache_names(
    model_folder: Path, other_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The watcher's part is done by hand here: the real one has a test of its own on a real registry."""
    monkeypatch.setattr(WatcherProcess, "keep", lambda _: None)
    cache = ModelCache(tmp_path, Address("pix-fraud", "champion"))
    source = ModelSource(place_of(Path("registry:pix-fraud@champion"), tmp_path), judge)
    assert source.look() is None
    assert metrics.REGISTRY_ANSWERS._value.get() == 0
    assert "has not answered yet" in source._place.reason()  # type: ignore[union-attr]
    ids = []
    for folder in (model_folder, other_folder):
        ids.append(Scorer.load(folder).model_id)
        shutil.copytree(folder, cache.model_folder(ids[-1]))
        cache.serve(ids[-1])
        served = looked(source)
        assert served is not None
        assert served.versions.startswith(ids[-1])
    now = time.time()
    monkeypatch.setattr("stream.model_source.time.time", lambda: now)
    for look, answers, told in (
        (Look(now), 1, "can't be loaded"),
        (Look(now, error="it is away"), 0, "it is away"),
        (Look(now, refused="it is broken"), 1, "it is broken"),
    ):
        cache.tell(look)
        source.look()
        assert metrics.REGISTRY_ANSWERS._value.get() == answers
        assert told in source._place.reason()  # type: ignore[union-attr]
    now += 31
    source.look()
    assert metrics.REGISTRY_ANSWERS._value.get() == 0
    assert "nothing was heard of it for 31 s" in source._place.reason()  # type: ignore[union-attr]
    corrupt_onnx(cache.model_folder(ids[0]))
    cache.serve(ids[0])
    before = refusals()
    assert looked(source) is None
    assert refusals() == before + 1
    assert source.model_id == ids[1]


def test_a_watcher_that_cannot_begin_is_tried_again_not_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr("stream.model_source.time.monotonic", lambda: now)
    child = WatcherProcess(Address("pix-fraud", "champion"), tmp_path)
    child._command = [sys.executable, "-c", "raise SystemExit(1)"]
    child.keep()
    first = child.pid
    assert child._process is not None
    child._process.wait(30)
    child.keep()
    assert child.pid == first
    now += 5.0
    child.keep()
    second = child.pid
    assert second != first
    child._process.wait(30)
    now += 5.0
    child.keep()
    assert child.pid == second, "twice as long after the second failure"
    now += 5.0
    child.keep()
    assert child.pid != second
    child._process.wait(30)
    child.end()


def test_the_watcher_ends_when_its_parent_is_killed(tmp_path: Path) -> None:
    """It waits for the lock of the cache here, as the second of two watchers does."""
    address = Address("pix-fraud", "champion")
    script = (
        "import os, pathlib, time\n"
        "from models.model_cache import Address\n"
        "from stream.model_source import WatcherProcess\n"
        f"child = WatcherProcess(Address('pix-fraud', 'champion'), pathlib.Path({str(tmp_path)!r}))\n"
        "child.keep(); print(child.pid, flush=True); time.sleep(60)\n"
    )
    with ModelCache(tmp_path, address).watching():
        parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
        assert parent.stdout is not None
        watcher = int(parent.stdout.readline())
        os.kill(watcher, 0)
        parent.kill()
        parent.wait()
        parent.stdout.close()
        from deploy.local.process import wait_until

        assert wait_until(lambda: not _runs(watcher), 30, every=0.1)


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_the_worker_knows_no_library_of_the_extra_train() -> None:
    code = (
        "import sys, stream.bootstrap\n"
        "from models.extras import TRAIN_LIBRARIES\n"
        "print(sorted(TRAIN_LIBRARIES & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout == "[]\n", done.stderr


def test_a_watcher_without_the_extra_train_says_so_to_the_workers(tmp_path: Path) -> None:
    done = vigia("models", "watch", "registry:pix-fraud@champion", "--cache", tmp_path, hide="mlflow")
    assert done.returncode == 1
    assert "mlflow is not installed (extra `train`)" in done.stderr
    told = ModelCache(tmp_path, Address("pix-fraud", "champion")).told()
    assert told is not None
    assert told.error is not None
    assert "mlflow is not installed" in told.error


def test_warming_leaves_the_answers_as_they_are(folder: Path) -> None:
    scorer = Scorer.load(folder)
    payment = Transaction("e-1", 0, 100, "a", "b")
    import numpy as np

    matrix = np.ones((1, scorer.n_features), np.float32)
    cold = Judge(scorer, Policy(scorer.thresholds)).judge([payment], matrix, [False])
    assert judge(scorer).judge([payment], matrix, [False]) == cold
