"""What the tests of whole processes begin with."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from deploy.local import start_kafka, start_redis
from deploy.local.process import wait_until

from ..world import World


@pytest.fixture
def world(tmp_path: Path, model_folder: Path) -> Iterator[World]:
    kafka = start_kafka(tmp_path / "kafka")
    redis = start_redis(tmp_path / "redis")
    world = World(tmp_path, kafka, redis, model_folder)
    try:
        world.create_topics()
        yield world
    finally:
        for worker in world.workers:
            if worker.process.poll() is None:
                worker.kill()
        world.redis.kill()
        world.kafka.kill()


@pytest.fixture
def eventually() -> Callable[..., None]:
    """Wait for a condition; fail with its name when it does not come."""

    def wait(condition: Callable[[], bool], what: str, seconds: float = 60) -> None:
        assert wait_until(condition, seconds, every=0.1), f"not within {seconds} s: {what}"

    return wait
