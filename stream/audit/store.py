"""What a Redis holds: keys by kind, logs, how it persists. And deleting all of a state."""

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from features.errors import VigiaError
from features.redis_client import infos, scan, written
from features.redis_plan import KINDS
from features.redis_state import RedisState
from features.state import LogId

_ERASE = 1000
_LAYOUT = re.compile(r"[0-9a-f]{8}(-[0-9]+)?")
"""A version, and a number of shards that is not 1."""

Count = Callable[[int], None]
"""Told now and then how many keys were looked at."""


@dataclass
class Inventory:
    """Keys of Vigia in this Redis."""

    entities: Counter[str] = field(default_factory=Counter)
    """Of this state, by kind."""
    logs: set[tuple[str, str, str]] = field(default_factory=set)
    """(group, topic, topic id) that this state read."""
    others: Counter[str] = field(default_factory=Counter)
    """Keys by layout of states that this version, with this number of shards, does not read."""


async def inventory(state: RedisState, on_count: Count = lambda _: None) -> Inventory:
    """By one SCAN of all keys; what comes or goes meanwhile may be missed. Raises StateAway."""
    mine, found, n = state.layout.encode(), Inventory(), 0
    async for key in scan(await state.client(), "{s*}:*"):
        _, _, rest = key.partition(b":")
        layout, _, name = rest.partition(b":")
        if layout != mine:
            found.others[layout.decode(errors="replace")] += 1
        else:
            _note(found, name)
        n += 1
        if n % 10_000 == 0:
            on_count(n)
    on_count(n)
    return found


def _note(found: Inventory, name: bytes) -> None:
    kind, _, rest = name.partition(b":")
    if kind.decode(errors="replace") in KINDS:
        found.entities[kind.decode()] += 1
    elif kind in (b"log", b"rings", b"windows"):
        # A group may have colons; `:answers` and `:passed` behind the partition are no logs of their own.
        *log, partition = rest.decode(errors="replace").rsplit(":", 3)
        if len(log) == 3 and partition.isdecimal():
            group, topic, topic_id = log
            found.logs.add((group, topic, topic_id))


def strangers(found: Inventory, logs: list[LogId]) -> set[tuple[str, str, str]]:
    """Logs that fed this state beside these: a history from files, or a topic that was made anew."""
    return found.logs - {(log.group, log.topic, log.topic_id) for log in logs}


def excuses(
    found: set[tuple[str, str, str]], logs: list[LogId], history: LogId | None = None
) -> set[tuple[str, str, str]]:
    """Which of these strangers may be why a key is of no event: an earlier topic of the same name; where a
    history was given, another history. The given one was recounted: it has nothing left to excuse."""
    topics = {(log.group, log.topic) for log in logs}
    mine = (history.group, history.topic, history.topic_id) if history else None
    return {log for log in found if log[:2] in topics or (mine and log[:2] == mine[:2] and log != mine)}


async def require_state(state: RedisState, group: str) -> None:
    """Raises VigiaError unless there is a state of the group; says of which layout the keys are instead."""
    owner = await state.owner()
    refuse_another(owner, group)
    if owner and await some_ids(state, 1):
        return
    found = await inventory(state)
    if others := {name: n for name, n in found.others.items() if _LAYOUT.fullmatch(name)}:
        raise VigiaError(_elsewhere(state.layout, others))
    if owner is None and (found.entities or found.logs):
        raise VigiaError(
            f"this Redis holds a state that no group has claimed: start a worker of group {group!r}, or make "
            "it anew with `vigia state rebuild --flush`"
        )
    if owner is None:
        raise VigiaError(
            "the state is empty: a worker that starts makes it anew, as does `vigia state rebuild`; "
            "or VIGIA_REDIS_URL is of another Redis"
        )


def _elsewhere(mine: str, others: dict[str, int]) -> str:
    """What to do about keys of other layouts alone."""
    told = ", ".join(f"{n} of layout {name}" for name, n in sorted(others.items()))
    version, _, shards = mine.partition("-")
    counts = sorted(int(name.partition("-")[2] or 1) for name in others if name.partition("-")[0] == version)
    if counts:
        what = f"set VIGIA_STATE_SHARDS={' or '.join(map(str, counts))}, not {shards or 1}"
    else:
        what = (
            "another version of Vigia wrote them: run that one, or make this one's with `vigia state rebuild`"
        )
    return f"this Redis holds nothing of layout {mine}, but keys of others ({told}): {what}"


async def some_ids(state: RedisState, n: int) -> frozenset[bytes]:
    """At most n ids of entities that the state holds, as SCAN meets them: in the order of its hash table."""
    ids: set[bytes] = set()
    if n:
        async for _, id_ in state.entities():
            ids.add(id_)
            if len(ids) >= n:
                break
    return frozenset(ids)


def refuse_another(owner: str | None, group: str) -> None:
    """Raises VigiaError if the state is another group's."""
    if owner not in (None, group):
        raise VigiaError(
            f"this Redis holds the state of group {owner!r}, not of {group!r}: set VIGIA_GROUP_ID to "
            f"{owner!r}, or VIGIA_REDIS_URL to a Redis of {group!r}"
        )


async def is_empty(state: RedisState) -> bool:
    """Whether it holds nothing but, perhaps, whose it is."""
    claim = state.owner_key.encode()
    async for key in state.keys():
        if key != claim:
            return False
    return True


async def erase(state: RedisState, on_count: Count = lambda _: None) -> int:
    """UNLINK every key of this state but whose it is, and no other; how many they were. Raises StateAway."""
    client, claim, waiting, n = await state.client(), state.owner_key.encode(), [], 0
    async for key in state.keys():
        if key != claim:
            waiting.append(key)
        if len(waiting) == _ERASE:
            n += await _unlink(client, waiting)
            waiting = []
            on_count(n)
    return n + (await _unlink(client, waiting) if waiting else 0)


async def _unlink(client: Any, keys: list[bytes]) -> int:
    return int(await written(client, client.unlink(*keys)))


async def persistence(state: RedisState) -> dict[str, dict[str, Any]]:
    """INFO persistence of each primary by its address, as far as it says what a restart would bring back."""
    found = await infos(await state.client(), "persistence")
    return {name: _facts(facts) for name, facts in found.items()}


def _facts(info: dict[str, Any]) -> dict[str, Any]:
    return {
        "aof_enabled": bool(info["aof_enabled"]),
        "aof_last_write_ok": info.get("aof_last_write_status") == "ok",
        "rdb_last_save": int(info["rdb_last_save_time"]),
        "rdb_last_save_ok": info["rdb_last_bgsave_status"] == "ok",
        "changes_since_rdb": int(info["rdb_changes_since_last_save"]),
    }
