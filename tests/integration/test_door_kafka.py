"""The door on a real Kafka, with this test in the worker's place: it can say what a worker would not."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

import pytest
from confluent_kafka import KafkaException, Producer
from confluent_kafka.admin import AdminClient, NewPartitions

from deploy.local import Service
from deploy.local.process import Process, wait_until
from stream.messages import decode_transaction
from stream.settings import Settings
from stream.topics import TOPICS, create_topics

from ..e2e.conftest import World
from ..e2e.door import DoorProcess, order

pytestmark = [pytest.mark.kafka, pytest.mark.redis, pytest.mark.timeout(90)]


class Worker:
    """Says what became of orders."""

    def __init__(self, settings: Settings) -> None:
        self.settings, self.admin = settings, AdminClient(settings.kafka_client_config())
        self._producer = Producer(settings.kafka_client_config())

    def topic_id(self) -> str:
        from confluent_kafka import TopicCollection

        name = self.settings.topic("transactions")
        found = self.admin.describe_topics(TopicCollection([name]))[name].result()
        return str(found.topic_id)

    def publish(self, body: bytes, partition: int = 0) -> int:
        """Another producer's order; its offset."""
        offsets: list[int] = []
        self._producer.produce(
            self.settings.topic("transactions"), body, b"a-1", partition,
            on_delivery=lambda _, message: offsets.append(message.offset() or 0),
        )  # fmt: skip
        self._producer.flush(10)
        return offsets[0]

    def decide(
        self, body: bytes, offset: int, partition: int = 0, *, on: int | None = None,
        group: str | None = None, ago: float = 0, mark: str = "",
    ) -> bytes:  # fmt: skip
        """A decision on the order at that offset, put on partition `on`; its bytes."""
        event = decode_transaction(body, int(time.time() * 1000))
        told = json.loads(body)
        decision = json.dumps(
            {"event_id": event.event_id, "decision": "APPROVE", "occurred_at": told["occurred_at"],
             "amount": told["amount"], "payer_account": event.payer_account,
             "payee_account": event.payee_account, "mark": mark}
        ).encode()  # fmt: skip
        headers = [
            ("group", (group or self.settings.group_id).encode()),
            ("source_partition", str(partition).encode()),
            ("source_offset", str(offset).encode()),
            ("source_topic_id", self.topic_id().encode()),
        ]
        self._producer.produce(
            self.settings.topic("decisions"), decision, b"a-1", partition if on is None else on,
            headers=headers, timestamp=int((time.time() - ago) * 1000),
        )  # fmt: skip
        assert self._producer.flush(10) == 0
        return decision


def elsewhere(name: str, address: str, folder: Path) -> Service:
    return Service(name, address, None, folder, Process(0, ""))


@pytest.fixture
def world(kafka: str, redis_url: str, tmp_path: Path) -> World:
    """Topics of this test's own; nobody decides but the test."""
    services = elsewhere("Kafka", kafka, tmp_path), elsewhere("Redis", redis_url, tmp_path)
    world = World(tmp_path, *services, tmp_path, prefix=f"door-{uuid4().hex[:8]}.", partitions=2)
    world.create_topics()
    return world


@pytest.fixture
def worker(world: World) -> Worker:
    return Worker(world.settings)


@pytest.fixture
def door(world: World) -> Iterator[DoorProcess]:
    with DoorProcess(world, VIGIA_DECISION_DEADLINE="1") as door:
        yield door


def soon(condition: Callable[[], bool], seconds: float = 20) -> bool:
    return wait_until(condition, seconds, every=0.05)


def told(world: World, topic: str) -> bool:
    """Whether each of its partitions has a leader."""
    with suppress(KafkaException):
        return world.held(topic) >= 0
    return False


def encoded(event_id: str, **other: object) -> bytes:
    return json.dumps(order(event_id, **other)).encode()


def test_the_last_15_minutes_are_known_from_the_start(world: World, worker: Worker) -> None:
    recent, old, shadow = encoded("recent"), encoded("old"), encoded("shadow")
    worker.decide(old, worker.publish(old), ago=20 * 60)
    first = worker.decide(recent, worker.publish(recent), ago=10 * 60)
    worker.decide(shadow, worker.publish(shadow), group="another")
    before = world.held("transactions")
    with DoorProcess(world, VIGIA_DECISION_DEADLINE="1") as door:
        assert soon(door.ready)
        assert door.ask(recent).body == first
        assert world.held("transactions") == before
        assert door.ask(shadow).status == 504, "another group's decision is not ours"
        assert door.ask(old).status == 504
        assert world.held("transactions") == before + 2


def test_partitions_that_come_later_are_read_too(world: World, worker: Worker, door: DoorProcess) -> None:
    assert soon(door.ready)
    names = [world.settings.topic(name) for name in TOPICS]
    for future in worker.admin.create_partitions([NewPartitions(name, 5) for name in names]).values():
        future.result()
    world.partitions = 5
    assert soon(lambda: told(world, "transactions") and told(world, "decisions"))
    body = encoded("later")
    worker.decide(body, worker.publish(body), on=4)
    before = world.held("transactions")
    assert soon(lambda: b"vigia_door_known 1.0" in door.get("/metrics").body)
    assert door.ask(body).status == 200
    assert world.held("transactions") == before


def test_a_topic_made_anew_is_read_from_its_start(world: World, worker: Worker, door: DoorProcess) -> None:
    assert soon(door.ready)
    body, other = encoded("before"), encoded("after")
    for _ in range(3):
        offset = worker.publish(body)
    first = worker.decide(body, offset)
    assert soon(lambda: door.ask(body).status == 200)
    for name in ("transactions", "decisions"):
        full = world.settings.topic(name)
        worker.admin.delete_topics([full], operation_timeout=10)[full].result()
    assert soon(lambda: door.get("/readyz").status == 503)
    create_topics(world.settings, 2, 1)
    assert soon(door.ready), door.log.read_text()
    assert door.ask(body).body == first, "what was answered stands"
    assert door.ask(other).status == 504, "sent to the new topic, and nobody decides"
    sent = next(message for message in world.read("transactions") if message.value() == other)
    mine = worker.decide(other, sent.offset() or 0, sent.partition() or 0, mark="mine")
    assert soon(lambda: door.ask(other).body == mine)
    assert "made anew" in door.log.read_text()


def test_the_offset_and_the_event_must_both_be_the_orders(
    world: World, worker: Worker, door: DoorProcess
) -> None:
    assert soon(door.ready)
    body, other = encoded("mine"), encoded("mine", device={"id": "d"})
    assert door.ask(body).status == 504
    sent = next(message for message in world.read("transactions") if message.value() == body)
    place = sent.offset() or 0, sent.partition() or 0
    worker.decide(encoded("another"), *place)
    theirs = worker.publish(other, place[1])
    worker.decide(other, theirs, place[1], mark="theirs")
    assert door.ask(body).status == 504, "its content is another, though a decision does not tell"
    mine = worker.decide(body, *place, mark="mine")
    assert door.ask(body).body == mine
