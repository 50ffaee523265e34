"""A process that the bench starts: its CPU time and memory, and its end. Linux tells them in /proc."""

import os
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from deploy.local.process import wait_until
from features.errors import VigiaError
from stream.process import environment, last_lines, spawn
from stream.settings import Settings

_TICKS = os.sysconf("SC_CLK_TCK")
_READY_SECONDS = 60.0
SETTINGS = {
    "kafka_bootstrap", "redis_url", "topic_prefix", "group_id", "model", "batch_max", "http_port"
}  # fmt: skip
"""What a process of the bench is told, instead of the user's VIGIA_*."""


def cpu_seconds(pid: int) -> float:
    """CPU time of the process with all its threads so far."""
    return cpu_seconds_of(Path(f"/proc/{pid}"))


def cpu_seconds_of(task: Path) -> float:
    """CPU time of a process, or of a thread, by its folder in /proc."""
    fields = (task / "stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def memory_mb(pid: int, *, peak: bool = False) -> float:
    """Resident memory now, or the most that it was."""
    name = "VmHWM:" if peak else "VmRSS:"
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name)) / 1024


@dataclass(frozen=True)
class Child:
    """A Python process of ours with its log."""

    process: "subprocess.Popen[bytes]"
    log: Path
    http_port: int

    @property
    def pid(self) -> int:
        return self.process.pid

    def check(self) -> None:
        """Raises VigiaError, with the end of the log, when it has ended."""
        if (code := self.process.poll()) is not None:
            raise VigiaError(f"{self.log.stem} ended with exit code {code}:\n{self.last_lines()}")

    def last_lines(self) -> str:
        """The end of its log, which goes with the bench's folder."""
        return last_lines(self.log)

    def wait_ready(self) -> None:
        """Return when /readyz says yes."""

        def ready() -> bool:
            self.check()
            return self.get("/readyz") is not None

        if not wait_until(ready, _READY_SECONDS, every=0.05):
            raise VigiaError(
                f"{self.log.stem} is not ready after {_READY_SECONDS:.0f} s:\n{self.last_lines()}"
            )

    def get(self, path: str) -> str | None:
        """What its HTTP port answers; None if it answers no success."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.http_port}{path}", timeout=5) as answer:
                return str(answer.read().decode())
        except (urllib.error.URLError, OSError):
            return None


@contextmanager
def child(module: Sequence[str], settings: Settings, folder: Path, name: str) -> Iterator[Child]:
    """`python -m MODULE …` with these settings and none of the user's; killed at the end."""
    log = folder / f"{name}.log"
    process = spawn(module, environment(settings, SETTINGS), log)
    try:
        yield Child(process, log, settings.http_port)
    finally:
        process.kill()
        process.wait()
