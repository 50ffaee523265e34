"""What is sent arrives: beside what the broker refuses as too large, late, in partitions that were added."""

import asyncio
import time

import pytest
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    ResourceType,
)

from deploy.local.process import wait_until
from stream.batch import Decided, Outcomes
from stream.dead_letter import Rejected
from stream.dead_letter_log import Choice, replayed
from stream.dead_letter_log import letters as dead_letters
from stream.health import Health
from stream.kafka_client import KafkaAway
from stream.kafka_log import KafkaLog
from stream.outputs import Outputs
from stream.pipeline import dead_letter
from stream.record import Record
from stream.settings import Settings
from stream.topics import TOPICS, create_topics

from ..world import read_topic

pytestmark = pytest.mark.kafka

LIMIT, LARGE = 4_000, 7


@pytest.fixture(scope="module")
def settings(kafka: str) -> Settings:
    """Topics of its own, whose decisions may have LIMIT bytes; a batch of them has more."""
    settings = Settings(kafka_bootstrap=kafka, topic_prefix="outputs.", decision_deadline=30)
    create_topics(settings, 1, 1)
    set_limit(settings, "decisions", LIMIT)
    return settings


def set_limit(settings: Settings, topic: str, limit: int) -> None:
    """The largest message that it takes."""
    entry = ConfigEntry("max.message.bytes", str(limit), incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.TOPIC, settings.topic(topic), incremental_configs=[entry])
    admin = AdminClient(settings.kafka_client_config())
    for done in admin.incremental_alter_configs([resource]).values():
        done.result(30)


def decided(offset: int, size: int, waited: int = 0, partition: int = 0) -> Decided:
    now = int(time.time() * 1000)
    record = Record("transactions", partition, offset, now - waited, b"a-1", b"order %d" % offset)
    return Decided(record, "APPROVE", b"d%d" % offset * size, None, b"f%d" % offset)


def test_one_decision_that_is_too_large_is_a_dead_letter_and_the_rest_arrive(settings: Settings) -> None:
    outcomes = Outcomes(decided=[decided(i, LIMIT if i == LARGE else 100) for i in range(50)])
    asyncio.run(Outputs(settings, "w", Health()).deliver(outcomes))
    told = {message.value() for message in read_topic(settings, "decisions", [0])}
    assert told == {d.decision for d in outcomes.decided if d.record.offset != LARGE}
    assert len(read_topic(settings, "feature-log", [0])) == 50
    (letter,) = read_topic(settings, "dead-letters", [0])
    headers = dict(letter.headers() or [])
    assert letter.value() == b"order %d" % LARGE
    assert headers["error_code"] == b"OUTPUT_TOO_LARGE"
    assert headers["source_offset"] == b"%d" % LARGE
    assert headers["source_topic"] == b"outputs.transactions"
    assert (headers["error"] or b"").startswith(b"decisions refuses")


@pytest.mark.parametrize(("limit", "size", "kept"), [(None, 5 * 2**20, 64 * 1024), (2_000, 3_000, 0)])
def test_a_record_that_its_dead_letter_has_no_room_for(
    kafka: str, limit: int | None, size: int, kept: int
) -> None:
    """A producer compresses, and its topic's limit is of what it sends: our own is of what it meant."""
    settings = Settings(kafka_bootstrap=kafka, topic_prefix=f"letters-{size}.")
    create_topics(settings, 1, 1)
    if limit:
        set_limit(settings, "dead-letters", limit)
    whole = [bytes([i]) * (size if i == 1 else 100) for i in range(3)]
    rejected = Rejected("MESSAGE_TOO_LARGE", "too large")
    records = [Record("transactions", 0, i, 0, b"a-1", value) for i, value in enumerate(whole)]
    letters = [dead_letter(record, rejected) for record in records]
    asyncio.run(Outputs(settings, "w", Health()).deliver(Outcomes(dead_letters=letters)))
    log = KafkaLog(settings)
    found = {each.letter.offset: each for each in dead_letters(log, Choice())}
    log.close()
    assert {i: each.letter.value for i, each in found.items()} == {
        0: whole[0], 1: whole[1][:kept], 2: whole[2]
    }  # fmt: skip
    assert [found[i].letter.truncated for i in range(3)] == [None, size, None]
    assert replayed(found[0]) is not None
    assert replayed(found[1]) is None, "what is sent again must be what came"


def test_a_decision_that_waited_longer_than_the_deadline_says_so(settings: Settings) -> None:
    before = len(read_topic(settings, "decisions", [0]))
    outcomes = Outcomes(decided=[decided(100, 1, waited=29_000), decided(101, 1, waited=31_000)])
    asyncio.run(Outputs(settings, "w", Health()).deliver(outcomes))
    soon, late = (
        dict(message.headers() or []) for message in read_topic(settings, "decisions", [0])[before:]
    )
    assert "late" not in soon
    assert 31_000 <= int(late["late"] or 0) < 60_000


def test_a_partition_that_was_added_is_known_before_anything_is_sent_to_it(kafka: str) -> None:
    settings = Settings(kafka_bootstrap=kafka, topic_prefix="added.")
    create_topics(settings, 1, 1)
    outputs = Outputs(settings, "w", Health())
    outputs.look_for(1)
    asyncio.run(outputs.deliver(Outcomes(decided=[decided(0, 1)])))
    with pytest.raises(KafkaAway, match=r"added\.decisions has 1 partitions"):
        outputs.look_for(2)
    admin = AdminClient(settings.kafka_client_config())
    for done in admin.create_partitions([NewPartitions(settings.topic(name), 2) for name in TOPICS]).values():
        done.result(30)
    assert wait_until(lambda: _knows(outputs, 2), 20)
    outcomes = Outcomes(decided=[decided(0, 1, partition=1)])
    asyncio.run(outputs.deliver(outcomes))
    assert [message.value() for message in read_topic(settings, "decisions", [1])] == [
        outcomes.decided[0].decision
    ]


def _knows(outputs: Outputs, partitions: int) -> bool:
    try:
        outputs.look_for(partitions)
    except KafkaAway:
        return False
    return True


def test_outputs_whose_broker_does_not_answer_are_waited_for() -> None:
    outputs = Outputs(Settings(kafka_bootstrap="127.0.0.1:1"), "w", Health())
    with pytest.raises(KafkaAway, match="no broker tells"):
        outputs.look_for(1)
