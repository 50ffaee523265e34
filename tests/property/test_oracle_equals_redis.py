"""The oracle and the Lua in a real Redis answer the same bits, whatever the order, lateness or repetition."""

import asyncio

import numpy as np
import redis.asyncio as aioredis
from hypothesis import given, note
from hypothesis import strategies as st

from features.catalog import SLOTS
from features.memory_state import MemoryState
from features.redis_state import RedisState
from features.state import Entry, LogId, Span
from features.transaction import FraudReport, Transaction
from features.windows import DAY, HOUR, MINUTE, REPORT_DELAY, SECOND

LOG = LogId("g", "transactions", "t1", 0)
START = 1_790_000_000_000 // DAY * DAY

# Steps that sit on, just before and just after the borders of tiles, windows and retentions.
STEPS = [
    sign * base + jitter
    for base in (0, SECOND, MINUTE, 5 * MINUTE, 30 * MINUTE, HOUR, 3 * HOUR, 6 * HOUR, DAY, 4 * DAY,
                 7 * DAY, 30 * DAY, 60 * DAY, 75 * DAY, 76 * DAY)
    for sign in (1, -1)
    for jitter in (-1, 0, 1)
]  # fmt: skip

names = st.sampled_from(["a", "b", "c"])
amounts = st.one_of(st.integers(1, 20_000), st.sampled_from([5_000_000_000, 100_000_000_000, 9_490_626_600]))


@st.composite
def events(draw: st.DrawFn) -> list[Transaction | FraudReport]:
    time, out = START, []
    for i in range(draw(st.integers(1, 40))):
        time = max(START - 80 * DAY, time + draw(st.sampled_from(STEPS)))
        if draw(st.integers(0, 4)) == 0:
            out.append(
                FraudReport(
                    f"r{i}",
                    f"e{draw(st.integers(0, 6))}",
                    draw(names),
                    draw(names),
                    time,
                    draw(st.sampled_from(["OPEN", "CONFIRMED", "REJECTED", "WITHDRAWN"])),
                    "SCAM",
                    device_id=draw(st.sampled_from([None, "d1", "d2"])),
                    payee_key=draw(st.sampled_from([None, "k1", "k2"])),
                )
            )
        else:
            out.append(
                Transaction(
                    f"e{draw(st.integers(0, 60))}",
                    time,
                    draw(amounts),
                    draw(names),
                    draw(names),
                    payer_ispb=draw(st.sampled_from([None, "00000001"])),
                    device_id=draw(st.sampled_from([None, "d1", "d2"])),
                    payee_key=draw(st.sampled_from([None, "k1", "k2"])),
                )
            )
    return out


@st.composite
def reported_payees(draw: st.DrawFn) -> list[Transaction | FraudReport]:
    """One payee whose payments are mostly reported a report delay later, in their order or nearly."""
    out: list[tuple[int, Transaction | FraudReport]] = []
    for i in range(draw(st.integers(1, 25))):
        time = START + draw(st.integers(0, 20)) * DAY + draw(st.sampled_from([0, 1, HOUR, DAY - 1]))
        time += draw(st.sampled_from([0, 0, 0, 0, 70 * DAY, 80 * DAY]))
        late = draw(st.sampled_from([0, 0, 0, 3 * DAY]))
        out.append((time + late, Transaction(f"e{i}", time, draw(amounts), draw(names), "a")))
        for status in draw(st.sampled_from([[], ["CONFIRMED"], ["CONFIRMED"], ["CONFIRMED", "WITHDRAWN"]])):
            told = time + REPORT_DELAY + draw(st.sampled_from([0, 0, 0, HOUR, -HOUR, DAY]))
            report = FraudReport(f"r{i}{status}", f"e{i}", "b", "a", told, status, "SCAM")
            out.append((told + late, report))
    return [event for _, event in sorted(out, key=lambda item: item[0])]


async def answers(state: MemoryState | RedisState, items: list, calls: int) -> list[bytes]:
    out, size = [], -(-len(items) // calls)
    for start in range(0, len(items), size):
        chunk = items[start : start + size]
        entries = [Entry(0, start + i, event) for i, event in enumerate(chunk)]
        answer = await state.apply([Span(LOG, 0, start, start + len(chunk))], entries, "v1")
        out += [answer.statuses.tobytes(), answer.slots.tobytes()]
    return out


@given(items=events() | reported_payees(), calls=st.integers(1, 4), shards=st.sampled_from([1, 1, 1, 5]))
def test_oracle_equals_redis(redis_url: str, items: list, calls: int, shards: int) -> None:
    async def both() -> tuple[list[bytes], list[bytes]]:
        client = aioredis.from_url(redis_url)
        await client.flushall()
        redis_state = RedisState(redis_url, shards)
        try:
            return await answers(redis_state, items, calls), await answers(MemoryState(), items, calls)
        finally:
            await redis_state.close()
            await client.aclose()

    real, oracle = asyncio.run(both())
    for a, b in zip(real, oracle, strict=True):
        if a != b and len(a) == len(b) and len(a) % (8 * len(SLOTS)) == 0:
            x, y = (np.frombuffer(v, "<f8").reshape(-1, len(SLOTS)) for v in (a, b))
            for row, column in zip(*np.nonzero(x != y), strict=True):
                note(f"row {row} {SLOTS[column]}: redis {x[row, column]} oracle {y[row, column]}")
    assert real == oracle
