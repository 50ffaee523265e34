"""Whoever waits for decisions, a process of its own: `python -m stream.bench.watcher TOPIC PARTITIONS OUT`.

Notes when each decision is seen, until SIGTERM, then writes OUT: `ids`, and `seen` by the monotonic clock.
Fetching is librdkafka's own; decisions are polled one by one, for `consume` waits until it has many.
"""

import signal
import sys
import time
from pathlib import Path

import orjson
from confluent_kafka import Consumer, TopicPartition

from stream.bench.schedule import Pauses
from stream.settings import load_settings


def watch(topic: str, partitions: int, out: Path) -> None:
    stopped: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: stopped.append(number))
    config = {**load_settings().kafka_client_config(), "group.id": "bench-watcher"}
    consumer = Consumer({**config, "enable.auto.commit": False, "fetch.wait.max.ms": 100})
    consumer.assign([TopicPartition(topic, partition, 0) for partition in range(partitions)])
    ids: list[str] = []
    seen: list[float] = []
    pauses = Pauses()
    pauses.watch()
    while not stopped:
        message = consumer.poll(0.1)
        if message is not None and message.error() is None:
            seen.append(time.monotonic())
            ids.append(orjson.loads(message.value() or b"{}")["event_id"])
    consumer.close()
    out.write_bytes(orjson.dumps({"ids": ids, "seen": seen, "gc": pauses.told()}))


if __name__ == "__main__":
    watch(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))
