"""Whole processes: a Kafka and a Redis that may be killed, and workers on them. Used by `e2e` and `chaos`."""

import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, KafkaException, Message, TopicPartition

from deploy.local import Service, start_kafka, start_redis
from deploy.local.ports import free_port
from deploy.local.process import wait_until
from features.transaction import FraudReport, Transaction
from stream.bench.ground import Counter
from stream.dead_letter import Rejected
from stream.kafka_log import record
from stream.parity import FeatureRecord, Source, feature_record
from stream.pipeline import decode
from stream.publish import publish
from stream.record import Record
from stream.record_time import in_record_time
from stream.settings import Settings
from stream.topics import create_topics

PARTITIONS = 4


def read_topic(settings: Settings, topic: str, partitions: Iterable[int]) -> list[Message]:
    """All that these partitions hold now, in their order.

    The ends are asked for first: behind a fetch that waits for news they come half a second later.
    """
    consumer = Consumer({**settings.kafka_client_config(), "group.id": "test-reader"})
    places = [TopicPartition(settings.topic(topic), partition, 0) for partition in partitions]
    messages = []
    try:
        ends = {place.partition: consumer.get_watermark_offsets(place, timeout=10)[1] for place in places}
        left = {partition for partition, end in ends.items() if end}
        consumer.assign(places)
        while left:
            for message in consumer.consume(500, timeout=0.1):
                assert message.error() is None, message.error()
                messages.append(message)
                partition, offset = message.partition() or 0, message.offset() or 0
                if offset + 1 >= ends[partition]:
                    left.discard(partition)
    finally:
        consumer.close()
    return sorted(messages, key=lambda message: message.partition() or 0)


@dataclass
class World:
    """A Kafka and a Redis of one test's own, and the workers that it starts."""

    folder: Path
    kafka: Service
    redis: Service
    model: Path
    prefix: str = "pix."
    group: str = "vigia"
    partitions: int = PARTITIONS
    lasting: bool = False
    """Whether its Kafka is to work for many minutes."""
    workers: list["WorkerProcess"] = field(default_factory=list)
    _counters: dict[tuple[str, str, int], Counter] = field(default_factory=dict, repr=False)

    @property
    def settings(self) -> Settings:
        return Settings(
            kafka_bootstrap=self.kafka.address, redis_url=self.redis.address, topic_prefix=self.prefix,
            group_id=self.group, model=self.model,
        )  # fmt: skip

    def create_topics(self) -> None:
        create_topics(self.settings, self.partitions, 1)

    def worker(self, **environment: str) -> "WorkerProcess":
        worker = WorkerProcess(self, len(self.workers), environment)
        self.workers.append(worker)
        return worker

    def publish(self, messages: Iterable[tuple[str, bytes | None, bytes]], rate: float | None = None) -> int:
        outgoing = ((self.prefix + topic, key, value, None) for topic, key, value in messages)
        report = publish(outgoing, config=self.settings.kafka_client_config(), rate=rate)
        assert report.failed == 0, report.error
        return report.sent

    def read(self, topic: str) -> list[Message]:
        """All that the topic holds now, in the order of its partitions."""
        return read_topic(self.settings, topic, range(self.partitions))

    def events(self) -> list[tuple[Record, Transaction | FraudReport]]:
        """The good records of both inputs in record time."""
        records = [
            record(topic, message)
            for topic in ("transactions", "fraud-reports")
            for message in self.read(topic)
        ]
        found = []
        for each in in_record_time(records):
            with suppress(Rejected):
                found.append((each, decode(each)))
        return found

    def feature_log(self) -> list[FeatureRecord]:
        """Each source once. What was sent again after a crash must be the same."""
        found: dict[Source, FeatureRecord] = {}
        for each in map(feature_record, self.read("feature-log")):
            assert found.setdefault(each.source, each) == each
        return list(found.values())

    def decisions(self) -> dict[str, set[bytes]]:
        """Event id → the different payloads that were ever sent for it."""
        found: dict[str, set[bytes]] = defaultdict(set)
        for message in self.read("decisions"):
            value = message.value() or b""
            found[json.loads(value)["event_id"]].add(value)
        return found

    def held(self, topic: str) -> int:
        """How many records were ever written to the topic."""
        place = self.prefix, topic, self.partitions
        try:
            return self._counters[place]()
        except (KeyError, KafkaException):  # none yet, or it knows the leaders of a broker that was killed
            self._counters[place] = Counter(self.settings, topic, self.partitions)
        return self._counters[place]()

    def wait_for_decisions(self, n: int, seconds: float = 90) -> dict[str, set[bytes]]:
        found: dict[str, set[bytes]] = {}

        def all_there() -> bool:
            nonlocal found
            if self.held("decisions") < n:  # not worth to be read
                return False
            found = self.decisions()
            return len(found) >= n

        there = wait_until(all_there, seconds, every=0.5)
        assert there, f"{len(self.decisions())} of {n} decided\n{self.logs()}"
        return found

    def wait_for_logged(self, n: int, seconds: float = 120) -> None:
        """Return when the feature log holds n records."""
        there = wait_until(lambda: self.held("feature-log") >= n, seconds, every=0.5)
        assert there, f"{self.held('feature-log')} of {n} logged\n{self.logs()}"

    def verify(
        self, sample: int, seconds: float = 120, **environment: str
    ) -> tuple[bool, dict[str, Any], str]:
        """`vigia state verify`: whether it found nothing, its report, and what it said besides."""
        command = [sys.executable, "-m", "stream.cli", "state", "verify", "--sample", str(sample), "--json"]
        mine = self.environment | environment
        done = subprocess.run(command, env=mine, capture_output=True, text=True, timeout=seconds)
        return done.returncode == 0, json.loads(done.stdout or "{}"), done.stderr

    @property
    def environment(self) -> dict[str, str]:
        """Of a command that is to work on this world."""
        return os.environ | {
            "VIGIA_KAFKA_BOOTSTRAP": self.kafka.address,
            "VIGIA_REDIS_URL": self.redis.address,
            "VIGIA_TOPIC_PREFIX": self.prefix,
            "VIGIA_GROUP_ID": self.group,
            "VIGIA_MODEL": str(self.model),
        }

    def logs(self) -> str:
        return "\n".join(f"--- {w.log}\n{w.log.read_text()[-3000:]}" for w in self.workers if w.log.exists())


