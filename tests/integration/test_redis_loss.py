"""What each way of losing leaves behind is what it says: the tests of repair rest on it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from deploy.local import Service, start_redis
from deploy.local.service import find

from .. import redis_loss

pytestmark = pytest.mark.redis


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    yield start_redis(tmp_path / "redis")
    for folder in tmp_path.iterdir():
        if running := find(folder):
            running.kill()


def write(service: Service, key: str) -> None:
    with redis.Redis.from_url(service.address) as client:
        client.set(key, "1")


def keys(service: Service) -> set[bytes]:
    with redis.Redis.from_url(service.address) as client:
        return set(client.keys())


def test_kill_and_flush(service: Service) -> None:
    write(service, "before")
    again = redis_loss.kill9_and_restart(service)
    assert (again.address, keys(again)) == (service.address, {b"before"})
    assert keys(redis_loss.flushall(again)) == set()


def test_an_older_snapshot(service: Service, tmp_path: Path) -> None:
    write(service, "before")
    snapshot = redis_loss.take_snapshot(service, tmp_path / "snapshot")
    write(service, "after")
    again = redis_loss.restore_snapshot(service, snapshot)
    assert (again.address, keys(again)) == (service.address, {b"before"})


def test_an_old_replica(service: Service, tmp_path: Path) -> None:
    write(service, "before")
    replica = redis_loss.follow(service, tmp_path / "replica")
    redis_loss.fall_behind(replica)
    write(service, "after")
    again = redis_loss.old_replica_takes_over(service, replica)
    assert (again.address, keys(again)) == (service.address, {b"before"})
