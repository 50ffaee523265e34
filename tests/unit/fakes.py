"""Kafka's log over plain lists, as far as the worker reads it."""

from collections import defaultdict
from collections.abc import Mapping, Sequence

from stream.kafka_client import KafkaAway
from stream.record import Record
from stream.stands import Stand

Place = tuple[str, int]


class FakeLog:
    """`stands` and `records` of KafkaLog. Everything is committed, unless `committed` says otherwise."""

    def __init__(self, records: Sequence[Record], first: Mapping[Place, int] | None = None) -> None:
        self.by_place: dict[Place, list[Record]] = defaultdict(list)
        for record in records:
            self.by_place[record.topic, record.partition].append(record)
        self.first = dict(first or {})
        self.ends = {place: found[-1].offset + 1 for place, found in self.by_place.items()}
        self.committed: dict[Place, int] = {}
        self.foreign: set[Place] = set()
        self.away = 0
        """So many reads fail first."""
        self.reads = 0

    def stands(self, ids: Mapping[Place, str | None]) -> dict[Place, Stand]:
        found = {}
        for place in ids:
            first, end = self.first.get(place, 0), self.ends.get(place, 0)
            foreign = place in self.foreign
            committed = first if foreign else self.committed.get(place, end)
            found[place] = Stand(committed, first, max(first, end), foreign)
        return found

    def records(self, topic: str, partition: int, start: int, stop: int, size: int) -> list[Record]:
        self.reads += 1
        if self.away:
            self.away -= 1
            raise KafkaAway("for a moment")
        first = max(start, self.first.get((topic, partition), 0))
        found = [r for r in self.by_place[topic, partition] if first <= r.offset < stop]
        return found[:size]
