"""`vigia serve` as a process, and what a client of it sends and gets."""

import http.client
import json
import signal
import subprocess
import sys
from typing import Any, NamedTuple

from deploy.local.ports import free_port

from .conftest import World

PATH = "/v1/pix/decisions"
JSON = {"Content-Type": "application/json"}


class Got(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def code(self) -> str:
        """Of a problem."""
        assert self.headers["content-type"] == "application/problem+json", self
        return str(json.loads(self.body)["code"])


class DoorProcess:
    """`vigia serve`; it ends with the `with` block."""

    def __init__(self, world: World, **environment: str) -> None:
        self.port = free_port()
        self.log = world.folder / f"door-{self.port}.log"
        self._environment = world.environment | {"VIGIA_API_PORT": str(self.port), **environment}
        self.start()

    def start(self) -> None:
        command = [sys.executable, "-m", "stream.cli", "serve"]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(command, env=self._environment, stdout=log, stderr=log)

    def stop(self, seconds: float = 30) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(seconds)

    def __enter__(self) -> "DoorProcess":
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def ready(self) -> bool:
        try:
            return self.get("/readyz").status == 200
        except OSError:
            return False

    def get(self, path: str) -> Got:
        return self.request("GET", path)

    def ask(self, order: object, **headers: str) -> Got:
        """`order`: bytes as they are, or what is sent as JSON."""
        body = order if isinstance(order, bytes) else json.dumps(order).encode()
        return self.request("POST", PATH, body, JSON | headers)

    def request(
        self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> Got:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, path, body, headers or {})
            answer = connection.getresponse()
            found = {name.lower(): value for name, value in answer.getheaders()}
            return Got(answer.status, found, answer.read())
        finally:
            connection.close()


def order(event_id: str, **other: Any) -> dict[str, Any]:
    """A payment order that is good."""
    return {
        "event_id": event_id,
        "occurred_at": "2026-11-21T15:30:00.123Z",
        "amount": "150.00",
        "payer": {"account": "a-1", "ispb": "90400888"},
        "payee": {"account": "b-9", "ispb": "60701190"},
    } | other
