"""What the broker refuses as too large is one event's dead letter; what shared a request with it arrives."""

import asyncio
import time

import pytest
from confluent_kafka import Consumer, Message, TopicPartition
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

from stream.health import Health
from stream.outputs import Outputs
from stream.pipeline import Decided, Outcomes, Record
from stream.settings import Settings
from stream.topics import create_topics

pytestmark = pytest.mark.kafka

LIMIT, LARGE = 4_000, 7


@pytest.fixture(scope="module")
def settings(kafka: str) -> Settings:
    """Topics of its own, whose decisions may have LIMIT bytes; a batch of them has more."""
    settings = Settings(kafka_bootstrap=kafka, topic_prefix="outputs.", decision_deadline=30)
    create_topics(settings, 1, 1)
    entry = ConfigEntry("max.message.bytes", str(LIMIT), incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.TOPIC, "outputs.decisions", incremental_configs=[entry])
    admin = AdminClient(settings.kafka_client_config())
    for done in admin.incremental_alter_configs([resource]).values():
        done.result(30)
    return settings


def decided(offset: int, size: int, waited: int = 0) -> Decided:
    now = int(time.time() * 1000)
    record = Record("transactions", 0, offset, now - waited, b"a-1", b"order %d" % offset)
    return Decided(record, "APPROVE", b"d%d" % offset * size, None, b"f%d" % offset)


def read(settings: Settings, topic: str) -> list[Message]:
    consumer = Consumer({**settings.kafka_client_config(), "group.id": "reader"})
    place = TopicPartition(settings.topic(topic), 0, 0)
    try:
        _, end = consumer.get_watermark_offsets(place, timeout=10)
        consumer.assign([place])
        found: list[Message] = []
        while not found or (found[-1].offset() or 0) < end - 1:
            found += consumer.consume(500, timeout=1)
        return found
    finally:
        consumer.close()


def test_one_decision_that_is_too_large_is_a_dead_letter_and_the_rest_arrive(settings: Settings) -> None:
    outcomes = Outcomes(decided=[decided(i, LIMIT if i == LARGE else 100) for i in range(50)])
    asyncio.run(Outputs(settings, "w", Health()).deliver(outcomes))
    told = {message.value() for message in read(settings, "decisions")}
    assert told == {d.decision for d in outcomes.decided if d.record.offset != LARGE}
    assert len(read(settings, "feature-log")) == 50
    (letter,) = read(settings, "dead-letters")
    headers = dict(letter.headers() or [])
    assert letter.value() == b"order %d" % LARGE
    assert headers["error_code"] == b"OUTPUT_TOO_LARGE"
    assert headers["source_offset"] == b"%d" % LARGE
    assert headers["source_topic"] == b"outputs.transactions"
    assert (headers["error"] or b"").startswith(b"decisions refuses")


def test_a_decision_that_waited_longer_than_the_deadline_says_so(settings: Settings) -> None:
    before = len(read(settings, "decisions"))
    outcomes = Outcomes(decided=[decided(100, 1, waited=29_000), decided(101, 1, waited=31_000)])
    asyncio.run(Outputs(settings, "w", Health()).deliver(outcomes))
    soon, late = (dict(message.headers() or []) for message in read(settings, "decisions")[before:])
    assert "late" not in soon
    assert 31_000 <= int(late["late"] or 0) < 60_000
