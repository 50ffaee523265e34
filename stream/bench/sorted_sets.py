"""The baseline's windows: one sorted set an account, scored by event time; a member is `event_id:centavos`.

As every tutorial has it: a ZRANGEBYSCORE for each window, all of an event's in one pipeline.
`in_one_read` is what a second look makes of it: the 60 days are read once, the windows are summed here.
"""

from bisect import bisect_right
from collections.abc import Awaitable, Callable, Iterator
from itertools import accumulate, islice
from typing import Any

import redis.asyncio as aioredis

from features.catalog import ALL

Payment = tuple[str, int, int, tuple[str, str]]
"""event_id, occurred_at (ms), centavos, (payer, payee)."""

Windows = Callable[[Any, Payment], Awaitable[list[float]]]

SIDES = ("payer", "payee")
LONGEST = max(window.length for window in ALL)
_PIPELINE = 2_000


def key(side: str, account: str) -> str:
    return f"{side}:{account}"


async def windows(client: Any, payment: Payment) -> list[float]:
    """Count and sum (BRL) over every window of payer and payee before this payment, which is then added."""
    event_id, at, centavos, accounts = payment
    pipe = client.pipeline(transaction=False)
    for side, account in zip(SIDES, accounts, strict=True):
        for window in ALL:
            pipe.zrangebyscore(key(side, account), f"({at - window.length}", at)
    for side, account in zip(SIDES, accounts, strict=True):
        _add(pipe, key(side, account), f"{event_id}:{centavos}", at)
    found = (await pipe.execute())[: 2 * len(ALL)]
    sums = [sum(int(member.rpartition(b":")[2]) for member in members) / 100 for members in found]
    counts, n = [float(len(members)) for members in found], len(ALL)
    return [*counts[:n], *sums[:n], *counts[n:], *sums[n:]]


async def in_one_read(client: Any, payment: Payment) -> list[float]:
    """The same values."""
    event_id, at, centavos, accounts = payment
    pipe = client.pipeline(transaction=False)
    for side, account in zip(SIDES, accounts, strict=True):
        pipe.zrangebyscore(key(side, account), f"({at - LONGEST}", at, withscores=True)
        _add(pipe, key(side, account), f"{event_id}:{centavos}", at)
    payer, _, _, payee, _, _ = await pipe.execute()
    return [*_sums(payer, at), *_sums(payee, at)]


def _add(pipe: Any, name: str, member: str, at: int) -> None:
    pipe.zadd(name, {member: at})
    pipe.zremrangebyscore(name, "-inf", at - LONGEST)


def _sums(found: list[tuple[bytes, float]], at: int) -> list[float]:
    """All counts, then all sums, in the order of `ALL`."""
    times = [time for _, time in found]
    amounts = [int(member.rpartition(b":")[2]) for member, _ in found]
    before = [0, *accumulate(amounts)]
    starts = [bisect_right(times, at - window.length) for window in ALL]
    counts = [float(len(found) - start) for start in starts]
    return counts + [(before[-1] - before[start]) / 100 for start in starts]


async def fill(url: str, payments: Iterator[Payment], told: Callable[[int, int], None]) -> None:
    """Add a history. `told(done, done)` is called now and then."""
    client, done = aioredis.from_url(url), 0
    while chunk := list(islice(payments, _PIPELINE)):
        pipe = client.pipeline(transaction=False)
        for event_id, at, centavos, accounts in chunk:
            for side, account in zip(SIDES, accounts, strict=True):
                pipe.zadd(key(side, account), {f"{event_id}:{centavos}": at})
        await pipe.execute()
        done += len(chunk)
        told(done, done)
    await client.aclose()
