"""Redis can't write its append-only file, and a rewrite of it ends meanwhile."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from deploy.local import Service, start_redis
from deploy.local.process import wait_until
from features.redis_state import RedisState
from features.state import StateAway

from ..redis_loss import full_disk

pytestmark = pytest.mark.redis


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    service = start_redis(tmp_path / "redis")
    yield service
    service.kill()


def claimed(service: Service) -> str:
    async def claim() -> str:
        state = await RedisState.connect(service.address)
        try:
            return await state.claim("g")
        finally:
            await state.close()

    return asyncio.run(claim())


def test_writes_are_taken_again_though_a_rewrite_ended_while_none_could_be_written(service: Service) -> None:
    """Before 7.0 Redis would refuse them for good: nothing is left that it could find the disk mended by."""
    with redis.Redis.from_url(service.address) as client:
        version = str(client.info("server")["redis_version"])
        if int(version.split(".")[0]) >= 7:
            pytest.skip(f"Redis {version} keeps what it could not write, and tries it again")

        def told(name: str) -> object:
            return client.info("persistence")[name]

        for number in range(1000):
            client.set(f"key-{number}", "some value")
        client.config_set("rdb-key-save-delay", 6000)  # microseconds a key: a rewrite of 6 s
        client.bgrewriteaof()
        assert wait_until(lambda: bool(told("aof_rewrite_in_progress")), 5)
        with full_disk(service):
            client.set("key", "that is answered, and can't be written")
            assert wait_until(lambda: told("aof_last_write_status") == "err", 5)
            assert told("aof_rewrite_in_progress")
            assert wait_until(lambda: not told("aof_rewrite_in_progress"), 20)
        with pytest.raises(StateAway, match="MISCONF"):
            claimed(service)
        assert wait_until(lambda: told("aof_last_write_status") == "ok", 5)
    assert claimed(service) == "g"
