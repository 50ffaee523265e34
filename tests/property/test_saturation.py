"""A merchant's record day, and amounts that fill every counter: oracle and Redis still agree to the bit."""

import asyncio
from collections.abc import Sequence

import numpy as np
import pytest
import redis

from features.catalog import SLOTS, vectors
from features.memory_history import EntityHistory
from features.memory_state import MemoryState
from features.redis_state import TTL_SECONDS, RedisState
from features.replay import BATCH
from features.state import PARTS, Entry, LogId, Span
from features.transaction import MAX_AMOUNT, Transaction, entity_key
from features.windows import DAY, HOUR, MINUTE

pytestmark = pytest.mark.redis

LOG = LogId("g", "transactions", "t1", 0)
START = 1_790_000_000_000 // DAY * DAY


def payments(n: int, amount: int, payers: int = 300) -> list[Transaction]:
    """n payments to one payee within a day, one in a hundred of them late by up to two hours."""
    rng = np.random.default_rng(5)
    times = START + np.sort(rng.integers(0, DAY, n))
    times[rng.random(n) < 0.01] -= rng.integers(0, 2 * HOUR)
    return [
        Transaction(f"e{i}", int(at), amount, f"p{i % payers}", "shop", payee_key="k-1")
        for i, at in enumerate(times)
    ]


def remembered(events: Sequence[Transaction]) -> MemoryState:
    """An oracle that has these events, without a reading of its windows for each."""
    state = MemoryState()
    for event in events:
        payer, payee = (int.from_bytes(entity_key(part, event)[:6], "little") for part in PARTS[:2])
        for kind, other in (("payer", payee), ("pair", payer), ("payee", payer), ("payee_key", payee)):
            history = state.entities.setdefault((kind, entity_key(kind, event)), EntityHistory())
            history.apply(event.occurred_at, event.amount, other)
    return state


async def assert_equal(url: str, events: Sequence[Transaction], asked: Sequence[Transaction]) -> None:
    state = RedisState(url)
    for start in range(0, len(events), BATCH):
        entries = [Entry(0, start + i, event) for i, event in enumerate(events[start : start + BATCH])]
        await state.apply([Span(LOG, 0, start, start + len(entries), healing=True)], entries)
    real, oracle = await state.read(asked), await remembered(events).read(asked)
    await state.close()
    wrong = {str(SLOTS[column]) for column in np.nonzero((real != oracle).any(axis=0))[0]}
    assert not wrong
    assert vectors(real, asked).tobytes() == vectors(oracle, asked).tobytes()


def asked_after(event: Transaction) -> list[Transaction]:
    steps = (0, 1, MINUTE, HOUR, 12 * HOUR, DAY, 7 * DAY, 30 * DAY, 61 * DAY, -HOUR, -DAY)
    return [event._replace(event_id=f"asked{i}", occurred_at=START + DAY + s) for i, s in enumerate(steps)]


def test_100_000_payments_in_a_day(redis_flushed: str) -> None:
    events = payments(100_000, 2_599)
    asyncio.run(assert_equal(redis_flushed, events, asked_after(events[0])[::3]))


@pytest.mark.parametrize("amount", [5_000_000_000, MAX_AMOUNT])
def test_large_amounts(redis_flushed: str, amount: int) -> None:
    """R$ 50 million and the largest that the contract takes: sums and squares pass what the narrow tiles
    hold, and squares what a float64 holds."""
    events = payments(2_000, amount, payers=3)
    asyncio.run(assert_equal(redis_flushed, events, asked_after(events[0])))


def test_tiles_widen_in_the_middle_of_a_life(redis_flushed: str) -> None:
    events = payments(600, 1_000, payers=2)
    events = [e._replace(amount=MAX_AMOUNT) if i in (200, 201, 450) else e for i, e in enumerate(events)]
    asyncio.run(assert_equal(redis_flushed, events, asked_after(events[0])))


def test_entities_expire(redis_flushed: str) -> None:
    """What nobody asks for any more goes: garbage collection, longer than anything is read for."""
    asyncio.run(assert_equal(redis_flushed, payments(50, 100), []))
    with redis.Redis.from_url(redis_flushed) as client:
        kept = [key for key in client.keys("*") if b":log:" not in key and b"numbers" not in key]
        assert len(kept) > 100
        assert all(0 < client.ttl(key) <= TTL_SECONDS for key in kept)
