"""Redis killed, frozen, full, or emptied."""

import signal
from collections.abc import Callable

import redis

from deploy.local.process import wait_until

from ...redis_loss import full_disk
from ..fault import Fault
from ..stage import Stage

AWAY = 5.0
FROZEN = 10.0
FULL = 8.0


def kill_and_restart(stage: Stage) -> None:
    with stage.fault():
        stage.world.redis.kill()
        stage.pause(AWAY)
        stage.start_redis()


def fsync_always(stage: Stage) -> None:
    with stage.client() as client:
        client.config_set("appendfsync", "always")


def freeze(stage: Stage) -> None:
    with stage.fault():
        stage.signal_redis(signal.SIGSTOP)
        stage.pause(FROZEN)
        stage.signal_redis(signal.SIGCONT)


def disk_full(stage: Stage) -> None:
    with stage.client() as client, stage.fault(), full_disk(stage.world.redis):
        _require(lambda: client.info("persistence")["aof_last_write_status"] == "err", "the disk is full")
        stage.told["refused"] = _refusal(client)
        stage.pause(FULL)


def memory_full(stage: Stage) -> None:
    """maxmemory below what is used, with noeviction: writes are refused (OOM) until it is lifted."""
    with stage.client() as client, stage.fault():
        client.config_set("maxmemory", client.info("memory")["used_memory"] // 2)
        stage.told["refused"] = _refusal(client)
        stage.pause(FULL)
        client.config_set("maxmemory", 0)


def flushall(stage: Stage) -> None:
    with stage.client() as client, stage.fault():
        stage.told["keys"] = client.dbsize()
        assert stage.told["keys"], "there is nothing to lose yet"
        client.flushall()


def _refusal(client: redis.Redis) -> str:
    """The word with which Redis refuses a write. Raises AssertionError if it takes it."""
    try:
        client.set("chaos", "1")
    except redis.RedisError as error:
        return str(error)[:60]
    raise AssertionError("Redis still takes writes")


def _require(condition: Callable[[], bool], what: str) -> None:
    assert wait_until(condition, 10), f"not within 10 s: {what}"


FAULTS = [
    Fault("redis-kill", "kill -9 of Redis (appendfsync everysec), started again after 5 s", kill_and_restart,
          seconds=30, away=True),
    Fault("redis-kill-always", "the same with appendfsync always", kill_and_restart, prepare=fsync_always,
          seconds=30, away=True),
    Fault("redis-freeze", "SIGSTOP of Redis for 10 s, then SIGCONT", freeze, seconds=35, away=True),
    Fault("redis-disk-full", "its append-only file can't grow for 8 s", disk_full, seconds=32, away=True),
    Fault("redis-memory-full", "maxmemory below what it uses for 8 s", memory_full, seconds=32, away=True),
    Fault("redis-flushall", "FLUSHALL", flushall, away=True),
]  # fmt: skip
