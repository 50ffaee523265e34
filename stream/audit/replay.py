"""The topics into a state again, batch by batch, as healing does: applied, never decided."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from features.state import Entry, LogId, Span, State
from features.transaction import FraudReport, Transaction
from stream.audit.inputs import Offsets
from stream.dead_letter import Rejected
from stream.pipeline import decode
from stream.record import Record
from stream.stands import Place

Event = Transaction | FraudReport


class Read(NamedTuple):
    """A record and what it says; None: it is a dead letter."""

    record: Record
    event: Event | None


def read(records: Iterable[Record]) -> list[Read]:
    return [Read(record, _event(record)) for record in records]


def _event(record: Record) -> Event | None:
    try:
        return decode(record)
    except Rejected:
        return None


class Replay:
    """Where a state is in each log, and how it goes on. Raises what `State.apply` raises."""

    def __init__(self, state: State, logs: Mapping[Place, LogId], first: Offsets) -> None:
        self._state, self._logs, self._first = state, logs, dict(first)
        self._span = {place: i for i, place in enumerate(logs)}
        self.position = dict(first)

    async def apply(self, batch: Sequence[Read]) -> None:
        """The batch in its order."""
        stops = dict(self.position)
        entries = []
        for record, event in batch:
            place = record.topic, record.partition
            stops[place] = record.offset + 1
            if event is not None:
                entries.append(Entry(self._span[place], record.offset, event, record.replay))
        await self._call(entries, stops)

    async def reach(self, stop: Offsets) -> None:
        """Take what is left below `stop` as read: offsets that hold no record."""
        await self._call([], {place: max(at, stop[place]) for place, at in self.position.items()})

    async def _call(self, entries: Sequence[Entry], stops: Offsets) -> None:
        spans = [
            Span(log, self._first[place], self.position[place], stops[place], healing=True)
            for place, log in self._logs.items()
        ]
        await self._state.apply(spans, entries)
        self.position.update(stops)
