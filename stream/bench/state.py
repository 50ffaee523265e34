"""What the state costs in memory: entities of simulated traffic, measured key by key in a private Redis.

`MEMORY USAGE key SAMPLES 0` is the value, the key and its entry in the dictionary, as the allocator rounds
them; the dictionary's own table, the table of expiries and the fragmentation are in `used_memory` alone.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import redis

from deploy.local import private_redis
from features.files import read_reports, read_transactions
from features.redis_plan import KINDS, LAYOUT_VERSION
from features.redis_state import TTL_SECONDS, RedisState
from features.replay import answers, merged
from stream.bench.entities import A_DAY, Census, traffic
from stream.simulate.files import write

RING = "ring"
WITH_RING = "payer with ring"
BARS = {WITH_RING: 2_500, "payee": 1_800, "pair": 500}
"""Bytes (DESIGN section 8), of the mean: for payers and payees of the `steady` ones, which had about three
payments a day themselves; for pairs of all, among which a payer's three payments a day are spread."""

GROUPS = ("all", "steady", "busy")
"""All entities, and those of `Census.busyness`."""

ROWS = ("payer", RING, WITH_RING, "payee", "pair", "device", "payee_key")

_PIPELINE = 2_000
_SHORTENED = 1_000
_PATIENCE = 30.0

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Sizes:
    """Bytes over `count` keys."""

    count: int
    mean: float
    p50: float
    p95: float
    max: int

    @classmethod
    def of(cls, found: Sequence[int]) -> "Sizes":
        if not found:
            return cls(0, 0.0, 0.0, 0.0, 0)
        p50, p95 = np.percentile(found, (50, 95)).tolist()
        return cls(len(found), float(np.mean(found)), p50, p95, max(found))


@dataclass(frozen=True)
class Fill:
    """What it took to put the traffic in."""

    accounts: int
    days: float
    transactions: int
    reports: int
    seconds: float
    redis_cpu: float
    """Seconds."""

    @property
    def events(self) -> int:
        return self.transactions + self.reports


@dataclass(frozen=True)
class Expiry:
    """Time to live of the entities' and the rings' keys, and what became of those that were to expire."""

    without: int
    shortest: int
    longest: int
    shortened: int
    gone: int

    @property
    def holds(self) -> bool:
        lives = 0 < self.shortest <= self.longest <= TTL_SECONDS
        return self.without == 0 and lives and 0 < self.shortened == self.gone


@dataclass(frozen=True)
class StateFigures:
    """One run of the benchmark."""

    fill: Fill
    sizes: dict[str, dict[str, Sizes]]
    """By `GROUPS`, then by `ROWS`."""
    used_memory: int
    """Bytes of the whole Redis, less those of an empty one."""
    expiry: Expiry
    redis_version: str
    allocator: str
    """Whose rounding is in the sizes."""

    @property
    def entities(self) -> int:
        return sum(self.of(kind).count for kind in KINDS)

    def of(self, row: str, group: str = "all") -> Sizes:
        return self.sizes[group][row]

    def judged(self, row: str) -> Sizes:
        """The sizes that the row's bar is about."""
        return self.of(row, "all" if row == "pair" else "steady")

    def failures(self) -> list[str]:
        """What misses its bar."""
        missed = [
            f"{row}: {self.judged(row).mean:,.0f} bytes, at most {bar:,} wanted"
            for row, bar in BARS.items()
            if not self.meets(row)
        ]
        return missed + ([] if self.expiry.holds else [f"expiry: {self.expiry}"])

    def meets(self, row: str) -> bool:
        """Whether the row keeps its bar; a bar that nothing was measured for is missed."""
        return 0 < self.judged(row).mean <= BARS[row]

    def as_json(self) -> dict[str, Any]:
        fill, expiry = self.fill, self.expiry
        return {
            "entities": self.entities,
            "accounts": fill.accounts,
            "days": fill.days,
            "payments_a_day": A_DAY,
            "events": fill.events,
            "fill": {
                "seconds": round(fill.seconds, 1),
                "events_per_second": round(fill.events / fill.seconds),
                "redis_cpu_us_per_event": round(fill.redis_cpu / fill.events * 1e6, 1),
            },
            "bytes": {row: {group: vars(self.of(row, group)) for group in GROUPS} for row in ROWS},
            "bars": {
                row: {"most": bar, "mean": self.judged(row).mean, "met": self.meets(row)}
                for row, bar in BARS.items()
            },
            "used_memory": self.used_memory,
            "used_memory_per_entity": round(self.used_memory / self.entities, 1),
            "used_memory_per_payer": round(self.used_memory / self.of("payer").count, 1),
            "expiry": {**vars(expiry), "most": TTL_SECONDS, "holds": expiry.holds},
            "redis_version": self.redis_version,
            "allocator": self.allocator,
            "layout_version": LAYOUT_VERSION,
            "failures": self.failures(),
        }


