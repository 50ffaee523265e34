"""The state in Redis: one packed value an entity, one Lua call a batch.

The script is `redis_state.lua` behind a plan generated from the catalog. A plan's hash is part of every
key, so values of another layout are never read: another layout means a rebuild from the log.
"""

import asyncio
import hashlib
import re
import struct
from collections.abc import Sequence
from importlib.resources import files
from typing import Any

import numpy as np
import redis.asyncio as aioredis
import redis.exceptions as errors

from features.aggregates import COUNT_MAX, EXACT_MAX, UNKNOWN, Slot
from features.catalog import ENTITIES, SLOTS
from features.state import (
    COUNTERPARTY_CAP,
    COUNTERPARTY_KEEP,
    RING_SIZE,
    Answer,
    Behind,
    Entry,
    LogId,
    LogState,
    Span,
    StateAway,
    StateError,
)
from features.transaction import (
    REPORT_STATUSES,
    FraudReport,
    Transaction,
    content_hash,
    entity_key,
    event_hash,
)
from features.windows import DAY, LEVELS, REPORT_DELAY, RETENTION, WINDOWS, Level, Window

LAYOUT = 1
"""Raised by hand when the Lua text changes what it stores; a changed plan changes the hash by itself."""

TTL_SECONDS = (RETENTION + 15 * DAY) // 1000
"""Garbage collection only: longer than anything is read for, so that it can't be told from no TTL."""

_ENTRY = struct.Struct("<BHQQQ8s8s12s12s12s12s")
_SPAN = struct.Struct("<QQQB")
_NO_WRITES = re.compile(r"\b(OOM|MISCONF|READONLY|BUSY|LOADING|MASTERDOWN|NOREPLICAS)\b")
_NO_HASH, _NO_ENTITY = bytes(8), bytes(12)
_TILED = ("count", "sum", "squares", "max")


def _lua(value: object) -> str:
    """A Python value as a Lua literal; None leaves a field out."""
    if isinstance(value, dict):
        return "{" + ",".join(f"{k}={_lua(v)}" for k, v in value.items() if v is not None) + "}"
    if isinstance(value, list):
        return "{" + ",".join(map(_lua, value)) + "}"
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"'{value}'" if isinstance(value, str) else repr(value)


def _position(slot: Slot) -> int | None:
    """1-based place in the answered row; None if no feature needs it."""
    return SLOTS.index(slot) + 1 if slot in SLOTS else None


