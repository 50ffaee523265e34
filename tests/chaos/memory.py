"""What the processes take in memory, over time."""

import os
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from threading import Event, Thread
from typing import NamedTuple

import numpy as np

EVERY = 10.0
WARM = 120.0
"""Seconds of a process's life that tell nothing of its growth: buffers and pools fill."""

_SHORTEST = 120.0
"""Seconds that it must be watched for after that."""

_MIB = 1024 * 1024


class Sample(NamedTuple):
    """`at`: seconds from the start; `pid` tells a process from its successor."""

    at: float
    name: str
    pid: int
    mib: float


class Growth(NamedTuple):
    """Of one process after it was warm."""

    name: str
    pid: int
    seconds: float
    first: float
    last: float
    mib_per_hour: float


class Memory:
    """Looks at the processes that `pids` names, every so many seconds."""

    def __init__(self, pids: Callable[[], Mapping[str, int]], every: float = EVERY) -> None:
        self._pids, self._every, self._over = pids, every, Event()
        self.samples: list[Sample] = []
        self._thread = Thread(target=self._look, daemon=True)
        self._thread.start()

    def end(self) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        began = time.monotonic()
        while not self._over.wait(self._every):
            at = round(time.monotonic() - began, 1)
            for name, pid in self._pids().items():
                if mib := resident(pid):
                    self.samples.append(Sample(at, name, pid, mib))


def resident(pid: int) -> float | None:
    """MiB that the process has in memory; None if it is not there."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, IndexError):
        return None
    return round(pages * os.sysconf("SC_PAGE_SIZE") / _MIB, 1)


def growths(samples: Sequence[Sample]) -> list[Growth]:
    """By least squares, of each process that lived long enough."""
    lives: dict[tuple[str, int], list[Sample]] = defaultdict(list)
    for sample in samples:
        lives[sample.name, sample.pid].append(sample)
    found = []
    for (name, pid), life in lives.items():
        warm = [sample for sample in life if sample.at >= life[0].at + WARM]
        if len(warm) < 3 or warm[-1].at - warm[0].at < _SHORTEST:
            continue
        times, sizes = np.array([s.at for s in warm]), np.array([s.mib for s in warm])
        slope = float(np.polyfit(times, sizes, 1)[0]) * 3600
        found.append(Growth(name, pid, warm[-1].at - warm[0].at, warm[0].mib, warm[-1].mib, round(slope, 1)))
    return found
