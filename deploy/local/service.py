"""One running service and the record of it that lets a later command find it again."""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from deploy.errors import ServiceError
from deploy.local import process
from deploy.local.process import Process

RECORD = "service.json"


@dataclass(frozen=True)
class Service:
    """A server that was started in ``folder``: the way to reach it, and the process that it is."""

    name: str
    address: str
    port: int | None
    folder: Path
    process: Process

    def alive(self) -> bool:
        """True while the process runs (which does not say that it answers yet)."""
        return process.alive(self.process)

    def stop(self) -> None:
        """End it in order: what it has acknowledged is on disk afterwards. The record stays."""
        process.end(self.process)

    def kill(self) -> None:
        """End it as a crash would (SIGKILL). The record stays: `up` starts it again on the same port."""
        process.kill(self.process)


def launch(
    name: str,
    command: Sequence[str],
    folder: Path,
    address: str,
    port: int | None,
    env: dict[str, str] | None = None,
) -> Service:
    """Start ``command`` detached, with its log and its record in ``folder``; does not wait for an answer."""
    try:
        child = process.spawn(command, log_file(folder, name), env)
        service = Service(name, address, port, folder, child)
        record = {"name": name, "address": address, "port": port, "process": asdict(child)}
        (folder / RECORD).write_text(json.dumps(record))
    except OSError as error:
        raise ServiceError(f"{name} could not be started in {folder}: {error}") from None
    return service


def await_answer(service: Service, answers: Callable[[str], bool], seconds: float) -> Service:
    """``service`` once it answers; ServiceError, with the process ended, if it ends or stays silent."""
    try:
        process.wait_until(lambda: not service.alive() or answers(service.address), seconds, every=0.05)
        if service.alive() and answers(service.address):
            return service
    except BaseException:  # Ctrl-C while waiting leaves nothing behind
        service.stop()
        raise
    gone = not service.alive()
    service.stop()
    log = log_file(service.folder, service.name)
    what = "ended at its start" if gone else f"did not answer within {seconds:.0f} s"
    raise ServiceError(
        f"{service.name} {what} ({last_words(log)}); see {log}, or start empty after `vigia down --erase`"
    )


def find(folder: Path) -> Service | None:
    """The service whose record is in ``folder``, running or not; None if there is no readable record."""
    try:
        record = json.loads((folder / RECORD).read_text())
        child = Process(**record["process"])
        return Service(record["name"], record["address"], record["port"], folder, child)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def forget(folder: Path) -> None:
    """Delete the record: the next start chooses its port anew."""
    (folder / RECORD).unlink(missing_ok=True)


def make_folder(folder: Path) -> Path:
    """``folder`` as an absolute path, made if absent, for this user alone."""
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise ServiceError(f"the data folder {folder} cannot be made: {error.strerror}") from None
    return folder.resolve()


def log_file(folder: Path, name: str) -> Path:
    """Where the service called ``name`` writes its log."""
    return folder / f"{name.lower()}.log"


def last_words(log: Path) -> str:
    """The line of ``log`` that most likely says what went wrong, short enough for a message."""
    try:
        lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    except OSError:
        return "no log"
    telling = [line for line in lines[-60:] if "Exception" in line or "rror" in line]
    return (telling or lines or ["its log is empty"])[-1][:200]
