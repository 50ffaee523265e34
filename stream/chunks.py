"""Chunks: consecutive records of one partition go through Faust as one message, whose cost is paid once.

Faust's fetching is left as it is: its scheduler, which chooses the order in which fetched records are handed
on, hands on lists of them. So the parent's checks (a generation that changed, a flow that stopped, the seek
back after it) hold for a chunk as they do for a record. docs/adr/0009 lists the internals this leans on.
"""

import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from heapq import heapify, heappop, heappush
from typing import Any

from faust.transport.drivers.aiokafka import Consumer
from faust.transport.utils import DefaultSchedulingStrategy
from faust.types import TP
from faust.types.tuples import ConsumerMessage, Message

from stream.fetching import Run, size_of

_CHUNK = 64
"""Most records of a chunk: what one partition takes before the next has its turn."""

WAITING = 4096
"""Weight of what may wait for the agent; beyond it nothing is fetched, and the fetcher's partitions pause."""

_WEIGHED_BYTES = 8192
_FULL_SECONDS = 0.002


def chunk_size(batch_max: int) -> int:
    """Most records of a chunk: a batch may have to be smaller."""
    return min(_CHUNK, batch_max)


class Chunk(ConsumerMessage):
    """What Faust takes for one message: acknowledging it acknowledges its records."""

    __slots__ = ("begins", "received", "records", "weight")

    def __init__(self, tp: TP, records: Run, generation: int, received: float) -> None:
        """`records`: aiokafka's. `received`: `time.monotonic` at which they were fetched."""
        last = records[-1]
        super().__init__(
            tp.topic, tp.partition, last.offset, (last.timestamp or 0) / 1000, last.timestamp_type,
            None, None, b"", None, tp=tp, generation_id=generation,
        )  # fmt: skip
        self.records, self.begins, self.received = records, records.begins, received
        self.weight = max(len(records), sum(map(size_of, records)) // _WEIGHED_BYTES)
        """In records of ordinary size: what waits and what is on its way is bounded in bytes too."""


def in_chunks(size: int) -> type[DefaultSchedulingStrategy]:
    """A scheduler that hands on chunks of at most `size` records, whoever waited longest first.

    In record time over the partitions: what many partitions pay to one account then comes in about the order
    in which it happened. A payment that comes late costs the state several times as much.
    """

    class InChunks(DefaultSchedulingStrategy):
        def iterate(self, records: Mapping[TP, Any]) -> Iterator[tuple[TP, Run]]:
            heap = [
                (found[0].timestamp or 0, i, 0, tp) for i, (tp, found) in enumerate(records.items()) if found
            ]
            heapify(heap)
            while heap:
                _, i, start, tp = heappop(heap)
                found, stop = records[tp], start + size
                yield tp, Run(found[start - 1].offset + 1 if start else found.begins, found[start:stop])
                if stop < len(found):
                    heappush(heap, (found[stop].timestamp or 0, i, stop, tp))

    return InChunks


class ChunkedConsumer(Consumer):
    """Faust's own, whose messages are chunks. They must be acknowledged in order."""

    waiting: Callable[[], int] | None = None
    """The weight of what was handed on and not yet taken."""

    async def getmany(self, timeout: float) -> AsyncIterator[tuple[TP, Message]]:  # noqa: ASYNC109 - Faust's
        while self._is_full() and self.flow_active and not self.should_stop:
            await self.sleep(_FULL_SECONDS)
        async for tp, chunk in super().getmany(timeout):
            yield tp, chunk

    def _is_full(self) -> bool:
        return self.waiting is not None and self.waiting() >= WAITING

    def _to_message(self, tp: TP, record: Run) -> Chunk:
        return Chunk(tp, record, self.app.consumer_generation_id, time.monotonic())

    async def _add_gap(self, tp: TP, offset_from: int, offset_to: int) -> None:
        """A chunk has its last record's offset; those below it are no gap."""

    def _new_offset(self, tp: TP) -> int | None:
        """In order, whatever lies below the last acknowledged chunk is acknowledged."""
        acked = self._acked[tp]
        if not acked:
            return None
        last = acked[-1]
        acked.clear()
        self._acked_index[tp].clear()
        return last + 1
