"""Both input topics of a group as one log in record time, which is the order that healing takes."""

from collections.abc import Iterator, Mapping
from typing import Protocol

from features.state import LogId
from stream.kafka_log import KafkaLog
from stream.merge import Merge, Range
from stream.record import REPORTS, TRANSACTIONS, Record
from stream.stands import Place, Stand

Offsets = Mapping[Place, int]

_BATCH = 2000


class Inputs(Protocol):
    """A group's two input topics."""

    logs: Mapping[Place, LogId]

    def stands(self) -> dict[Place, Stand]:
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
        self.logs: Mapping[Place, LogId] = {
            (topic, partition): LogId(group, topic, ids[topic], partition)
            for topic in (TRANSACTIONS, REPORTS)
            for partition in range(partitions)
        }

    def stands(self) -> dict[Place, Stand]:
        return self._kafka.stands({place: log.topic_id for place, log in self.logs.items()})

    def records(self, start: Offsets, stop: Offsets) -> Iterator[Record]:
        ranges = [Range(log, start[place], stop[place]) for place, log in self.logs.items()]
        merge = Merge(self._kafka.records, ranges)
        while batch := merge.next(_BATCH):
            yield from batch
