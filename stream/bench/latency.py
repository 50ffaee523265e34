"""Latency under an open loop: from when a payment was due to when its decision is seen by a consumer.

Generator and consumer are processes of their own on the same machine, so they take part of its cores. Each
rate begins with some seconds that are not counted; then every payment counts, and one without a decision
is infinitely late.
"""

import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from features.errors import VigiaError
from stream.bench.children import SETTINGS, Child, child, memory_mb
from stream.bench.drain import WORKER, cpu_by_process
from stream.bench.generator import Plan, write
from stream.bench.ground import Counter, Field
from stream.bench.quantiles import Buckets, between, bucket_quantiles, buckets_of, quantiles
from stream.bench.schedule import Schedule
from stream.bench.sources import Message
from stream.process import environment

IN_WORKER = "vigia_in_worker_seconds"
_SILENT_SECONDS = 20.0


@dataclass(frozen=True)
class Load:
    """What is sent at one rate: messages a second, payments and reports together."""

    rate: float
    seconds: float
    warm_up: float = 5.0

    @property
    def uncounted(self) -> int:
        return round(self.rate * self.warm_up)

    @property
    def counted(self) -> int:
        return max(1, round(self.rate * self.seconds))


@dataclass(frozen=True)
class _Sent:
    """One load, sent: the counted messages and their schedule, and what the worker said meanwhile."""

    load: Load
    messages: Sequence[Message]
    generator: Mapping[str, Any]
    in_worker: Buckets
    cpu_us: Mapping[str, float]
    """An event, by process."""


def measure(field: Field, messages: list[Message], loads: Sequence[Load]) -> dict[str, Any]:
    """`rates`: of each `end_to_end` and `in_worker` (ms), and how well the schedule was kept."""
    topic, out = field.settings.topic("decisions"), field.folder / "seen.json"
    watching = ["stream.bench.watcher", topic, str(field.partitions), str(out)]
    with child(WORKER, field.settings, field.folder, "worker") as worker:
        worker.wait_ready()
        with child(watching, field.settings, field.folder, "watcher") as watcher:
            sent = list(_send_all(field, worker, messages, loads))
            worker_mb = memory_mb(worker.pid, peak=True)
            time.sleep(0.5)
            watcher.process.send_signal(signal.SIGTERM)
            watcher.process.wait(30)
    seen = orjson.loads(out.read_bytes())
    first: dict[str, float] = {}
    for event_id, at in zip(seen["ids"], seen["seen"], strict=True):
        first.setdefault(event_id, at)
    return {
        "rates": {f"{one.load.rate:g}": _told(one, first, seen["gc"]) for one in sent},
        "memory_mb": worker_mb,
    }


def _send_all(field: Field, worker: Child, messages: list[Message], loads: Sequence[Load]) -> Iterator[_Sent]:
    rest, expected, decisions = iter(messages), 0, field.counter("decisions")
    for load in loads:
        warm, part = list(islice(rest, load.uncounted)), list(islice(rest, load.counted))
        if len(part) < load.counted:
            raise VigiaError(f"the stream is too short for {load.rate:g} events/s: use fewer --seconds")
        _generate(field, warm, load.rate)
        expected = _decided(decisions, expected, warm, worker)
        before, cpu = _buckets(worker), cpu_by_process(field, [worker])
        generator = _generate(field, part, load.rate)
        expected = _decided(decisions, expected, part, worker)
        spent = cpu_by_process(field, [worker])
        costs = {name: (spent[name] - cpu[name]) / len(part) * 1e6 for name in cpu}
        yield _Sent(load, part, generator, between(before, _buckets(worker)), costs)


def _decided(decisions: Counter, before: int, part: Sequence[Message], worker: Child) -> int:
    """Wait for the decisions of this part; how many there are to be now. Some may be missing."""
    wanted = before + sum(message.topic == "transactions" for message in part)
    decisions.wait(wanted, _SILENT_SECONDS, worker.check)
    return wanted


def _generate(field: Field, part: list[Message], rate: float) -> Mapping[str, Any]:
    if not part:
        return {}
    plan, lines = field.folder / "plan.json", field.folder / "messages.tsv"
    write(lines, field.settings.topic_prefix, part)
    Plan(str(lines), field.settings.kafka_client_config(), rate).save(plan)
    done = subprocess.run(
        [sys.executable, "-m", "stream.bench.generator", str(plan)],
        env=environment(field.settings, SETTINGS),
        cwd=field.folder,
        capture_output=True,
        check=False,
    )
    if done.returncode:
        raise VigiaError(f"the generator failed: {done.stderr.decode()[-500:]}")
    told: Mapping[str, Any] = orjson.loads(done.stdout)
    return told


def _buckets(worker: Child) -> Buckets:
    return buckets_of(worker.get("/metrics") or "", IN_WORKER)


def _told(sent: _Sent, first: Mapping[str, float], watcher_gc: Mapping[str, float]) -> dict[str, Any]:
    waited = latencies(sent.messages, Schedule(sent.generator["start"], sent.load.rate), first)
    in_worker = bucket_quantiles(sent.in_worker)
    return {
        "end_to_end": quantiles(waited * 1e3),
        "in_worker": {name: value * 1e3 for name, value in in_worker.items()} if in_worker else None,
        "events": len(waited),
        "missing": int(np.isinf(waited).sum()),
        "seconds": sent.load.seconds,
        "cpu_us": dict(sent.cpu_us),
        "generator": {name: sent.generator[name] for name in ("late_ms", "gc", "failed")},
        "watcher_gc": dict(watcher_gc),
    }


def latencies(
    messages: Sequence[Message], schedule: Schedule, first: Mapping[str, float]
) -> NDArray[np.float64]:
    """Seconds from due to seen, of each payment in order; infinite without a decision."""
    due = schedule.all(len(messages))
    return np.array(
        [
            first.get(orjson.loads(message.value)["event_id"], np.inf) - at
            for message, at in zip(messages, due.tolist(), strict=True)
            if message.topic == "transactions"
        ]
    )
