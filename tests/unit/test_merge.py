"""Partitions merged in record time: like sorting them all at once, in bounded memory, whatever fails."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.state import LogId
from stream.kafka_client import KafkaAway
from stream.merge import Merge, Range
from stream.record import Record
from stream.record_time import in_record_time

from .fakes import FakeLog

PLACES = [(topic, partition) for topic in ("transactions", "fraud-reports") for partition in range(3)]


def drawn(seed: int, size: int) -> list[Record]:
    """Partitions with gaps between offsets, equal times, and clocks that go back."""
    rng = random.Random(seed)
    offsets = {place: rng.randrange(5) for place in PLACES}
    records = []
    for _ in range(size):
        place = rng.choice(PLACES)
        records.append(Record(*place, offsets[place], rng.randrange(size // 2 + 1), None, b""))
        offsets[place] += rng.choice((1, 1, 1, 4))
    return records


def ranges(kafka: FakeLog) -> list[Range]:
    return [Range(LogId("g", topic, "t", p), 0, kafka.ends.get((topic, p), 0)) for topic, p in PLACES]


def read_all(merge: Merge, size: int) -> list[Record]:
    found: list[Record] = []
    while True:
        try:
            batch = merge.next(size)
        except KafkaAway:
            continue
        if not batch:
            return found
        assert len(batch) <= size
        found += batch


@given(st.integers(0, 2**32), st.integers(0, 200), st.integers(1, 50), st.integers(0, 5))
def test_merged_is_sorted(seed: int, size: int, batch: int, away: int) -> None:
    kafka = FakeLog(drawn(seed, size))
    kafka.away = away
    merge = Merge(kafka.records, ranges(kafka))
    in_order = [record for place in PLACES for record in kafka.by_place[place]]
    assert read_all(merge, batch) == in_record_time(in_order)


def test_only_what_was_asked_is_read_and_nothing_where_the_log_ends_early() -> None:
    kafka = FakeLog([Record("transactions", 0, offset, offset, None, b"") for offset in range(10)])
    merge = Merge(kafka.records, [Range(LogId("g", "transactions", "t", 0), 3, 7)])
    assert [record.offset for record in read_all(merge, 100)] == [3, 4, 5, 6]
    beyond = Merge(kafka.records, [Range(LogId("g", "transactions", "t", 0), 8, 20)])
    assert [record.offset for record in read_all(beyond, 100)] == [8, 9]


@pytest.mark.parametrize("partitions", [1, 8, 300])
def test_memory_is_bounded(partitions: int) -> None:
    """However much there is, a partition is read on only when its records ran out."""
    asked = []

    def read(topic: str, partition: int, start: int, _: int, size: int) -> list[Record]:
        asked.append(size)
        return [Record(topic, partition, start + i, start + i, None, b"") for i in range(size)]

    logs = [Range(LogId("g", "transactions", "t", p), 0, 10**9) for p in range(partitions)]
    merge = Merge(read, logs)
    assert len(merge.next(100)) == 100
    assert len(asked) == partitions
    assert sum(asked) <= max(40_000, 250 * partitions)
