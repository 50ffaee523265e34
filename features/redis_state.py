"""The state in Redis or a Redis Cluster: one packed value an entity, one Lua call a shard and batch.

The script and the layout of what it keeps are `redis_plan.py`'s. On one shard a call is whole. On many, the
payers' rings are asked first, and only what is no repeat goes to the shards that keep its parts; each of
these two rounds is one call a shard, all in parallel, with an applied log of its own.
"""

import asyncio
import hashlib
import struct
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.algebra import UNKNOWN
from features.catalog import SLOTS
from features.redis_client import Line, NoScript, answer, dial, infos, is_cluster, scan, written
from features.redis_plan import KINDS, LAYOUT_VERSION, SCRIPT, part_columns
from features.state import (
    ANSWERED,
    PARTS,
    Answer,
    Behind,
    Entry,
    LogId,
    LogState,
    Numbers,
    Span,
    StateError,
    Status,
    shard_of,
)
from features.transaction import (
    REPORT_STATUSES,
    FraudReport,
    Transaction,
    content_hash,
    digest,
    event_hash,
    pair_key,
)
from features.windows import DAY, RETENTION

TTL_SECONDS = (RETENTION + 15 * DAY) // 1000
"""Garbage collection only: longer than anything is read for, so that it can't be told from no TTL."""

_HEAD, _TAIL = struct.Struct("<BBHQ"), struct.Struct("<QQ8s8s12s12s12s12s12s")
_SPAN = struct.Struct("<QQQB")
_SHA = hashlib.sha1(SCRIPT.encode(), usedforsecurity=False).hexdigest()
_NO_HASH, _NO_ENTITY = bytes(8), bytes(12)

_BITS = {part: 1 << i for i, part in enumerate(PARTS)}
_ACCOUNTS = _BITS["payer"] | _BITS["payee"]
_ASK_RING, _READ_ONLY = 16, 32
_WHOLE, _RING, _WINDOWS = "log:", "rings:", "windows:"
"""The applied logs: of whole calls, of the round that asks the rings, of the round after it."""

_RANK = np.array([2, 0, 5, 3, 4, 1])
"""By Status: what an event's shards say together is the highest. A shard that had applied it in a call that
failed elsewhere says STORED where the others say APPLIED; STALE on any of them is committed, so decided."""

_IS_ANSWERED = np.array([status in ANSWERED for status in Status])

_APPLIED = int(Status.APPLIED)  # an enum's own comparison costs more than the rest of a loop

_UNSEEN = -1


class Packed:
    """An event as the script reads it, but for where it was read, and where its parts lie."""

    __slots__ = ("ids", "is_report", "mask", "tail")

    def __init__(self, event: Transaction | FraudReport) -> None:
        payer = digest(event.payer_ispb, event.payer_account)
        payee = digest(event.payee_ispb, event.payee_account)
        ids, mask, device, key = {"payer": payer, "payee": payee}, _ACCOUNTS, _NO_ENTITY, _NO_ENTITY
        if event.device_id is not None:
            ids["device"] = device = digest(event.device_id)
            mask |= _BITS["device"]
        if event.payee_key is not None:
            ids["payee_key"] = key = digest(event.payee_key)
            mask |= _BITS["payee_key"]
        self.ids, self.mask = ids, mask
        self.is_report = isinstance(event, FraudReport)
        if isinstance(event, FraudReport):
            status = min(REPORT_STATUSES.index(event.status), 2)  # REJECTED and WITHDRAWN are both final
            about = event_hash(event.transaction_event_id)
            self.tail = _TAIL.pack(
                event.reported_at, status, about, _NO_HASH, payer, payee, _NO_ENTITY, device, key
            )
        else:
            self.tail = _TAIL.pack(
                event.occurred_at, event.amount, event_hash(event.event_id), content_hash(event),
                payer, payee, pair_key(payer, payee), device, key,
            )  # fmt: skip

    def entry(self, entry: Entry, mask: int) -> bytes:
        kind = 2 if self.is_report else int(entry.replay)
        return _HEAD.pack(kind, mask, entry.span, entry.offset) + self.tail


@dataclass
class Shard:
    """One slot's share of the state, and what this process knows of it."""

    number: int
    prefix: str
    stops: dict[tuple[str, LogId], int] = field(default_factory=dict)
    """The `stop` of the last call, by kind of log: where the next call begins."""
    seen: int = _UNSEEN
    """The greatest number that it gave."""
    life: int = 0
    """The life that it told of last; 0 is none."""
    renew: bool = False
    """Whether the next healing call ends that life: this process found a loss in it."""

    @property
    def counter(self) -> str:
        return f"{self.prefix}numbers"

    def log_key(self, kind: str, log: LogId) -> str:
        return f"{self.prefix}{kind}{log.group}:{log.topic}:{log.topic_id}:{log.partition}"


@dataclass
class Call:
    """What one shard is to do in one round: entries by index, each with the parts that it is asked for."""

    shard: Shard
    indexes: list[int] = field(default_factory=list)
    masks: list[int] = field(default_factory=list)

    def add(self, index: int, mask: int) -> None:
        self.indexes.append(index)
        self.masks.append(mask)


