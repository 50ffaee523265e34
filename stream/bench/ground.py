"""The bench's own Kafka, and a Redis for each run that begins where the history ends."""

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import redis
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient

from deploy.local import Service, ServiceError, start_redis
from deploy.local.ports import free_port
from deploy.local.process import wait_until
from deploy.local.redis import KEPT
from stream.bench.sources import Message
from stream.kafka_client import END
from stream.publish import Outgoing, publish
from stream.settings import Settings
from stream.topics import DEFAULT_PARTITIONS, create_topics

_REWRITE_SECONDS = 120.0
_LOOK_SECONDS = 0.04
_ANSWER_SECONDS = 10.0


@dataclass
class Ground:
    """One Kafka for all runs; each run has topics, a group and a Redis of its own."""

    folder: Path
    kafka: Service
    _numbers: Iterator[int] = field(default_factory=count)

    @contextmanager
    def fresh(
        self, model: Path, dump: Path, *, partitions: int = DEFAULT_PARTITIONS, batch_max: int | None = None
    ) -> Iterator["Field"]:
        """Topics that are empty and a Redis that holds the dump; the Redis ends with the block."""
        name = f"bench-{next(self._numbers)}"
        folder = self.folder / name
        with _redis(folder, dump) as service:
            chosen: Any = {} if batch_max is None else {"batch_max": batch_max}
            # model_construct: the defaults of Settings without the user's VIGIA_* and .env
            settings = Settings.model_construct(
                kafka_bootstrap=self.kafka.address, redis_url=service.address, model=model, group_id=name,
                topic_prefix=f"{name}.", http_port=free_port(), **chosen,
            )  # fmt: skip
            create_topics(settings, partitions, 1)
            yield Field(folder, settings, service, self.kafka, partitions)

    def bytes_on_disk(self, prefix: str) -> int:
        """What Kafka keeps for the topics whose names begin so."""
        logs = (self.kafka.folder / "data").glob(f"{prefix}*/*.log")
        return sum(log.stat().st_size for log in logs)


@dataclass(frozen=True)
class Field:
    """What one run plays on."""

    folder: Path
    settings: Settings
    redis: Service
    kafka: Service
    partitions: int

    def counter(self, topic: str) -> "Counter":
        """Of a topic, named without its prefix."""
        return Counter(self.settings, topic, self.partitions)

    def publish(self, messages: list[Message]) -> None:
        """All of them, in order, as fast as the broker takes them. Raises ServiceError."""
        topic = self.settings.topic
        outgoing = (Outgoing(topic(message.topic), message.key, message.value) for message in messages)
        report = publish(outgoing, config=self.settings.kafka_client_config())
        if report.failed:
            raise ServiceError(f"the bench's Kafka refused {report.failed} messages: {report.error}")


class Counter:
    """How many records were ever written to a topic: one small request to the broker a look."""

    def __init__(self, settings: Settings, topic: str, partitions: int) -> None:
        self._admin = AdminClient(settings.kafka_client_config())
        places = (TopicPartition(settings.topic(topic), partition) for partition in range(partitions))
        self._ends = dict.fromkeys(places, END)

    def __call__(self) -> int:
        answers = self._admin.list_offsets(self._ends, request_timeout=_ANSWER_SECONDS)
        return sum(answer.result().offset for answer in answers.values())

    def wait(self, wanted: int, patience: float, check: Callable[[], None]) -> int:
        """How many there are, once that is at least `wanted`, or `patience` seconds after the last new one.

        `check` is called meanwhile; it may raise.
        """
        found, moved = 0, time.monotonic()
        while True:
            if (now := self()) > found:
                found, moved = now, time.monotonic()
            if found >= wanted or time.monotonic() - moved > patience:
                return found
            check()
            time.sleep(_LOOK_SECONDS)


@contextmanager
def _redis(folder: Path, dump: Path) -> Iterator[Service]:
    folder.mkdir(parents=True)
    data = folder / "redis"
    data.mkdir()
    shutil.copyfile(dump, data / "dump.rdb")
    service = start_redis(data, persistent=False, dump=data / "dump.rdb")
    try:
        _write_log(service)
        yield service
    finally:
        service.kill()
        shutil.rmtree(data, ignore_errors=True)


def _write_log(service: Service) -> None:
    """The append-only file as `vigia up` has it. Redis reads a dump only without one, so it is turned on."""
    with redis.Redis.from_url(service.address) as client:
        for name, value in KEPT.items():
            client.config_set(name, value)

        def written() -> bool:
            told = client.info("persistence")
            return not (told["aof_rewrite_in_progress"] or told["aof_rewrite_scheduled"])

        if not wait_until(written, _REWRITE_SECONDS, every=0.1):
            raise ServiceError("Redis did not finish its append-only file")
