"""Both input topics as one log in record time, which is the order that healing takes."""

import heapq
from collections.abc import Iterator, Mapping
from typing import NamedTuple, Protocol

from features.state import LogId
from stream.kafka_log import KafkaLog
from stream.pipeline import REPORTS, TRANSACTIONS, Record

Place = tuple[str, int]
"""A topic's short name and a partition."""

Offsets = Mapping[Place, int]

_CHUNK = 4000


class Extent(NamedTuple):
    """Offsets of one partition at the broker. `committed` is `first` where the group never committed."""

    committed: int
    first: int
    end: int


class Inputs(Protocol):
    """A group's two input topics."""

    logs: Mapping[Place, LogId]

    def extents(self) -> dict[Place, Extent]:
        """As they are now. Raises KafkaAway."""
        ...

    def records(self, start: Offsets, stop: Offsets) -> Iterator[Record]:
        """[start, stop) of every partition, merged by record time. Raises KafkaAway."""
        ...


class KafkaInputs:
    """The input topics at the broker; raises KafkaAway or TopicsMissing from the start."""

    def __init__(self, kafka: KafkaLog, group: str) -> None:
        self._kafka = kafka
        ids, partitions = kafka.describe((TRANSACTIONS, REPORTS))
        self.logs = {
            (topic, partition): LogId(group, topic, ids[topic], partition)
            for topic in (TRANSACTIONS, REPORTS)
            for partition in range(partitions)
        }

    def extents(self) -> dict[Place, Extent]:
        found = self._kafka.committed(list(self.logs))
        return {place: Extent(*offsets) for place, offsets in found.items()}

    def records(self, start: Offsets, stop: Offsets) -> Iterator[Record]:
        return merged(self._partition(place, start[place], stop[place]) for place in self.logs)

    def _partition(self, place: Place, start: int, stop: int) -> Iterator[Record]:
        """A chunk at a time: the one consumer behind it goes from partition to partition."""
        while start < stop:
            chunk = next(self._kafka.records(*place, start, stop, _CHUNK), [])
            if not chunk:
                return
            start = chunk[-1].offset + 1
            yield from chunk


def merged(partitions: Iterator[Iterator[Record]]) -> Iterator[Record]:
    """By Kafka's timestamps; a partition keeps its own order, and a report goes first at equal times."""
    keyed = heapq.merge(*map(_keyed, partitions), key=lambda pair: pair[0])
    return (record for _, record in keyed)


def _keyed(records: Iterator[Record]) -> Iterator[tuple[tuple[int, bool], Record]]:
    newest = 0
    for record in records:
        newest = max(newest, record.timestamp)
        yield (newest, record.topic == TRANSACTIONS), record
