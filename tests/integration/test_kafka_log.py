"""Reading the log again: markers, a start that moved, an end that is short hang and hide nothing."""

import asyncio
import time
from collections.abc import Iterator

import aiokafka
import pytest
from aiokafka import AIOKafkaConsumer
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewPartitions

from deploy.local.process import wait_until
from stream import kafka_log
from stream.kafka_client import KafkaAway, TopicsMissing
from stream.kafka_log import KafkaLog
from stream.settings import Settings
from stream.stands import Stand, commit_metadata
from stream.topics import TOPICS, create_topics

pytestmark = pytest.mark.kafka

PLACE = ("transactions", 0)


@pytest.fixture
def settings(kafka: str, request: pytest.FixtureRequest) -> Settings:
    name = "".join(c if c.isalnum() else "-" for c in request.node.name)
    made = Settings(kafka_bootstrap=kafka, topic_prefix=f"{name}.", group_id=name)
    create_topics(made, 1, 1)
    return made


@pytest.fixture
def log(settings: Settings) -> Iterator[KafkaLog]:
    opened = KafkaLog(settings)
    yield opened
    opened.close()


def produce(settings: Settings, n: int, *, transactional: bool = False, abort: bool = False) -> None:
    extra = {"transactional.id": "t"} if transactional else {}
    producer = Producer({**settings.kafka_client_config(), **extra})
    if transactional:
        producer.init_transactions(30)
        producer.begin_transaction()
    for i in range(n):
        producer.produce(settings.topic("transactions"), b"%d" % i, partition=0)
    if transactional:
        producer.flush()
        producer.abort_transaction(30) if abort else producer.commit_transaction(30)
    producer.flush()


def offsets(log: KafkaLog, start: int, stop: int, size: int = 100) -> list[int]:
    return [record.offset for record in log.records(*PLACE, start, stop, size)]


def test_markers_have_no_record(settings: Settings, log: KafkaLog) -> None:
    produce(settings, 3, transactional=True)
    produce(settings, 2, transactional=True, abort=True)  # never given, as for the worker's consumer
    produce(settings, 1)
    began = time.monotonic()
    assert offsets(log, 0, 8) == [0, 1, 2, 7]
    assert offsets(log, 3, 7) == []
    assert offsets(log, 6, 7) == []
    assert offsets(log, 1, 7, size=2) == [1, 2]
    assert time.monotonic() - began < 8


def test_a_start_that_moved(settings: Settings, log: KafkaLog) -> None:
    produce(settings, 6)
    admin = AdminClient(settings.kafka_client_config())
    asked = TopicPartition(settings.topic("transactions"), 0, 4)
    admin.delete_records([asked])[asked].result()
    assert offsets(log, 0, 6) == [4, 5]
    assert offsets(log, 0, 3) == []
    assert log.stands({PLACE: None}) == {PLACE: Stand(4, 4, 6)}


def test_an_end_that_is_short_is_waited_for(
    settings: Settings, log: KafkaLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing below what is committed may be taken for read: a new leader may lag for a moment."""
    monkeypatch.setattr(kafka_log, "_TIMEOUT", 1.0)
    produce(settings, 2)
    with pytest.raises(KafkaAway, match="stopped answering"):
        offsets(log, 0, 5)


def commit(settings: Settings, offset: int, metadata: str) -> None:
    """As Faust's consumer does: confluent-kafka would cut the metadata at its zero byte."""

    async def run() -> None:
        consumer = AIOKafkaConsumer(
            bootstrap_servers=settings.kafka_bootstrap, group_id=settings.group_id, enable_auto_commit=False
        )
        await consumer.start()
        place = aiokafka.TopicPartition(settings.topic("transactions"), 0)
        consumer.assign([place])
        await consumer.commit({place: (offset, metadata)})
        await consumer.stop()

    asyncio.run(run())


def test_a_commit_means_something_for_the_topic_that_it_was_made_to(
    settings: Settings, log: KafkaLog
) -> None:
    produce(settings, 10)
    ids, partitions = log.describe(tuple(TOPICS))
    assert partitions == 1
    mine = ids["transactions"]
    assert log.stands({PLACE: mine}) == {PLACE: Stand(0, 0, 10)}
    commit(settings, 4, commit_metadata(mine))
    assert log.stands({PLACE: mine}) == {PLACE: Stand(4, 0, 10)}
    commit(settings, 5, "")  # of a version that told no ids
    assert log.stands({PLACE: mine}) == {PLACE: Stand(5, 0, 10)}
    commit(settings, 5, "of another tool")
    assert log.stands({PLACE: mine}) == {PLACE: Stand(5, 0, 10)}
    commit(settings, 6, commit_metadata("another"))
    assert log.stands({PLACE: mine}) == {PLACE: Stand(0, 0, 10, foreign=True)}
    commit(settings, 11, "")
    assert log.stands({PLACE: mine}) == {PLACE: Stand(0, 0, 10, foreign=True)}
    commit(settings, 11, commit_metadata(mine))
    with pytest.raises(KafkaAway, match="ends at 10, before the committed 11"):
        log.stands({PLACE: mine})


def test_topics_by_their_ids(settings: Settings, log: KafkaLog) -> None:
    before = log.topic_ids(("transactions", "fraud-reports"))
    assert all(before.values())
    admin = AdminClient(settings.kafka_client_config())
    name = settings.topic("transactions")
    admin.delete_topics([name])[name].result()
    wait_until(lambda: log.topic_ids(("transactions",)) == {"transactions": None}, 20, every=0.1)
    assert log.topic_ids(("transactions", "fraud-reports")) == {**before, "transactions": None}
    with pytest.raises(TopicsMissing, match="there is no topic"):
        log.describe(("transactions", "fraud-reports"))
    create_topics(settings, 1, 1)
    assert log.topic_ids(("transactions",))["transactions"] not in (None, before["transactions"])


def test_a_partition_that_is_added_is_known_at_the_next_look(settings: Settings, log: KafkaLog) -> None:
    assert set(log.stands({PLACE: None})) == {PLACE}
    admin, added = AdminClient(settings.kafka_client_config()), ("transactions", 1)
    for done in admin.create_partitions([NewPartitions(settings.topic("transactions"), 2)]).values():
        done.result(30)

    def known() -> bool:
        try:
            return log.stands({added: None}) == {added: Stand(0, 0, 0)}
        except KafkaAway:
            return False

    assert wait_until(known, 10, every=0.1)
