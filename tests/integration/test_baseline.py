"""The benchmark's baseline does what it is said to do."""

import asyncio
import random

import pytest
import redis.asyncio as aioredis

from stream.bench.sorted_sets import Windows, in_one_read, windows

pytestmark = pytest.mark.redis


def test_both_forms_of_the_baseline_know_the_same_windows(redis_flushed: str) -> None:
    rng = random.Random(4)
    at, payments = 1_790_000_000_000, []
    for i in range(300):
        at += int(rng.expovariate(1 / 20_000_000))
        accounts = f"a-{rng.randrange(3)}", f"b-{rng.randrange(3)}"
        payments.append((f"e-{i}", at, rng.randrange(1, 100_000), accounts))

    async def read(form: Windows) -> list[list[float]]:
        client = aioredis.from_url(redis_flushed)
        await client.flushall()
        rows = [await form(client, payment) for payment in payments]
        await client.aclose()
        return rows

    each, one = asyncio.run(read(windows)), asyncio.run(read(in_one_read))
    assert each == [pytest.approx(row) for row in one]
    assert max(map(max, each)) > 1
