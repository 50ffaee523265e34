"""The worker as a process of its own, as `vigia worker` starts it; ended by its id."""

import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

from features.errors import VigiaError
from stream.process import environment, last_lines, spawn
from stream.settings import Settings

_READY_SECONDS = 60.0
_STOP_SECONDS = 20.0
_SETTINGS = {"kafka_bootstrap", "redis_url", "model", "http_host", "http_port"}


class WorkerProcess:
    """Started in `folder`, where its log stays. Raises VigiaError, with the log's end, when it dies early."""

    def __init__(self, folder: Path, settings: Settings, registry: str) -> None:
        self.log = folder / "worker.log"
        self._url = f"http://{settings.http_host}:{settings.http_port}"
        mine = environment(settings, _SETTINGS) | {
            "PYTHONUNBUFFERED": "1",
            "MLFLOW_TRACKING_URI": registry,
        }
        self._process = spawn(("stream.cli", "worker"), mine, self.log)

    def wait_ready(self) -> None:
        """Return when /readyz says yes."""
        deadline = time.monotonic() + _READY_SECONDS
        while not self._ready():
            self.check()
            if time.monotonic() > deadline:
                raise VigiaError(f"the worker is not ready after {_READY_SECONDS:.0f} s\n{self.last_lines()}")
            time.sleep(0.05)

    def check(self) -> None:
        """Raises VigiaError when it has ended."""
        if (code := self._process.poll()) is not None:
            raise VigiaError(f"the worker ended with exit code {code}; its log ends so:\n{self.last_lines()}")

    def repeats(self) -> int:
        """`vigia_repeats_total` of /metrics."""
        with urllib.request.urlopen(f"{self._url}/metrics", timeout=5) as answer:
            lines = answer.read().decode().splitlines()
        return next(int(float(line.split()[1])) for line in lines if line.startswith("vigia_repeats_total "))

    def last_lines(self) -> str:
        """The end of its log."""
        return last_lines(self.log)

    def stop(self) -> None:
        """SIGTERM, and SIGKILL if it takes too long; does nothing when it has ended."""
        self._process.terminate()
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self._url}/readyz", timeout=2) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False
