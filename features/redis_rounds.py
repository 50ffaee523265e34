"""One apply of a batch: which shards are asked what, in which rounds, and the answer put together."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from features.algebra import UNKNOWN
from features.catalog import SLOTS
from features.redis_call import ASK_RING, BITS, READ_ONLY, Call, Packed, Reply, Shard
from features.redis_plan import part_columns
from features.state import ANSWERED, PARTS, Answer, Behind, Entry, Numbers, Span, Status, shard_of

WHOLE, RING, WINDOWS = "log:", "rings:", "windows:"
"""The applied logs: of whole calls, of the round that asks the rings, of the round after it."""

Make = Callable[[Call, str, Sequence[Span], Sequence[bytes], str], Awaitable[Reply]]
"""Makes a call: what it is, the kind of applied log, the spans, the entries as the script reads them, and the
versions that decide. May raise Behind, StateAway, StateError."""

_RANK = np.array([2, 0, 5, 3, 4, 1])
"""By Status: what an event's shards say together is the highest. A shard that had applied it in a call that
failed elsewhere says STORED where the others say APPLIED; STALE on any of them is committed, so decided."""

_IS_ANSWERED = np.array([status in ANSWERED for status in Status])


class Work:
    """One apply: its rounds, and its answer as it is put together."""

    def __init__(
        self,
        make: Make,
        shards: Sequence[Shard],
        spans: Sequence[Span],
        entries: Sequence[Entry],
        versions: str,
    ) -> None:
        self._make, self._shards = make, shards
        self._spans, self._entries, self._versions = spans, entries, versions
        packed = [entry.prepared or Packed(entry.event) for entry in entries]
        self._packed: list[Packed] = packed
        is_payment = np.fromiter((not p.is_report for p in packed), dtype=np.bool_, count=len(packed))
        self._is_payment = is_payment
        self._rows = np.cumsum(is_payment) - 1
        self.slots = np.zeros((int(is_payment.sum()), len(SLOTS)))
        self._statuses = np.full(len(entries), Status.STALE, dtype=np.uint8)
        self._numbers: list[Numbers] = [()] * len(entries)
        self._by: dict[int, str] = {}

    async def whole(self) -> None:
        """All parts lie on one shard."""
        call = Call(self._shards[0])
        for i, packed in enumerate(self._packed):
            call.add(i, packed.mask | (ASK_RING if self._is_payment[i] else 0))
        await self._round(WHOLE, [call])

    async def in_two_rounds(self) -> None:
        payments = [i for i in range(len(self._packed)) if self._is_payment[i]]
        await self._round(RING, self._calls(payments, lambda _: [("payer", ASK_RING)]))
        applied = (Status.APPLIED, Status.STORED)
        masks: dict[int, int] = {}
        for i, packed in enumerate(self._packed):
            status = self._statuses[i]
            if not self._is_payment[i] or status in applied:
                masks[i] = packed.mask
            elif status == Status.REPLAYED and not any(span.healing for span in self._spans):
                masks[i] = packed.mask | READ_ONLY
        await self._round(WINDOWS, self._calls(masks, lambda i: self._parts(i, masks[i])))

    async def read(self) -> None:
        masks = {i: packed.mask | READ_ONLY for i, packed in enumerate(self._packed)}
        await self._round("", self._calls(masks, lambda i: self._parts(i, masks[i]), every=False))
        self._mark_unnamed(np.ones(len(self._packed), dtype=np.bool_))

    def _parts(self, index: int, mask: int) -> list[tuple[str, int]]:
        return [(part, BITS[part] | (mask & READ_ONLY)) for part in self._packed[index].ids]

    def _calls(
        self,
        chosen: Iterable[int],
        parts: Callable[[int], list[tuple[str, int]]],
        *,
        every: bool | None = None,
    ) -> list[Call]:
        """A call for each shard that has something to do; for every shard if there are no entries at all."""
        every = not self._packed if every is None else every
        calls = {shard.number: Call(shard) for shard in self._shards} if every else {}
        for i in chosen:
            masks: dict[int, int] = {}
            for part, mask in parts(i):
                shard = shard_of(self._packed[i].ids[part], len(self._shards))
                masks[shard] = masks.get(shard, 0) | mask
            for shard, mask in masks.items():
                calls.setdefault(shard, Call(self._shards[shard])).add(i, mask)
        return list(calls.values())

    async def _round(self, kind: str, calls: list[Call]) -> None:
        """Make the calls side by side; every one has ended when this returns or raises."""
        making = [self._make(call, kind, self._spans, self._chosen(call), self._versions) for call in calls]
        if len(making) == 1:  # written before anything else gets the processor: a task would be later
            replies: list[Reply | BaseException] = [await making[0]]
        else:
            replies = await asyncio.gather(*making, return_exceptions=True)
        failures = [reply for reply in replies if isinstance(reply, BaseException)]
        if failures:
            # Away before behind: to heal, all must answer.
            raise next((f for f in failures if not isinstance(f, Behind)), failures[0])
        for call in calls:
            self._statuses[call.indexes] = Status.STORED
        for call, reply in zip(calls, replies, strict=True):
            assert isinstance(reply, Reply)
            self._take(call, reply)

    def _chosen(self, call: Call) -> list[bytes]:
        return [
            self._packed[i].entry(self._entries[i], mask)
            for i, mask in zip(call.indexes, call.masks, strict=True)
        ]

    def _take(self, call: Call, reply: Reply) -> None:
        indexes, masks = np.array(call.indexes, dtype=np.intp), np.array(call.masks, dtype=np.intp)
        if not len(indexes):
            return
        known = self._statuses[indexes]
        self._statuses[indexes] = np.where(_RANK[reply.statuses] > _RANK[known], reply.statuses, known)
        for i, number in zip(call.indexes, reply.numbers, strict=True):
            if number:
                self._numbers[i] = (*self._numbers[i], (call.shard.number, number))
        payments = self._is_payment[indexes]
        for part, rows in zip(PARTS, reply.rows, strict=True):
            if rows:
                at = indexes[payments & (masks & BITS[part] != 0)]
                columns = part_columns(part)
                width = columns.stop - columns.start
                self.slots[self._rows[at], columns] = np.frombuffer(rows, dtype="<f8").reshape(-1, width)
        self._by |= {call.indexes[i]: versions for i, versions in reply.versions.items()}

    def answer(self) -> Answer:
        self._mark_unnamed(_IS_ANSWERED[self._statuses])
        numbers = [tuple(sorted(found)) if len(found) > 1 else found for found in self._numbers]
        stored = {i: v for i, v in self._by.items() if self._statuses[i] == Status.STORED}
        return Answer(self._statuses, self.slots, numbers, stored)

    def _mark_unnamed(self, answered: NDArray[np.bool_]) -> None:
        """A part that an event does not name is UNKNOWN in what it is answered."""
        for part in ("device", "payee_key"):
            unnamed = [
                i for i, p in enumerate(self._packed) if part not in p.ids and not p.is_report and answered[i]
            ]
            self.slots[self._rows[unnamed], part_columns(part)] = UNKNOWN
