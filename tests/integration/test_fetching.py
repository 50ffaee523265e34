"""What is read of a real broker: headers whose names are not UTF-8, aborted transactions, large fetches."""

import asyncio
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.structs import TopicPartition
from confluent_kafka import Consumer, Message, Producer
from confluent_kafka import TopicPartition as Place
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]

from stream import fetching
from stream.fetching import fetch_with_care
from stream.kafka_client import headers_of
from stream.kafka_log import ISOLATION

from ..odd_records import BadName, send

pytestmark = pytest.mark.kafka


@pytest.fixture
def topic(kafka: str, request: pytest.FixtureRequest) -> str:
    name = request.node.name.replace("[", "-").replace("]", "")
    admin = AdminClient({"bootstrap.servers": kafka})
    for done in admin.create_topics([NewTopic(name, 1, 1)]).values():
        done.result(30)
    return name


def fetched(kafka: str, topic: str, count: int) -> list[fetching.Run]:
    """Runs until so many records came."""

    async def run() -> list[fetching.Run]:
        fetch_with_care()
        consumer = AIOKafkaConsumer(
            bootstrap_servers=kafka, enable_auto_commit=False, isolation_level=ISOLATION
        )
        await consumer.start()
        try:
            place = TopicPartition(topic, 0)
            consumer.assign([place])
            await consumer.seek_to_beginning(place)
            runs: list[Any] = []
            async with asyncio.timeout(30):
                while sum(map(len, runs)) < count:
                    runs += (await consumer.getmany(timeout_ms=500)).values()
            return runs
        finally:
            await consumer.stop()

    return asyncio.run(run())


def read(kafka: str, topic: str, count: int) -> list[list[tuple[str, bytes | None]]]:
    """Headers, by confluent-kafka."""
    consumer = Consumer({"bootstrap.servers": kafka, "group.id": "headers"})
    consumer.assign([Place(topic, 0, 0)])
    messages: list[Message] = []
    while len(messages) < count:
        messages += consumer.consume(count, timeout=1)
    consumer.close()
    return [headers_of(message) for message in messages]


@pytest.mark.parametrize("compression", [None, "gzip", "lz4", "zstd"])
def test_a_name_that_is_not_utf8_costs_a_record_its_headers_and_nothing_else(
    kafka: str, topic: str, compression: str | None
) -> None:
    good = [("traceparent", b"t"), ("ação", None)]
    first = [(b"0", good), (b"1", [("replay", b""), (BadName("x"), b"y")]), (b"2", good)]
    send(kafka, topic, first, [(b"3", [(BadName("x"), None)])], [(b"4", good)], compression=compression)
    records = [record for run in fetched(kafka, topic, 5) for record in run]
    assert [(r.offset, r.key, r.value) for r in records] == [(i, b"k", b"%d" % i) for i in range(5)]
    assert [list(r.headers) for r in records] == [good, [], good, [], good]
    for _ in range(4):  # the interpreter calls what it has called often in another way
        assert read(kafka, topic, 5) == [good, [], good, [], good], "the same where confluent-kafka reads"


def test_what_is_aborted_is_not_read_and_leaves_no_hole(kafka: str, topic: str) -> None:
    producer = Producer({"bootstrap.servers": kafka, "transactional.id": topic})
    producer.init_transactions(30)
    offsets, at = [], 0
    for i, count in enumerate([3, 2, 1, 4, 2, 5]):
        producer.begin_transaction()
        for _ in range(count):
            producer.produce(topic, b"%d" % i, partition=0)
        producer.flush()
        if i % 2:
            producer.abort_transaction(30)
        else:
            producer.commit_transaction(30)
            offsets += range(at, at + count)
        at += count + 1
    send(kafka, topic, [(b"last", [])], compression=None)
    runs = fetched(kafka, topic, len(offsets) + 1)
    assert [record.offset for run in runs for record in run] == [*offsets, at]
    ends = [0, *(run[-1].offset + 1 for run in runs if run)]
    assert [run.begins for run in runs if run] == ends[:-1], "each begins where the one before it ended"


def test_a_fetch_is_handed_over_in_parts(kafka: str, topic: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of headers too: compressed, ten thousand large records may lie in one fetch."""
    monkeypatch.setattr(fetching, "MOST_BYTES", 100_000)
    rows = [(b"v", [("h", bytes(30_000))]) for _ in range(10)]
    send(kafka, topic, rows, rows, compression="gzip")
    runs = [run for run in fetched(kafka, topic, 20) if run]
    assert [record.offset for run in runs for record in run] == list(range(20))
    assert {len(run) for run in runs[:-1]} == {4}