@dataclass
class Reply:
    """What it answered; `rows` are by part, of the transactions that were asked for that part."""

    statuses: NDArray[np.uint8]
    numbers: list[int]
    rows: list[bytes]
    versions: dict[int, str]


class RedisState:
    """The State contract over Redis; every method may raise StateAway."""

    def __init__(self, url: str, shards: int = 1, *, clock: Callable[[], float] = time.time) -> None:
        self._url, self._clock = url, clock
        self._client: Any = None
        self._line: Line | None = None
        """For calls of the script. None in a cluster: there their spans alone keep a shard's in order."""
        self._dialling = asyncio.Lock()
        self._in_turn = asyncio.Lock()
        self.layout = LAYOUT_VERSION + (f"-{shards}" if shards > 1 else "")
        """In every key: the version, and the number of shards unless it is 1."""
        self._covered: dict[LogId, tuple[int, int]] = {}
        """What this process called of a log; a shard that had nothing to do in it stands somewhere in it."""
        self._shards = [Shard(i, f"{{s{i:02d}}}:{self.layout}:") for i in range(shards)]

    @classmethod
    async def connect(cls, url: str, shards: int = 1) -> "RedisState":
        """Raises StateAway if it does not answer, StateError if it would evict what was counted."""
        state = cls(url, shards)
        try:
            memory = await infos(await state.client(), "memory")
        except StateError:
            await state.close()
            raise
        for policy in {facts["maxmemory_policy"] for facts in memory.values()} - {"noeviction"}:
            await state.close()
            raise StateError(
                f"Redis evicts by {policy!r}, which would silently lose history: "
                "set maxmemory-policy to noeviction (redis-cli config set maxmemory-policy noeviction)"
            )
        return state

    async def client(self) -> Any:
        """Made at the first call: whether it is a cluster is the server's to say."""
        async with self._dialling:
            if self._client is None:
                self._client = await dial(self._url)
                self._line = None if is_cluster(self._client) else Line(self._client)
        return self._client

    def prepare(self, event: Transaction | FraudReport) -> Packed:
        return Packed(event)

    async def apply(self, spans: Sequence[Span], entries: Sequence[Entry], versions: str = "") -> Answer:
        for span in spans:
            self._covered.setdefault(span.log, (span.start, span.start))
        work = _Work(self, spans, entries, versions)
        if len(self._shards) == 1:
            await work.whole()
        else:  # what the next call tells a shard depends on which of them this one reached
            async with self._in_turn:
                await work.in_two_rounds()
        for span in spans:
            first, last = self._covered[span.log]
            self._covered[span.log] = first, max(last, span.stop)  # the call behind it may have come first
        return work.answer()

    async def read(self, transactions: Sequence[Transaction]) -> NDArray[np.float64]:
        entries = [Entry(0, 0, transaction) for transaction in transactions]
        work = _Work(self, [], entries, "")
        await work.read()
        return work.slots

    async def log_states(self, logs: Sequence[LogId]) -> list[LogState | None]:
        kinds = (_WHOLE,) if len(self._shards) == 1 else (_RING, _WINDOWS)
        places = [(shard, kind, log) for shard in self._shards for kind in kinds for log in logs]
        client = await self.client()
        pipe = client.pipeline() if is_cluster(client) else client.pipeline(transaction=False)
        for shard, kind, log in places:
            pipe.hmget(shard.log_key(kind, log), "floor", "next")
        answers = await answer(pipe.execute())
        found: dict[LogId, list[LogState | None]] = {log: [] for log in logs}
        for (shard, kind, log), (floor, next_) in zip(places, answers, strict=True):
            state = None if floor is None else LogState(int(floor), int(next_))
            found[log].append(state)
            # Whoever asks is about to heal: each shard's calls begin where that shard is.
            shard.stops[kind, log] = state.next if state else 0
        for shard in self._shards:
            shard.seen, shard.renew = _UNSEEN, True
        for log in logs:
            self._covered.pop(log, None)
        return [_least(states) for states in found.values()]

    async def claim(self, group: str) -> str:
        client = await self.client()
        await written(client, client.set(self.owner_key, group, nx=True))
        return await self.owner() or group

    @property
    def owner_key(self) -> str:
        return f"{self._shards[0].prefix}group"

    async def owner(self) -> str | None:
        """The group that claimed this state; None: nobody did."""
        found: bytes | None = await answer((await self.client()).get(self.owner_key))
        return None if found is None else found.decode(errors="replace")

    async def entities(self) -> AsyncIterator[tuple[str, bytes]]:
        """(kind, id) of every entity that is kept, in no order; those that come meanwhile may be missed."""
        async for key in self.keys():
            name = key.split(b":", 2)[2]
            kind, _, id_ = name.partition(b":")
            if kind.decode(errors="replace") in KINDS:
                yield kind.decode(), id_

    async def keys(self) -> AsyncIterator[bytes]:
        """Every key of this state."""
        async for key in scan(await self.client(), f"{{s*}}:{self.layout}:*"):
            yield key

    async def close(self) -> None:
        if self._line is not None:
            await self._line.aclose()
        if self._client is not None:
            await self._client.aclose()

    async def call(
        self, call: Call, kind: str, spans: Sequence[Span], entries: Sequence[bytes], versions: str
    ) -> Reply:
        """One call of the script; `entries` as it reads them. Raises Behind, StateAway or StateError."""
        shard = call.shard
        keys = [shard.counter, *(shard.log_key(kind, span.log) for span in spans)]
        packed_spans = b"".join(
            _SPAN.pack(span.floor, self._begin(shard, kind, span), span.stop, span.healing) for span in spans
        )
        began = int(self._clock() * 1_000_000)
        healing = any(span.healing for span in spans)
        args = [
            shard.prefix, packed_spans, b"".join(entries), versions, TTL_SECONDS, began,
            shard.seen, shard.life, int(healing and shard.renew),
        ]  # fmt: skip
        reply = await self._run(keys, args)
        if reply[0] == 1:
            raise Behind
        _, number, life, statuses, numbered, rows, decided = reply
        if spans:
            shard.seen = int(number) if healing else max(shard.seen, int(number))
            shard.life, shard.renew = int(life), shard.renew and not healing
        for span in spans:
            shard.stops[kind, span.log] = max(span.stop, shard.stops.get((kind, span.log), 0))
        by = {int(i): v.decode() for i, v in zip(decided[::2], decided[1::2], strict=True)}
        numbers = _numbers(call, statuses, int(number), numbered)
        return Reply(np.frombuffer(statuses, dtype=np.uint8), numbers, rows, by)

    def _begin(self, shard: Shard, kind: str, span: Span) -> int:
        """What the shard must have: all of the log up to its own last call, or up to the span's start where
        that leaves a gap behind the calls that this process made."""
        first, last = self._covered[span.log]
        if span.healing or span.start <= last:
            return min(span.start, shard.stops.get((kind, span.log), first))
        return span.start

    async def _run(self, keys: list[str], args: list[Any]) -> Any:
        client = await self.client()
        send = self._line or client.execute_command
        try:
            return await written(client, send("EVALSHA", _SHA, len(keys), *keys, *args))
        except NoScript:  # a new Redis, or a replica that took over
            return await written(client, send("EVAL", SCRIPT, len(keys), *keys, *args))