def _window_plan(entity: str, window: Window, delayed: bool) -> dict[str, int | None]:
    places = {stat: _position(Slot(entity, stat, window.name, delayed)) for stat in _TILED}
    grain = window.level.grain  # divides every length, so that a window is a number of whole tiles
    return {"tiles": window.length // grain, "shift": REPORT_DELAY // grain if delayed else 0, **places}


def _level_plan(entity: str, level: Level) -> dict[str, Any] | None:
    windows = [
        _window_plan(entity, window, delayed)
        for delayed in (False, True)
        for window in WINDOWS.values()
        if window.level is level
        if any(Slot(entity, stat, window.name, delayed) in SLOTS for stat in _TILED)
    ]
    if not windows:
        return None
    # Days since 1970 fit 16 bits until 2149; finer tiles need 32.
    field = "I2" if level.grain == DAY else "I4"
    return {
        "grain": level.grain,
        "keep": level.keep,
        "field": f"<{field}",
        "tile": f"<{field}I5I6I2I6I4",
        "width": struct.calcsize("<" + {"I2": "H", "I4": "I"}[field]) + 23,
        "max": any(window["max"] for window in windows) or None,
        "windows": windows,
    }


def _kind_plan(entity: str) -> dict[str, Any]:
    places = [i + 1 for i, slot in enumerate(SLOTS) if slot.entity == entity]
    mine = [slot for slot in SLOTS if slot.entity == entity]
    levels = [plan for level in LEVELS if (plan := _level_plan(entity, level))]
    return {
        "name": entity,
        "from": places[0],
        "to": places[-1],
        "last": _position(Slot(entity, "last")),
        "first": _position(Slot(entity, "first")),
        "levels": levels,
        "distinct": [
            {"length": WINDOWS[s.window].length, "at": _position(s)} for s in mine if s.stat == "distinct"
        ],
        "reports": [
            {"length": WINDOWS[s.window].length, "at": _position(s), "open": s.stat == "open"}
            for s in mine
            if s.stat in ("open", "confirmed")
        ],
    }


def plan() -> str:
    """The Lua constants that the catalog decides."""
    constants = {
        "SLOTS": len(SLOTS),
        "RETENTION": RETENTION,
        "CP_CAP": COUNTERPARTY_CAP,
        "CP_KEEP": COUNTERPARTY_KEEP,
        "RING_SIZE": RING_SIZE,
        "COUNT_MAX": int(COUNT_MAX),
        "EXACT_MAX": int(EXACT_MAX),
        "UNKNOWN": int(UNKNOWN),
        "KINDS": [_kind_plan(entity) for entity in ENTITIES],
    }
    return "".join(f"local {name} = {_lua(value)}\n" for name, value in constants.items())


SCRIPT = plan() + files("features").joinpath("redis_state.lua").read_text()
LAYOUT_VERSION = hashlib.sha256(f"{LAYOUT}\n{plan()}".encode()).hexdigest()[:8]


def pack(entry: Entry) -> bytes:
    """One entry as the script reads it."""
    event = entry.event
    payer, payee = entity_key("payer", event), entity_key("payee", event)
    if isinstance(event, FraudReport):
        status = min(REPORT_STATUSES.index(event.status), 2)  # REJECTED and WITHDRAWN are both final
        transaction = event_hash(event.transaction_event_id)
        return _ENTRY.pack(
            2, entry.span, entry.offset, event.reported_at, status, transaction, _NO_HASH, payer, payee,
            _NO_ENTITY, _NO_ENTITY,
        )  # fmt: skip
    device = _NO_ENTITY if event.device_id is None else entity_key("device", event)
    return _ENTRY.pack(
        entry.replay, entry.span, entry.offset, event.occurred_at, event.amount, event_hash(event.event_id),
        content_hash(event), payer, payee, entity_key("pair", event), device,
    )  # fmt: skip


class RedisState:
    """The State contract over one Redis; every method may raise StateAway."""

    def __init__(self, client: aioredis.Redis, shard: int = 0) -> None:
        self._redis = client
        self._prefix = f"{{s{shard:02d}}}:{LAYOUT_VERSION}:"
        self._script = client.register_script(SCRIPT)

    @classmethod
    def at(cls, url: str, shard: int = 0) -> "RedisState":
        """The state at an address; it is dialled by the first call."""
        return cls(aioredis.from_url(url, socket_timeout=10, socket_connect_timeout=3), shard)

    @classmethod
    async def connect(cls, url: str) -> "RedisState":
        """Raises StateAway if it does not answer, StateError if it would evict what was counted."""
        state = cls.at(url)
        client = state._redis
        try:
            policy = (await _answer(client.config_get("maxmemory-policy")))["maxmemory-policy"]
        except StateError:
            await client.aclose()
            raise
        if policy != "noeviction":
            await client.aclose()
            raise StateError(
                f"Redis evicts by {policy!r}, which would silently lose history: "
                "set maxmemory-policy to noeviction (redis-cli config set maxmemory-policy noeviction)"
            )
        return state

    async def apply(self, spans: Sequence[Span], entries: Sequence[Entry], versions: str = "") -> Answer:
        keys = [self._log_key(span.log) for span in spans]
        packed_spans = b"".join(_SPAN.pack(s.floor, s.start, s.stop, s.healing) for s in spans)
        packed = b"".join(map(pack, entries))
        transactions = sum(isinstance(entry.event, Transaction) for entry in entries)
        reply = await _answer(
            self._script(keys=keys, args=[self._prefix, packed_spans, packed, versions, TTL_SECONDS])
        )
        if reply[0] == 1:
            raise Behind(
                {
                    spans[i - 1].log: LogState(floor, next_)
                    for i, floor, next_ in zip(reply[1][::3], reply[1][1::3], reply[1][2::3], strict=True)
                }
            )
        _, statuses, rows, decided = reply
        slots = np.frombuffer(rows, dtype="<f8").reshape(transactions, len(SLOTS))
        by = {int(i): v.decode() for i, v in zip(decided[::2], decided[1::2], strict=True)}
        return Answer(np.frombuffer(statuses, dtype=np.uint8), slots, by)

    async def log_states(self, logs: Sequence[LogId]) -> list[LogState | None]:
        pipe = self._redis.pipeline(transaction=False)
        for log in logs:
            pipe.hmget(self._log_key(log), "floor", "next")
        found = await _answer(pipe.execute())
        return [None if floor is None else LogState(int(floor), int(next_)) for floor, next_ in found]

    async def close(self) -> None:
        await self._redis.aclose()

    def _log_key(self, log: LogId) -> str:
        return f"{self._prefix}log:{log.group}:{log.topic}:{log.topic_id}:{log.partition}"


async def _answer(awaitable: Any) -> Any:
    """The one place where Redis's errors become ours: away (call again) or wrong (say what to do)."""
    try:
        return await awaitable
    except (errors.ConnectionError, errors.TimeoutError, errors.BusyLoadingError, OSError) as error:
        raise StateAway(f"Redis does not answer ({error}): run `vigia up`, or set VIGIA_REDIS_URL") from error
    except (errors.OutOfMemoryError, errors.ReadOnlyError, errors.ResponseError) as error:
        # A script's own error wraps the code that it met: "Error running script …: -OOM command not allowed".
        if isinstance(error, errors.OutOfMemoryError | errors.ReadOnlyError) or _NO_WRITES.search(str(error)):
            raise StateAway(f"Redis takes no writes now: {error}") from error
        raise StateError(f"Redis refused the call: {error}") from error
    except asyncio.IncompleteReadError as error:
        raise StateAway("Redis closed the connection") from error
