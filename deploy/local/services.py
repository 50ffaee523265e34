"""Both services of a project folder together: up, down, status."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from deploy.errors import ServiceError
from deploy.local import java, kafka, redis
from deploy.local.lock import locked
from deploy.local.ports import free_port, require_free
from deploy.local.process import wait_until
from deploy.local.service import Service, find, forget, make_folder

KAFKA_PORT = 9092
REDIS_PORT = 6379
_KAFKA_FOLDER = "kafka"
_REDIS_FOLDER = "redis"

Say = Callable[[str], None]
Answers = Callable[[str], bool]
Start = Callable[[Path, int], Service]


@dataclass(frozen=True)
class Services:
    """Where the two answer: ``127.0.0.1:9092`` and ``redis://127.0.0.1:6379/0``."""

    kafka: str
    redis: str


@dataclass(frozen=True)
class Status:
    """One service now. ``running``: its process lives and it answers. After `down` there is no address."""

    running: bool
    pid: int | None
    address: str | None


def project_folder(start: Path | None = None) -> Path:
    """``.vigia`` of the project that ``start`` (default: the current folder) is in; git ignores it."""
    start = (start or Path.cwd()).resolve()
    inside = (folder for folder in (start, *start.parents) if (folder / "pyproject.toml").exists())
    return next(inside, start) / ".vigia"


def up(
    root: Path, *, kafka_port: int | None = None, redis_port: int | None = None, say: Say = lambda _: None
) -> Services:
    """Have both services answer, with their data below ``root``.

    What runs is left alone. What died is started again on the port it had, with its data. What is new gets
    the given port, else the usual one (9092, 6379), else a free one.
    Raises ServiceError; what had been started until then stays, and `down` ends it.
    """
    root = make_folder(root)
    with locked(root / "lock"):
        _check(root / _KAFKA_FOLDER, kafka_port, "--kafka-port")
        _check(root / _REDIS_FOLDER, redis_port, "--redis-port")
        redis.executable(), java.java()  # raise while nothing is started yet
        log = _have(
            root / _KAFKA_FOLDER,
            kafka_port,
            usual=KAFKA_PORT,
            start=lambda folder, port: kafka.start_kafka(folder, port, lasting=True, say=say),
            answers=kafka.answers,
            say=say,
        )
        state = _have(
            root / _REDIS_FOLDER,
            redis_port,
            usual=REDIS_PORT,
            start=lambda folder, port: redis.start_redis(folder, port=port),
            answers=redis.answers,
            say=say,
        )
    return Services(kafka=log.address, redis=state.address)


def down(root: Path, *, erase: bool = False) -> None:
    """End what runs, in order; the data stay unless ``erase``. Nothing running is no error."""
    if not root.is_dir():
        return
    with locked(root / "lock"):
        for folder in (root / _KAFKA_FOLDER, root / _REDIS_FOLDER):
            _end(find(folder))
            forget(folder)
            if erase:
                shutil.rmtree(folder, ignore_errors=True)


def status(root: Path) -> dict[str, Status]:
    """``kafka`` and ``redis``, each as it is now."""
    return {
        "kafka": _status(find(root / _KAFKA_FOLDER), kafka.answers),
        "redis": _status(find(root / _REDIS_FOLDER), redis.answers),
    }


def _check(folder: Path, port: int | None, option: str) -> None:
    """Refuse a port that cannot be had, before anything is started."""
    known = find(folder)
    if port is None or (known and known.alive() and known.port == port):
        return
    if known and known.alive():
        raise ServiceError(
            f"{known.name} of this project is at port {known.port}; to move it run `vigia down` first"
        )
    require_free(port, folder.name, option)


def _have(folder: Path, port: int | None, *, usual: int, start: Start, answers: Answers, say: Say) -> Service:
    """The service of ``folder``: as it runs, or started again, or started for the first time."""
    known = find(folder)
    if known is None:
        say(f"starting {folder.name}")
        return start(folder, port or free_port(usual))
    # it may be loading its data, or be about to vanish after a kill
    settled = wait_until(lambda: not known.alive() or answers(known.address), 30, every=0.05)
    if not settled:
        raise ServiceError(
            f"{known.name} (process {known.process.pid}) runs but does not answer at {known.address}; "
            "try `vigia down`, then `vigia up`"
        )
    if known.alive():
        return known
    say(f"{known.name} had ended; starting it again")
    return start(folder, port or known.port or usual)


def _end(service: Service | None) -> None:
    if service is None:
        return
    service.stop()
    if service.alive():
        raise ServiceError(f"{service.name} (process {service.process.pid}) could not be ended; is it yours?")


def _status(service: Service | None, answers: Answers) -> Status:
    if service is None:
        return Status(running=False, pid=None, address=None)
    running = service.alive() and answers(service.address)
    return Status(running, service.process.pid if service.alive() else None, service.address)
