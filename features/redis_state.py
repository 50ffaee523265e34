"""The state in Redis or a Redis Cluster: one packed value an entity, one Lua call a shard and batch.

The script and the layout of what it keeps are `redis_plan.py`'s, what a call carries is `redis_call.py`'s. On
one shard a call is whole. On many, the payers' rings are asked first, and only what is no repeat goes to the
shards that keep its parts; each of these two rounds (`redis_rounds.py`) is one call a shard, all in parallel,
with an applied log of its own.
"""

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.redis_call import SPAN, UNSEEN, Call, Packed, Reply, Shard, numbers
from features.redis_client import Line, NoScript, answer, dial, infos, is_cluster, scan, written
from features.redis_plan import KINDS, LAYOUT_VERSION, SCRIPT
from features.redis_rounds import RING, WHOLE, WINDOWS, Work
from features.state import Answer, Behind, Entry, LogId, LogState, Span, StateError
from features.transaction import FraudReport, Transaction
from features.windows import DAY, RETENTION

TTL_SECONDS = (RETENTION + 15 * DAY) // 1000
"""Garbage collection only: longer than anything is read for, so that it can't be told from no TTL."""

_SHA = hashlib.sha1(SCRIPT.encode(), usedforsecurity=False).hexdigest()


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
        work = Work(self._call, self._shards, spans, entries, versions)
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
        work = Work(self._call, self._shards, [], entries, "")
        await work.read()
        return work.slots

    async def log_states(self, logs: Sequence[LogId]) -> list[LogState | None]:
        kinds = (WHOLE,) if len(self._shards) == 1 else (RING, WINDOWS)
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
            shard.seen, shard.renew = UNSEEN, True
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

    async def _call(
        self, call: Call, kind: str, spans: Sequence[Span], entries: Sequence[bytes], versions: str
    ) -> Reply:
        """One call of the script; `entries` as it reads them. Raises Behind, StateAway or StateError."""
        shard = call.shard
        keys = [shard.counter, *(shard.log_key(kind, span.log) for span in spans)]
        packed_spans = b"".join(
            SPAN.pack(span.floor, self._begin(shard, kind, span), span.stop, span.healing) for span in spans
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
        given = numbers(call, statuses, int(number), numbered)
        return Reply(np.frombuffer(statuses, dtype=np.uint8), given, rows, by)

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


def _least(states: list[LogState | None]) -> LogState | None:
    if all(state is None for state in states):
        return None
    known = [state or LogState(0, 0) for state in states]
    return LogState(min(s.floor for s in known), min(s.next for s in known))
