"""Several partitions read as one stream in record time, in bounded memory."""

import heapq
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from features.state import LogId
from stream.record import Record
from stream.record_time import RecordTime, When


class Range(NamedTuple):
    """Offsets [start, stop) of one log that are to be read."""

    log: LogId
    start: int
    stop: int


Read = Callable[[str, int, int, int, int], list[Record]]
"""(topic, partition, start, stop, size) → the first of [start, stop), at most `size`; none: no more."""

HELD = 40_000
"""About so many records in memory, over all partitions: beyond 160 of them 250 for each."""


@dataclass
class _Reader:
    """What is left of one range."""

    range: Range
    position: int
    done: bool
    waiting: deque[Record] = field(default_factory=deque)


class Merge:
    """Each partition in its own order, merged by `RecordTime`.

    One consumer reads for all: a partition whose records ran out is read on by a chunk. A read that fails
    loses nothing: `next` may be called again.
    """

    def __init__(self, read: Read, ranges: Sequence[Range]) -> None:
        self._read = read
        self._readers = [_Reader(r, r.start, r.start >= r.stop) for r in ranges]
        self._chunk = max(250, min(5_000, HELD // max(1, len(ranges))))
        self._clock = RecordTime()
        self._heap: list[tuple[When, int, Record]] = []
        self._unknown = list(range(len(ranges)))
        """Readers whose next record is not in the heap; any may hold the earliest."""
        self._batch: list[Record] = []

    def next(self, size: int) -> list[Record]:
        """The next `size` records, fewer only at the end. Blocks; raises what reading raises."""
        while len(self._batch) < size:
            while self._unknown:
                self._offer(self._unknown[-1])
                self._unknown.pop()
            if not self._heap:
                break
            _, index, record = heapq.heappop(self._heap)
            self._batch.append(record)
            self._unknown.append(index)
        batch, self._batch = self._batch, []
        return batch

    def _offer(self, index: int) -> None:
        """Put a reader's next record into the heap, if it has one."""
        reader = self._readers[index]
        if not reader.waiting and not reader.done:
            self._fill(reader)
        if reader.waiting:
            record = reader.waiting.popleft()
            heapq.heappush(self._heap, (self._clock.of(record), index, record))

    def _fill(self, reader: _Reader) -> None:
        log, _, stop = reader.range
        records = self._read(log.topic, log.partition, reader.position, stop, self._chunk)
        reader.waiting.extend(records)
        if records:
            reader.position = records[-1].offset + 1
        reader.done = not records or reader.position >= stop
