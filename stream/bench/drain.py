"""Saturated throughput: a backlog that is already in the topic, drained as fast as it goes.

Timed from the first decision that is seen on the decisions topic to the last: what comes before the first
(starting Python, joining the group, the first batch) is left out, and so are the decisions of that first
look. CPU time is read at the same two moments.
"""

import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import redis

from deploy.local.ports import free_port
from features.errors import VigiaError
from stream.bench.children import Child, child, cpu_seconds, memory_mb
from stream.bench.ground import Counter, Field, Ground
from stream.bench.sources import Message
from stream.bench.stages import stage_seconds, thread_seconds

WORKER = ("stream.cli", "worker")
FLOOR = ("stream.bench.floor",)
BASELINE = ("stream.bench.baseline",)
TUNED = ("stream.bench.baseline", "in_one_read")

_FIRST_SECONDS = 90.0
_SILENT_SECONDS = 30.0
"""Without a new decision for so long, what is missing counts as lost, and the run fails."""


@dataclass(frozen=True)
class Drain:
    """One run. Microseconds and megabytes by process: `worker` (all of them), `redis`, `broker`."""

    events: int
    """Decisions between the two moments."""
    seconds: float
    cpu_us: dict[str, float]
    memory_mb: dict[str, float]
    threads_us: dict[str, float]
    """Of a worker's `cpu_us`, by its groups of threads."""
    stages_us: dict[str, float]
    """Of an event, by the clock and over the whole backlog; empty if the runner tells none."""
    alerts: int
    dead_letters: int
    payments: int
    """Of the backlog."""
    state_mb: float
    """What Redis used for its data at the end."""
    log_bytes: float
    """On the broker's disk for each payment: it, its decision, its alert and its feature-log record."""

    @property
    def rate(self) -> float:
        """Decisions a second."""
        return self.events / self.seconds

    def told(self) -> dict[str, Any]:
        return {"rate": round(self.rate), **vars(self)}


def drain(
    ground: Ground, field: Field, runner: Sequence[str], messages: list[Message], workers: int = 1
) -> Drain:
    """Publish the messages, start the runner, wait until each payment has its decision.

    Raises VigiaError when a process ends, or when some payments get no decision.
    """
    field.publish(messages)
    wanted = sum(message.topic == "transactions" for message in messages)
    counters = {topic: field.counter(topic) for topic in ("decisions", "alerts", "dead-letters")}
    with ExitStack() as stack:
        children = [
            stack.enter_context(child(runner, _own_port(field, i), field.folder, f"{runner[-1]}-{i}"))
            for i in range(workers)
        ]
        first = _decided(counters, 1, children, _FIRST_SECONDS)
        began, cpu, threads = time.perf_counter(), cpu_by_process(field, children), thread_seconds(children)
        _decided(counters, wanted, children, _SILENT_SECONDS)
        seconds, spent = time.perf_counter() - began, cpu_by_process(field, children)
        by_threads = {name: s - threads[name] for name, s in thread_seconds(children).items()}
        events = (wanted - first) or wanted  # all in one look: too few (--quick) for more than that it works
        return Drain(
            events,
            seconds,
            {name: (spent[name] - cpu[name]) / events * 1e6 for name in cpu},
            _memory(field, children),
            {name: s / events * 1e6 for name, s in by_threads.items()},
            {name: s / wanted * 1e6 for name, s in stage_seconds(children).items()},
            counters["alerts"](),
            counters["dead-letters"](),
            wanted,
            _used_mb(field),
            ground.bytes_on_disk(field.settings.topic_prefix) / wanted,
        )


def _own_port(field: Field, number: int) -> Any:
    return field.settings if number == 0 else field.settings.model_copy(update={"http_port": free_port()})


def _decided(counters: Mapping[str, Counter], wanted: int, children: Sequence[Child], patience: float) -> int:
    def check() -> None:
        for one in children:
            one.check()

    found = counters["decisions"].wait(wanted, patience, check)
    if found < wanted:
        raise VigiaError(
            f"only {found} of {wanted} decided, {counters['dead-letters']()} dead letters; the log of "
            f"{children[0].log.stem} ends so:\n{children[0].last_lines()}"
        )
    return found


def _pids(field: Field, children: Sequence[Child]) -> dict[str, list[int]]:
    return {
        "worker": [one.pid for one in children],
        "redis": [field.redis.process.pid],
        "broker": [field.kafka.process.pid],
    }


def cpu_by_process(field: Field, children: Sequence[Child]) -> dict[str, float]:
    return {name: sum(map(cpu_seconds, pids)) for name, pids in _pids(field, children).items()}


def _used_mb(field: Field) -> float:
    with redis.Redis.from_url(field.redis.address) as client:
        return float(client.info("memory")["used_memory"]) / 2**20


def _memory(field: Field, children: Sequence[Child]) -> dict[str, float]:
    """A worker's most, the largest of them; Redis and the broker as they are now."""
    pids = _pids(field, children)
    return {name: max(memory_mb(pid, peak=name == "worker") for pid in found) for name, found in pids.items()}