@contextmanager
def running(world: World) -> Iterator[World]:
    """Its topics are there; its workers end with it."""
    try:
        world.create_topics()
        yield world
    finally:
        for worker in world.workers:
            if worker.process.poll() is None:
                worker.kill()


@contextmanager
def private_world(folder: Path, model: Path, *, lasting: bool = False) -> Iterator[World]:
    """A Kafka, a Redis and topics of its own; all that was started ends, in whichever way it was replaced."""
    kafka, redis = start_kafka(folder / "kafka", lasting=lasting), start_redis(folder / "redis")
    world = World(folder, kafka, redis, model, lasting=lasting)
    try:
        with running(world):
            yield world
    finally:
        world.redis.kill()
        world.kafka.kill()


class WorkerProcess:
    """`vigia worker` as a process."""

    def __init__(self, world: World, number: int, environment: dict[str, str]) -> None:
        self.port = free_port()
        self.log = world.folder / f"worker-{number}.log"
        self._command = [sys.executable, "-m", "stream.cli", "worker"]
        self._environment = world.environment | {"VIGIA_HTTP_PORT": str(self.port), **environment}
        self.start()

    def start(self, **environment: str) -> None:
        """Begin again; `environment` is other settings than the last time's."""
        self._environment |= environment
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(self._command, env=self._environment, stdout=log, stderr=log)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def stop(self, seconds: float = 30) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(seconds)

    def ready(self) -> bool:
        return self.get("/readyz")[0] == 200

    def metric(self, line: str) -> float:
        """The value of one line of /metrics, 0 if it is not there yet."""
        for text in self.get("/metrics")[1].splitlines():
            if text.startswith(line + " "):
                return float(text.rsplit(" ", 1)[1])
        return 0.0

    def get(self, path: str, seconds: float = 5) -> tuple[int, str]:
        """Status and text; 0 if it does not answer in time."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=seconds) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()
        except OSError:
            return 0, ""