def measure(entities: int, days: float, on_progress: Progress) -> StateFigures:
    """Fill a private Redis with the history of at least so many entities, and weigh every one of them.

    `on_progress(done, of)` is called as events are applied. Raises StateError or ServiceError.
    """
    with private_redis() as url, redis.Redis.from_url(url) as client, TemporaryDirectory() as folder:
        empty = _used(client)
        census = Census(days)
        fill = asyncio.run(_fill(url, client, entities, Path(folder), census, on_progress))
        used = _used(client) - empty
        weighed = asyncio.run(_weigh(url, client))
        expiry = _expiry(client, weighed)
        sizes = {group: _by_row(_group(group, weighed.bytes, census)) for group in GROUPS}
        version = str(client.info("server")["redis_version"])
        allocator = str(client.info("memory")["mem_allocator"])
    return StateFigures(fill, sizes, used, expiry, version, allocator)


async def _fill(
    url: str, client: redis.Redis, entities: int, folder: Path, census: Census, on_progress: Progress
) -> Fill:
    simulation = traffic(entities, census.days)
    transactions, reports = write(simulation, folder)
    history, labels = read_transactions(transactions), read_reports(reports)
    of, done = len(history) + len(labels), 0
    state = await RedisState.connect(url)
    began, cpu = time.perf_counter(), _cpu(client)
    async for entries, _ in answers(state, census.of(merged(history, labels))):
        done += len(entries)
        on_progress(done, of)
    seconds, cpu = time.perf_counter() - began, _cpu(client) - cpu
    await state.close()
    accounts = simulation.config.accounts
    return Fill(accounts, census.days, len(history), len(labels), seconds, cpu)


@dataclass
class _Weighed:
    """Of each kind (and `RING`), by id."""

    keys: list[bytes] = field(default_factory=list)
    bytes: dict[str, dict[bytes, int]] = field(default_factory=lambda: defaultdict(dict))
    lives: list[int] = field(default_factory=list)


async def _weigh(url: str, client: redis.Redis) -> _Weighed:
    """Size and time to live of each entity's and each ring's key."""
    state, weighed = await RedisState.connect(url), _Weighed()
    try:
        async for key in state.keys():
            if _kind_of(key) in (*KINDS, RING):
                weighed.keys.append(key)
    finally:
        await state.close()
    for keys in _chunks(weighed.keys):
        pipe = client.pipeline(transaction=False)
        for key in keys:
            pipe.memory_usage(key, samples=0)
            pipe.ttl(key)
        told = pipe.execute()
        for key, size, life in zip(keys, told[::2], told[1::2], strict=True):
            weighed.bytes[_kind_of(key)][key.split(b":", 3)[3]] = size
            weighed.lives.append(life)
    return weighed


def _expiry(client: redis.Redis, weighed: _Weighed) -> Expiry:
    """Lets the first keys expire at once, and waits until Redis has deleted them by itself."""
    lives = [life for life in weighed.lives if life >= 0]
    shortened, before = weighed.keys[:_SHORTENED], client.dbsize()
    for key in shortened:
        client.expire(key, 1)
    deadline = time.monotonic() + _PATIENCE
    while before - client.dbsize() < len(shortened) and time.monotonic() < deadline:
        time.sleep(0.1)
    gone = len(shortened) - int(client.exists(*shortened)) if shortened else 0
    without = len(weighed.lives) - len(lives)
    return Expiry(without, min(lives, default=0), max(lives, default=0), len(shortened), gone)


def _by_row(found: dict[str, dict[bytes, int]]) -> dict[str, Sizes]:
    payers, rings = found.get("payer", {}), found.get(RING, {})
    together = {WITH_RING: {id_: size + rings.get(id_, 0) for id_, size in payers.items()}}
    return {row: Sizes.of(list((found | together).get(row, {}).values())) for row in ROWS}


def _group(group: str, found: dict[str, dict[bytes, int]], census: Census) -> dict[str, dict[bytes, int]]:
    if group == "all":
        return found
    return {
        kind: {i: size for i, size in sizes.items() if census.busyness(_owner(kind), i) == group}
        for kind, sizes in found.items()
    }


def _owner(kind: str) -> str:
    return "payer" if kind == RING else kind


def _kind_of(key: bytes) -> str:
    """Keys are {shard}:layout:kind:id."""
    return key.split(b":", 3)[2].decode(errors="replace")


def _chunks(keys: list[bytes]) -> Iterator[list[bytes]]:
    rest = iter(keys)
    while chunk := list(islice(rest, _PIPELINE)):
        yield chunk


def _used(client: redis.Redis) -> int:
    return int(client.info("memory")["used_memory"])


def _cpu(client: redis.Redis) -> float:
    """Seconds that Redis has worked."""
    info = client.info("cpu")
    return float(info["used_cpu_user"]) + float(info["used_cpu_sys"])
