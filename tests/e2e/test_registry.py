"""Models from a registry, live: swapped under load, refused when broken, served when the registry is away."""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest

from deploy.local.ports import free_port

from ..small_model import small_model
from ..world import World
from .shared import assert_each_once, traffic

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(300),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # MLflow's own, of SQLAlchemy
]

Eventually = Callable[..., None]
RATE, CHUNK = 3000, 1500


class Ground:
    """A registry in a folder with two models: the first is the champion, the second the challenger."""

    def __init__(self, folder: Path, first: Path) -> None:
        from models.mlflow_registry import Registry

        self.uri = f"sqlite:///{folder}/mlflow.db"
        self.registry = Registry("pix-fraud", self.uri)
        second = small_model(folder / "second", seed=4)
        self.first, self.second = (self.registry.register(path)[0] for path in (first, second))
        self.folder = folder

    def environment(self, cache: Path) -> dict[str, str]:
        """Of a worker, or of the challenger; each has its alias again."""
        self.registry.set_alias("champion", self.first)
        self.registry.set_alias("challenger", self.second)
        return {
            "VIGIA_MODEL": "registry:pix-fraud@champion",
            "VIGIA_MODEL_CACHE": str(cache),
            "MLFLOW_TRACKING_URI": self.uri,
        }

    def promote_broken(self) -> str:
        """By hand, past the gates: a model one of whose bytes changed in the artifact store."""
        broken, _ = self.registry.register(small_model(self.folder / "broken", seed=5))
        (path,) = self.folder.glob(f"mlartifacts/{broken.run_id}/artifacts/folder/model.onnx")
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
        self.registry.set_alias("champion", broken)
        return broken.model_id


class ShadowProcess:
    """`vigia shadow` as a process."""

    def __init__(self, world: World, environment: dict[str, str]) -> None:
        self.log = world.folder / "shadow.log"
        self._environment = world.environment | environment
        self.start()

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "stream.cli", "shadow"], env=self._environment, stdout=log, stderr=log
            )

    def reads(self, starts: int) -> bool:
        """Whether it was given its partitions so many times, and has a model."""
        said = self.log.read_text()
        return said.count('"reading"') >= starts and "a model is loaded" in said

    def stop(self) -> int:
        self.process.terminate()
        return self.process.wait(30)


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory, model_folder: Path) -> Ground:
    return Ground(tmp_path_factory.mktemp("registry"), model_folder)


def by_source(world: World, topic: str) -> dict[tuple[int, int], dict[str, Any]]:
    """(partition, source offset) → the message; what was sent again must be the same."""
    found: dict[tuple[int, int], dict[str, Any]] = {}
    for message in world.read(topic):
        headers = dict(message.headers() or [])
        source = message.partition() or 0, int(headers["source_offset"])
        value = json.loads(message.value() or b"")
        assert found.setdefault(source, value) == value
    return found


def payments(messages: list[tuple[str, bytes | None, bytes]]) -> int:
    return sum(topic == "transactions" for topic, _, _ in messages)


def watchers(cache: str) -> list[int]:
    """Process ids of the watchers of a cache."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            command = (entry / "cmdline").read_text().split("\0")
        except OSError:
            continue
        if "watch" in command and cache in command:
            found.append(int(entry.name))
    return found


def test_a_champion_is_swapped_under_load_and_a_broken_one_is_not(
    world: World, ground: Ground, eventually: Eventually, fragile: dict[str, str]
) -> None:
    first, second = ground.first.model_id, ground.second.model_id
    environment = ground.environment(world.folder / "cache")
    worker, shadow = world.worker(**environment), ShadowProcess(world, environment | fragile)
    try:
        eventually(worker.ready, f"ready\n{world.logs()}")
        eventually(lambda: shadow.reads(1), "the shadow reads")
        messages = traffic(45_000, seed=8)
        sent, swapped_after, began = 0, None, 0.0
        while swapped_after is None or sent < 4 * CHUNK or time.monotonic() < began + swapped_after + 2:
            world.publish(messages[sent : sent + CHUNK], rate=RATE)
            sent += CHUNK
            if sent == 2 * CHUNK:
                shadow.process.kill()
                shadow.process.wait()
                shadow.start()
                ground.registry.set_alias("champion", ground.second)
                began = time.monotonic()
            if began and swapped_after is None and worker.metric(f'vigia_model_info{{model="{second}"}}'):
                swapped_after = time.monotonic() - began
            assert sent < len(messages), f"not swapped\n{world.logs()}"
        print(f"swapped within {swapped_after:.1f} s, under {RATE} a second, {sent} messages")
        eventually(lambda: world.held("decisions") >= payments(messages[:sent]), "all are decided")

        broken = ground.promote_broken()
        eventually(lambda: worker.metric("vigia_model_refused_total") >= 1, "the broken model is refused")
        assert broken in worker.log.read_text()
        world.publish(messages[sent : sent + 300])
        sent += 300
        assert_each_once(world, messages[:sent])
        assert worker.ready()
        decisions = by_source(world, "decisions")
        for partition in range(world.partitions):
            models = [d["model"] for (p, _), d in sorted(decisions.items()) if p == partition]
            assert [model for model, _ in groupby(models)] == [first, second], partition

        eventually(
            lambda: (
                world.held("shadow-scores") >= len(decisions)
                and by_source(world, "shadow-scores").keys() == decisions.keys()
            ),
            "every score is told",
        )
        for source, told in by_source(world, "shadow-scores").items():
            decided = decisions[source]
            assert (told["event_id"], told["model"]) == (decided["event_id"], second)
            assert told["champion"] == {name: decided[name] for name in ("model", "score", "decision")}
            if decided["model"] == second:
                assert told["score"] == decided["score"], "the same model on the same vector"
        print(f"worker: {_megabytes(worker.process.pid)} MB, shadow: {_megabytes(shadow.process.pid)} MB")
        assert _megabytes(worker.process.pid) < 400
        assert shadow.stop() == 0, shadow.log.read_text()[-3000:]
        assert worker.stop() == 0
    finally:
        shadow.process.kill()
    eventually(
        lambda: not watchers(environment["VIGIA_MODEL_CACHE"]), "the watchers ended with those who began them"
    )


def test_a_registry_that_is_away_stops_no_worker_that_has_a_model(
    world: World, ground: Ground, eventually: Eventually
) -> None:
    environment = ground.environment(world.folder / "cache")
    worker = world.worker(**environment)
    eventually(worker.ready, f"ready\n{world.logs()}")
    (watcher,) = watchers(environment["VIGIA_MODEL_CACHE"])
    worker.kill()
    eventually(lambda: not Path(f"/proc/{watcher}").exists() or _zombie(watcher), "its watcher ends with it")
    away = {"MLFLOW_TRACKING_URI": f"http://127.0.0.1:{free_port()}"}
    worker.start(**away)
    eventually(worker.ready, "ready with the model that it had")
    assert worker.metric("vigia_model_registry_answers") == 0
    assert "the registry gives no model, the last one goes on" in worker.log.read_text()
    messages = traffic(300, seed=9)
    world.publish(messages)
    assert_each_once(world, messages)
    assert {d["model"] for d in by_source(world, "decisions").values()} == {ground.first.model_id}

    other = world.worker(**environment | away | {"VIGIA_MODEL_CACHE": f"{world.folder}/empty"})
    eventually(lambda: "does not answer" in other.get("/readyz")[1], f"it says why it waits\n{world.logs()}")
    assert other.get("/readyz")[0] == 503
    assert worker.stop() == 0


def _megabytes(pid: int) -> int:
    """Resident memory."""
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS")) // 1024


def _zombie(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True
