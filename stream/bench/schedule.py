"""An open loop's schedule: when each event is due, whatever became of those before it.

wrk2 and the OpenMessaging Benchmark taught this: a generator that waits for answers, or that moves its
schedule when it is late, leaves out exactly the waiting that a slow moment causes (coordinated omission).
So event i is due at start + i / rate, its latency counts from then, and a late sender only makes it longer.
"""

import gc
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

_TICK = 0.001
"""Of the generator, which looks at its schedule so often: to wake for each event costs more than to send it.
What is sent late by it counts as late."""


@dataclass(frozen=True)
class Schedule:
    """Seconds of the monotonic clock, which all processes of a machine share."""

    start: float
    rate: float

    def due(self, number: int) -> float:
        return self.start + number / self.rate

    def all(self, count: int) -> NDArray[np.float64]:
        """When the first `count` events are due."""
        return self.start + np.arange(count) / self.rate

    def paced(
        self,
        count: int,
        idle: Callable[[], object],
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> Iterator[int]:
        """Yield each event's number when it is due, never before; those that are late come at once."""
        for number in range(count):
            due = self.due(number)
            while (left := due - clock()) > 0:
                idle()
                sleep(max(left, _TICK))
            yield number


@dataclass
class Pauses:
    """How long this process stood still for its garbage collector."""

    total: float = 0.0
    longest: float = 0.0
    count: int = 0
    _began: float = field(default=0.0, repr=False)

    def watch(self) -> None:
        """From now on; what there is already is no garbage, and is not looked at again."""
        gc.collect()
        gc.freeze()
        gc.callbacks.append(self._on_gc)

    def _on_gc(self, phase: str, _: dict[str, int]) -> None:
        if phase == "start":
            self._began = time.perf_counter()
            return
        pause = time.perf_counter() - self._began
        self.total, self.longest, self.count = self.total + pause, max(self.longest, pause), self.count + 1

    def told(self) -> dict[str, float]:
        return {"count": self.count, "total_ms": self.total * 1e3, "longest_ms": self.longest * 1e3}
