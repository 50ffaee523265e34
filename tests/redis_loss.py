"""The ways in which a Redis loses what it had answered for. All act on one of `deploy.local.start_redis`.

Each returns the Redis that answers afterwards, at the address of the one that was lost.
"""

import resource
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import redis

from deploy.local import Service, start_redis
from deploy.local.process import wait_until


def kill9_and_restart(service: Service) -> Service:
    """SIGKILL, then a start on what the append-only file holds: all that reached the system's cache."""
    service.kill()
    return _start_again(service)


def flushall(service: Service) -> Service:
    """Empty it while it runs."""
    with redis.Redis.from_url(service.address) as client:
        client.flushall()
    return service


@contextmanager
def full_disk(service: Service) -> Iterator[None]:
    """Its append-only file can't be written, as on a full disk: no file of the process may grow beyond it.

    Redis then refuses writes (MISCONF), from the first that it could not write on until one succeeds.
    """
    pid = service.process.pid
    soft, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    grown = max(file.stat().st_size for file in service.folder.rglob("appendonly*") if file.is_file())
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (grown, hard))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (soft, hard))


def take_snapshot(service: Service, folder: Path) -> Path:
    """The state as it is now, as `folder`: the append-only file up to here. Redis goes on meanwhile.

    A prefix of that file is what Redis was; a last command cut in half is left out when it is read.
    """
    folder.mkdir()
    for part in _persisted(service.folder):
        (shutil.copytree if part.is_dir() else shutil.copyfile)(part, folder / part.name)
    return folder


def restore_snapshot(service: Service, snapshot: Path) -> Service:
    """What an operator does: end it, put the older files in place, start it."""
    service.stop()
    for part in _persisted(service.folder):
        shutil.rmtree(part) if part.is_dir() else part.unlink()
    for part in snapshot.iterdir():
        (shutil.copytree if part.is_dir() else shutil.copyfile)(part, service.folder / part.name)
    return _start_again(service)


def follow(service: Service, folder: Path) -> Service:
    """A replica that has all until now and receives what comes."""
    replica = start_redis(folder)
    with redis.Redis.from_url(replica.address) as client:
        client.replicaof("127.0.0.1", str(service.port))
        _require(lambda: client.info("replication")["master_link_status"] == "up", "the replica is in sync")
        _require(lambda: _written(client), "its append-only file is whole")
    return replica


def fall_behind(replica: Service) -> Service:
    """It received all until now and nothing from now on, as one behind a broken network."""
    with redis.Redis.from_url(replica.address) as client:
        client.replicaof("NO", "ONE")
    return replica


def old_replica_takes_over(service: Service, replica: Service) -> Service:
    """The primary dies, and the old replica answers at its address."""
    service.kill()
    replica.stop()
    return start_redis(replica.folder, port=service.port)


def _start_again(service: Service) -> Service:
    return start_redis(service.folder, port=service.port)


def _persisted(folder: Path) -> list[Path]:
    """One file before Redis 7, a folder of parts since."""
    return sorted(folder.glob("appendonly*"))


def _written(client: redis.Redis) -> bool:
    facts = client.info("persistence")
    return bool(facts["aof_enabled"]) and not (
        facts["aof_rewrite_in_progress"] or facts["aof_rewrite_scheduled"]
    )


def _require(condition: Callable[[], bool], what: str) -> None:
    assert wait_until(condition, 20), f"not within 20 s: {what}"
