"""The state on a real Redis Cluster: three primaries, 64 shards, two workers, and a primary that dies."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ..redis_cluster import RedisCluster
from ..world import World
from .shared import assert_each_once, assert_verified, elsewhere, load, traffic, wait_taken, world_on

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

EVENTS, RATE, SHARDS = 6000, 1200, "64"


@pytest.fixture
def world(kafka: str, redis_cluster: RedisCluster, tmp_path: Path, model_folder: Path) -> Iterator[World]:
    redis = elsewhere("Redis", redis_cluster.url, tmp_path)
    with world_on(kafka, redis, model_folder, tmp_path) as world:
        yield world


def test_a_primary_killed_under_load_loses_nothing(
    world: World, redis_cluster: RedisCluster, eventually: Callable[..., None]
) -> None:
    """Its replica may lack the last writes, which the workers notice and mend like any other loss."""
    messages = traffic(EVENTS, seed=13)
    workers = [world.worker(VIGIA_STATE_SHARDS=SHARDS) for _ in range(2)]
    for worker in workers:
        eventually(worker.ready, "ready")
    with load(world, messages, RATE):
        wait_taken(world, EVENTS // 3)
        killed = redis_cluster.kill_primary()
        redis_cluster.wait_failover(killed)
    assert_each_once(world, messages)
    for worker in workers:
        eventually(worker.ready, "ready again")
    assert_verified(world, VIGIA_REDIS_URL=redis_cluster.url, VIGIA_STATE_SHARDS=SHARDS)
    assert [worker.stop() for worker in workers] == [0, 0]