def _numbers(call: Call, statuses: bytes, last: int, earlier: Sequence[bytes | int]) -> list[int]:
    """Of each entry, 0 for none. What this call applied has the numbers up to `last`, in order; `earlier` are
    index and number of what calls before it applied."""
    applied = [
        i
        for i, (status, mask) in enumerate(zip(statuses, call.masks, strict=True))
        if status == _APPLIED and mask != _ASK_RING
    ]
    numbers = [0] * len(statuses)
    for i, given in zip(applied, range(last - len(applied) + 1, last + 1), strict=True):
        numbers[i] = given
    for index, number in zip(earlier[::2], earlier[1::2], strict=True):
        numbers[int(index)] = int(number)
    return numbers


class _Work:
    """One apply: its rounds, and its answer as it is put together."""

    def __init__(
        self,
        state: RedisState,
        spans: Sequence[Span],
        entries: Sequence[Entry],
        versions: str,
    ) -> None:
        self._state, self._spans, self._entries, self._versions = state, spans, entries, versions
        packed = [entry.prepared or Packed(entry.event) for entry in entries]
        self._packed: list[Packed] = packed
        self._shards = state._shards
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
            call.add(i, packed.mask | (_ASK_RING if self._is_payment[i] else 0))
        await self._round(_WHOLE, [call])

    async def in_two_rounds(self) -> None:
        payments = [i for i in range(len(self._packed)) if self._is_payment[i]]
        await self._round(_RING, self._calls(payments, lambda _: [("payer", _ASK_RING)]))
        applied = (Status.APPLIED, Status.STORED)
        masks: dict[int, int] = {}
        for i, packed in enumerate(self._packed):
            status = self._statuses[i]
            if not self._is_payment[i] or status in applied:
                masks[i] = packed.mask
            elif status == Status.REPLAYED and not any(span.healing for span in self._spans):
                masks[i] = packed.mask | _READ_ONLY
        await self._round(_WINDOWS, self._calls(masks, lambda i: self._parts(i, masks[i])))

    async def read(self) -> None:
        masks = {i: packed.mask | _READ_ONLY for i, packed in enumerate(self._packed)}
        await self._round("", self._calls(masks, lambda i: self._parts(i, masks[i]), every=False))
        self._mark_unnamed(np.ones(len(self._packed), dtype=np.bool_))

    def _parts(self, index: int, mask: int) -> list[tuple[str, int]]:
        return [(part, _BITS[part] | (mask & _READ_ONLY)) for part in self._packed[index].ids]

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
        making = [
            self._state.call(call, kind, self._spans, self._chosen(call), self._versions) for call in calls
        ]
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
                at = indexes[payments & (masks & _BITS[part] != 0)]
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


def _least(states: list[LogState | None]) -> LogState | None:
    if all(state is None for state in states):
        return None
    known = [state or LogState(0, 0) for state in states]
    return LogState(min(s.floor for s in known), min(s.next for s in known))
