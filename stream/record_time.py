"""The one order in which records of several partitions are taken: record time.

Merged over the partitions by Kafka's timestamps; the order within a partition stays its own. So the windows
of a payee that many partitions pay grow in about the same order when a log is read again.
"""

from collections.abc import Sequence
from typing import NamedTuple

from stream.record import TRANSACTIONS, Record


class When(NamedTuple):
    """Where a record stands among those of other partitions; within a partition it never falls."""

    time: int
    is_transaction: bool
    """At equal times a report first: it may be about the payee of the transaction beside it."""
    partition: int


class RecordTime:
    """Places records that come in the order of their partitions.

    A partition's time is its newest timestamp so far: producers' clocks may go back, its order may not.
    """

    def __init__(self) -> None:
        self._newest: dict[tuple[str, int], int] = {}

    def of(self, record: Record) -> When:
        place = record.topic, record.partition
        newest = self._newest[place] = max(record.timestamp, self._newest.get(place, 0))
        return When(newest, record.topic == TRANSACTIONS, record.partition)


def in_record_time(records: Sequence[Record]) -> list[Record]:
    """A batch in record time."""
    clock = RecordTime()
    when = [clock.of(record) for record in records]
    return [records[i] for i in sorted(range(len(records)), key=when.__getitem__)]
