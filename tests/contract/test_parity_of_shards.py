"""The numbers of many shards give every row again: each shard replayed alone, in its own order."""

import asyncio
from typing import Any

import numpy as np
import pytest

from features.catalog import vectors
from features.redis_state import RedisState
from features.state import Entry, LogId, Span
from features.transaction import FraudReport, Transaction
from features.windows import HOUR, MINUTE
from stream.parity import FeatureRecord, differences

pytestmark = pytest.mark.redis

NOW = 1_795_275_000_000


def events() -> list[Any]:
    rng = np.random.default_rng(11)
    found: list[Any] = []
    for i in range(400):
        payer, payee = rng.choice(40, 2, replace=False)
        at = NOW + i * MINUTE - int(rng.integers(0, HOUR))
        if i % 9 == 0:
            found.append(FraudReport(f"r{i}", f"e{i - 3}", f"a{payer}", f"a{payee}", at, "CONFIRMED", "SCAM"))
        else:
            device, key = (f"d{payer}" if i % 3 else None), (f"k{payee}" if i % 4 else None)
            found.append(
                Transaction(
                    f"e{i}", at, int(rng.integers(1, 9_999)), f"a{payer}", f"a{payee}",
                    device_id=device, payee_key=key,
                )
            )  # fmt: skip
    return found


async def logged(url: str, shards: int) -> tuple[list[FeatureRecord], dict[Any, Any]]:
    state, log, inputs = RedisState(url, shards), [], {}
    two = [LogId("g", "transactions", "t", p) for p in (0, 1)]
    for start in range(0, 400, 50):
        batch = events()[start : start + 50]
        entries = [Entry(i % 2, start + i, event) for i, event in enumerate(batch)]
        answer = await state.apply([Span(log_id, 0, start, start + 50) for log_id in two], entries)
        payments = [event for event in batch if isinstance(event, Transaction)]
        rows = iter(vectors(answer.slots, payments))
        for entry, numbers in zip(entries, answer.sequences, strict=True):
            source = ("transactions", entry.span, entry.offset)
            vector = next(rows).tobytes() if isinstance(entry.event, Transaction) else None
            log.append(FeatureRecord(source, numbers, vector))
            inputs[source] = entry.event
    await state.close()
    return log, inputs


@pytest.mark.parametrize("shards", [1, 7])
def test_every_row_comes_again(redis_flushed: str, shards: int) -> None:
    log, inputs = asyncio.run(logged(redis_flushed, shards))
    assert len({shard for record in log for shard, _ in record.numbers}) == shards
    assert differences(log, inputs, shards) == []
    swapped = [r._replace(vector=log[1].vector) if r.source == log[2].source else r for r in log]
    assert differences(swapped, inputs, shards)
