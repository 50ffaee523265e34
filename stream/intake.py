"""Faust's chunks of the two input topics as batches of records.

Drained by hand from the agent's queue, and acknowledged by hand: docs/adr/0004 and 0009 list the internals.
"""

from collections.abc import AsyncIterator, Mapping
from typing import Any

import faust

from stream import metrics
from stream.chunks import Chunk, ChunkedConsumer, chunk_size
from stream.kafka_log import notable
from stream.record import Record
from stream.settings import Settings
from stream.stands import Place
from stream.worker import INPUTS


class Intake:
    """Faust's events of the two input topics as batches of records."""

    def __init__(self, app: faust.App, settings: Settings) -> None:
        self._app, self._most = app, settings.batch_max - chunk_size(settings.batch_max)
        """Records to which a whole chunk may still be added."""
        self._names = {settings.topic(name): name for name in INPUTS}
        self._observed: set[Place] = set()

    async def batches(self, stream: Any) -> AsyncIterator[list[Any]]:
        """Events of what waits in the agent's queue, each a chunk: about `batch_max` by weight."""
        queue = stream.channel.queue
        self._consumer.waiting = lambda: sum(event.message.weight for event in queue._queue)
        async for event in stream.noack().events():
            events = [event] if self.is_current(event) else []
            size = sum(each.message.weight for each in events)
            while size <= self._most and not queue.empty():
                waiting = queue.get_nowait()
                if self.is_current(waiting):
                    # Faust's own iterator would have done this: an untracked message is never committed.
                    waiting.message.tracked = True
                    self._consumer.track_message(waiting.message)
                    events.append(waiting)
                    size += waiting.message.weight
            if events:
                yield events

    def is_current(self, event: Any) -> bool:
        """False for what was fetched before the last rebalance: it is fetched again by its new owner."""
        app = self._app
        return self.flowing and event.message.generation_id == app.consumer_generation_id

    def begins(self, event: Any) -> tuple[Place, int]:
        """Whose chunk it is, and from which offset on it has all records."""
        chunk: Chunk = event.message
        return (self._names[chunk.topic], chunk.partition), chunk.begins

    def records(self, event: Any) -> list[Record]:
        """Those of an event's chunk."""
        chunk: Chunk = event.message
        topic = self._names[chunk.topic]
        return [
            Record(
                topic, found.partition, found.offset, found.timestamp or 0, found.key, found.value,
                *notable(found.headers),
            )
            for found in chunk.records
        ]  # fmt: skip

    @property
    def flowing(self) -> bool:
        """False from the moment that a rebalance takes partitions away until it has given them."""
        return bool(self._app.flow_control.is_active())

    @property
    def generation(self) -> int:
        """Another number after each rebalance."""
        return int(self._app.consumer_generation_id)

    def assigned(self) -> list[Place]:
        tps = (tp for tp in self._consumer.assignment() if tp.topic in self._names)
        return sorted((self._names[tp.topic], tp.partition) for tp in tps)

    def committed(self) -> dict[Place, int]:
        """Offsets that the broker confirmed, of the assigned partitions."""
        offsets = self._consumer._committed_offset
        return {(self._names[tp.topic], tp.partition): offsets[tp] or 0 for tp in list(offsets)
                if tp.topic in self._names}  # fmt: skip

    @property
    def _consumer(self) -> ChunkedConsumer:
        consumer: Any = self._app.consumer
        return consumer  # type: ignore[no-any-return]

    def observe_lag(self, positions: Mapping[Place, int]) -> None:
        """Records behind the end of each assigned partition; below `positions` the state answered."""
        consumer, seen = self._consumer, set()
        for tp in consumer.assignment():
            place = (self._names.get(tp.topic, ""), tp.partition)
            end = consumer.highwater(tp) if place in positions else None
            if end is not None:
                seen.add(place)
                metrics.LAG.labels(place[0], str(place[1])).set(max(0, end - positions[place]))
        for topic, partition in self._observed - seen:  # another worker's now: it tells of them
            metrics.LAG.remove(topic, str(partition))
        self._observed = seen
