"""What the worker says of itself: alive, ready, and what it waits for. Thread-safe by single assignments."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from stream import metrics

log = logging.getLogger("vigia.health")


@dataclass
class Health:
    """Ready when started and nothing that a decision needs is away."""

    clock: Callable[[], float] = time.monotonic
    waits: dict[str, tuple[float, str]] = field(default_factory=dict)
    started: bool = False

    def waiting(self, dependency: str, why: str) -> None:
        """`dependency` is away; said once in the log, the latest reason in the report."""
        since, told = self.waits.get(dependency, (self.clock(), None))
        if told != why:
            self.waits = {**self.waits, dependency: (since, why)}
        if told is None:
            metrics.WAITS.labels(dependency).inc()
            log.warning("waiting for %s: %s", dependency, why)
        metrics.READY.set(0)

    def answered(self, dependency: str) -> None:
        if dependency in self.waits:
            since, _ = self.waits[dependency]
            self.waits = {name: wait for name, wait in self.waits.items() if name != dependency}
            log.warning("%s is back after %.1f s", dependency, self.clock() - since)
        metrics.READY.set(self.ready)

    def start(self) -> None:
        self.started = True
        metrics.READY.set(self.ready)

    @property
    def ready(self) -> bool:
        return self.started and not self.waits

    def report(self) -> dict[str, object]:
        now = self.clock()
        waits = {
            name: {"seconds": round(now - since, 1), "why": why} for name, (since, why) in self.waits.items()
        }
        return {"ready": self.ready, "started": self.started, "waiting_for": waits}
