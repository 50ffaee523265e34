"""What the tests of whole processes begin with."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from deploy.local import start_redis
from deploy.local.process import wait_until

from ..world import World, private_world
from .shared import world_on

_LONGEST_FIRST = (
    "test_worker",
    "test_online_offline",
    "test_repair",
    "test_registry",
    "test_door",
    "test_bench",
)
"""So that the test processes end at about the same time; files not named come after."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files of whole processes last of all, the longest of them first."""

    def place(item: pytest.Item) -> int:
        if item.path.parent.name != "e2e":
            return -1
        name = item.path.stem
        return _LONGEST_FIRST.index(name) if name in _LONGEST_FIRST else len(_LONGEST_FIRST)

    items.sort(key=place)


@pytest.fixture
def world(kafka: str, tmp_path: Path, model_folder: Path) -> Iterator[World]:
    """A Redis and topics of its own, on the session's Kafka."""
    first = start_redis(tmp_path / "redis")
    world = None
    try:
        with world_on(kafka, first, model_folder, tmp_path) as world:
            yield world
    finally:
        (world.redis if world else first).kill()


@pytest.fixture
def own_world(tmp_path: Path, model_folder: Path) -> Iterator[World]:
    """A Kafka of its own too, which may be killed."""
    with private_world(tmp_path, model_folder) as world:
        yield world


@pytest.fixture
def fragile(tmp_path: Path) -> dict[str, str]:
    """An environment in which a process aborts if its interpreter is taken apart."""
    folder = tmp_path / "fragile"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text("import atexit, os\n\natexit.register(os.abort)\n")
    return {"PYTHONPATH": os.pathsep.join(filter(None, (str(folder), os.environ.get("PYTHONPATH"))))}


@pytest.fixture
def eventually() -> Callable[..., None]:
    """Wait for a condition; fail with its name when it does not come."""

    def wait(condition: Callable[[], bool], what: str, seconds: float = 60, every: float = 0.1) -> None:
        assert wait_until(condition, seconds, every), f"not within {seconds} s: {what}"

    return wait
