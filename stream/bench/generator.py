"""The open-loop generator, a process of its own: `python -m stream.bench.generator PLAN`.

PLAN is a JSON file; the messages lie in a file beside it, a line each: topic, key, value. It prints one JSON
object: when its schedule began, how late it sent, and its own pauses.
"""

import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from confluent_kafka import KafkaError, Message, Producer

from stream.bench.quantiles import quantiles
from stream.bench.schedule import Pauses, Schedule
from stream.bench.sources import Message as Outgoing
from stream.publish import PRODUCER

_AHEAD_SECONDS = 0.5

_PRODUCER = {
    **PRODUCER,
    # librdkafka's own default, as a producer has it that nobody tuned. What waits for it counts as waiting.
    "linger.ms": 5,
    "queue.buffering.max.messages": 1_000_000,
    # The generator takes part of the machine that it measures: it is told of failures alone.
    "delivery.report.only.error": True,
}


@dataclass(frozen=True)
class Plan:
    """What to send, where, how fast."""

    messages: str
    """A file of `write`."""
    client: dict[str, Any]
    rate: float

    def save(self, path: Path) -> None:
        path.write_bytes(orjson.dumps(asdict(self)))

    @classmethod
    def load(cls, path: Path) -> "Plan":
        return cls(**orjson.loads(path.read_bytes()))


def write(path: Path, prefix: str, messages: Iterable[Outgoing]) -> int:
    """A line a message; returns their number. Accounts hold no tab, and JSON no line break."""
    count = 0
    with path.open("wb") as file:
        for message in messages:
            file.write(b"\t".join((f"{prefix}{message.topic}".encode(), message.key, message.value)) + b"\n")
            count += 1
    return count


def read(path: Path) -> Iterator[tuple[str, bytes, bytes]]:
    """Line by line."""
    with path.open("rb") as file:
        for line in file:
            topic, key, value = line[:-1].split(b"\t", 2)
            yield topic.decode(), key, value


def send(plan: Plan) -> dict[str, Any]:
    """Send all on schedule and wait for every acknowledgement."""
    messages = list(read(Path(plan.messages)))
    failed: list[KafkaError | None] = []

    def refused(error: KafkaError | None, _: Message) -> None:
        failed.append(error)

    producer = Producer({**plan.client, **_PRODUCER})
    producer.list_topics(timeout=10)
    sent, pauses = np.zeros(len(messages)), Pauses()
    pauses.watch()
    schedule = Schedule(time.monotonic() + _AHEAD_SECONDS, plan.rate)
    for number in schedule.paced(len(messages), lambda: producer.poll(0)):
        topic, key, value = messages[number]
        sent[number] = time.monotonic()
        producer.produce(topic, value, key, on_delivery=refused)
    producer.flush()
    late = (sent - schedule.all(len(messages))) * 1e3
    return {
        "start": schedule.start,
        "late_ms": quantiles(late),
        "gc": pauses.told(),
        "failed": len(failed),
    }


if __name__ == "__main__":
    print(orjson.dumps(send(Plan.load(Path(sys.argv[1])))).decode())
