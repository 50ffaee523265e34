"""The oracle's side of a comparison: it reads all of the topics, and keeps the history of a sample."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice

from features.catalog import SLOTS
from features.memory_state import MemoryState
from features.state import Entry, LogId, Span
from features.transaction import Transaction
from stream.audit.inputs import Offsets
from stream.audit.replay import Event, Read, Replay, read
from stream.audit.sample import Entity, Sample, names
from stream.record import Record
from stream.stands import Place

_BATCH = 1000
_NOTHING = [0.0] * len(SLOTS)
_HISTORY = LogId("history", "history", "", 0)


class Histories(MemoryState):
    """Computes no windows for what it applies: by brute force that is quadratic in a busy entity's events."""

    def _row(self, _: Transaction) -> list[float]:
        return _NOTHING

    def windows(self, transaction: Transaction, columns: Sequence[int]) -> list[float]:
        """These columns of its row of slots, at its time."""
        return self._values(transaction, [SLOTS[column] for column in columns])


class Recount:
    """Repeats are told as the worker tells them, for every payer; windows are kept for the sample alone.

    `unexplained`: ids that no event named so far.
    """

    def __init__(
        self, logs: Mapping[Place, LogId], first: Offsets, size: int, seed: int, ids: Iterable[bytes] = ()
    ) -> None:
        self._sample = Sample(size, seed)
        self._oracle = Histories(only=self._sample)
        self._replay = Replay(self._oracle, logs, first)
        self._meet = self._sample.meet
        self.unexplained = set(ids)
        self.events = 0

    @property
    def position(self) -> Offsets:
        """What it has taken in of each log."""
        return self._replay.position

    async def history(self, events: Iterable[Event]) -> None:
        """What the state was given from files, before anything of the topics."""
        batches, at = iter(events), 0
        while batch := list(islice(batches, _BATCH)):
            self._look_at(batch)
            entries = [Entry(0, at + i, event) for i, event in enumerate(batch)]
            await self._oracle.apply([Span(_HISTORY, 0, at, at + len(batch), healing=True)], entries)
            at += len(batch)

    async def take(self, records: Iterator[Record], stop: Offsets) -> None:
        """The records from `position` to `stop`."""
        while batch := read(islice(records, _BATCH)):
            self._look_at([event for _, event in batch if event is not None])
            await self._replay.apply(batch)
        await self._replay.reach(stop)

    def settle(self, n: int) -> list[Entity]:
        """The sample: `n` entities, or all there are. What comes later joins it no more."""
        self._meet = self._sample.follow
        return self._sample.chosen(n)

    def explain(self, batch: Iterable[Read]) -> set[bytes]:
        """Ids that these records name, though they are not taken in yet."""
        ids = {name.id for _, event in batch if event is not None for name in names(event).values()}
        self.unexplained -= ids
        return ids

    def windows(self, transaction: Transaction, columns: Sequence[int]) -> list[float]:
        """What the state should answer in these columns; they are to be of the sample's entities."""
        return self._oracle.windows(transaction, columns)

    def _look_at(self, events: Sequence[Event]) -> None:
        self.events += len(events)
        for event in events:
            found = names(event)
            self._meet(event, found)
            self.unexplained.difference_update(name.id for name in found.values())
