"""What was served is what a replay computes, bit for bit; and a skew between the two is caught by name."""

import asyncio
import base64
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from features import catalog, memory_state
from features.catalog import NAMES
from features.grouped import Grouped
from features.redis_state import RedisState
from features.replay import build
from stream.fields import rfc3339
from stream.parity import Event, FeatureRecord, Source, differences
from stream.simulate import SimulationConfig, simulate
from stream.simulate.files import write
from stream.simulate.simulation import Simulation

from ..world import World

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

Messages = list[tuple[str, bytes | None, bytes]]
Eventually = Callable[..., None]

ROOT = Path(__file__).parents[2]
SHARED = Path(os.environ.get("VIGIA_DATA", ROOT.parent / "shared" / "data"))
HANDBOOK = SHARED / "fraud-handbook"
SHARDS = 4
"""Of the simulated traffic; the Handbook's goes to a state on one."""


def simulation(n: int) -> Simulation:
    """n transactions over three weeks of few accounts, so that histories and reports are rich."""
    config = SimulationConfig(seed=8, days=21, accounts=150, transactions_per_day=n / 21, fraud_rate=0.05)
    return simulate(config)


def sent(simulated: Simulation) -> Messages:
    return [(message.topic, message.key, message.value) for message in simulated.messages()]


def served(world: World, n: int, seconds: float = 120) -> tuple[list[FeatureRecord], dict[Source, Event]]:
    """The feature log of n events, and the records that it is of."""
    world.wait_for_logged(n, seconds)
    inputs = {(record.topic, record.partition, record.offset): event for record, event in world.events()}
    return world.feature_log(), inputs


@pytest.fixture
def simulated_and_served(
    world: World, eventually: Eventually
) -> tuple[list[FeatureRecord], dict[Source, Event]]:
    messages = sent(simulation(3000))
    workers = [world.worker(VIGIA_STATE_SHARDS=str(SHARDS)) for _ in range(2)]
    for worker in workers:
        eventually(worker.ready, "ready")
    world.publish(messages, rate=1500)
    log, inputs = served(world, len(messages))
    assert all(worker.metric('vigia_events_total{topic="transactions"}') > 0 for worker in workers)
    return log, inputs


def test_four_partitions_and_two_workers(
    simulated_and_served: tuple[list[FeatureRecord], dict[Source, Event]], monkeypatch: pytest.MonkeyPatch
) -> None:
    log, inputs = simulated_and_served
    assert {source for source, *_ in log} == set(inputs)
    assert sum(record.vector is None for record in log) > 50, "reports"
    assert {shard for record in log for shard, _ in record.numbers} == set(range(SHARDS))
    assert differences(log, inputs, SHARDS) == []
    planted_in_catalog(monkeypatch)
    told = differences(log, inputs, SHARDS)
    assert [found.feature for found in told] == ["payer_sum_24h"]
    assert 1000 < told[0].vectors <= 3000
    monkeypatch.undo()
    planted_in_oracle(monkeypatch)
    told = differences(log, inputs, SHARDS)
    assert {found.feature for found in told} == {name for name in NAMES if "_distinct_" in name}


def planted_in_catalog(monkeypatch: pytest.MonkeyPatch) -> None:
    """Offline, one column of the catalog is computed by another formula: centavos to the real."""
    features = list(catalog.FEATURES)
    at = NAMES.index("payer_sum_24h")
    features[at] = replace(features[at], formula=lambda _, centavos: centavos / 100.1)
    monkeypatch.setattr(catalog, "_GROUPED", Grouped(features, catalog.SLOTS))


def planted_in_oracle(monkeypatch: pytest.MonkeyPatch) -> None:
    """Offline, one statistic of the windows counts the payment at hand too."""
    honest = memory_state.READ["distinct"]
    skewed = {**memory_state.READ, "distinct": lambda history, ask: honest(history, ask) + 1.0}
    monkeypatch.setattr(memory_state, "READ", skewed)


@pytest.mark.skipif(not HANDBOOK.is_dir(), reason=f"the Handbook's data are not in {HANDBOOK}")
def test_fifty_thousand_events_of_the_handbook(world: World, eventually: Eventually) -> None:
    messages = handbook(50_000)
    workers = [world.worker(), world.worker()]
    for worker in workers:
        eventually(worker.ready, "ready")
    world.publish(messages)
    log, inputs = served(world, len(messages), 300)
    assert len([record for record in log if record.vector]) == 50_000
    assert len([record for record in log if not record.vector]) > 200
    assert differences(log, inputs) == []


def handbook(n: int) -> Messages:
    """The first n payments of a twelfth of its customers, and a CONFIRMED report 7 days after each fraud."""
    table = pq.read_table(next(HANDBOOK.glob("*.parquet")))
    chosen = table.filter(pc.equal(pc.bit_wise_and(table["CUSTOMER_ID"], 15), 3)).sort_by("TX_DATETIME")
    rows = chosen.slice(0, n).to_pylist()
    assert len(rows) == n
    payments = [(row["TX_DATETIME"], "transactions", payment(row)) for row in rows]
    reports = [
        (row["TX_DATETIME"] + timedelta(days=7), "fraud-reports", report(row))
        for row in rows
        if row["TX_FRAUD"] and row["TX_DATETIME"] + timedelta(days=7) <= rows[-1]["TX_DATETIME"]
    ]
    merged = sorted(payments + reports, key=lambda message: message[:2])
    return [(topic, json.loads(value)["key"].encode(), value) for _, topic, value in merged]


def instant(time: datetime) -> str:
    return rfc3339(int(time.replace(tzinfo=UTC).timestamp() * 1000))


def payment(row: dict[str, Any]) -> bytes:
    return orjson.dumps(
        {
            "key": f"c{row['CUSTOMER_ID']}",
            "event_id": f"t{row['TRANSACTION_ID']}",
            "occurred_at": instant(row["TX_DATETIME"]),
            "amount": f"{max(row['TX_AMOUNT'], 0.01):.2f}",
            "payer": {"account": f"c{row['CUSTOMER_ID']}"},
            "payee": {"account": f"t{row['TERMINAL_ID']}"},
        }
    )


def report(row: dict[str, Any]) -> bytes:
    return orjson.dumps(
        {
            "key": f"c{row['CUSTOMER_ID']}",
            "report_id": f"r{row['TRANSACTION_ID']}",
            "transaction_event_id": f"t{row['TRANSACTION_ID']}",
            "payer_account": f"c{row['CUSTOMER_ID']}",
            "payee_account": f"t{row['TERMINAL_ID']}",
            "reported_at": instant(row["TX_DATETIME"] + timedelta(days=7)),
            "status": "CONFIRMED",
            "type": "SCAM",
        }
    )


def test_one_partition_and_one_worker_is_features_build(
    world: World, eventually: Eventually, tmp_path: Path
) -> None:
    """The two topics are read side by side, so each report is published when all before it was taken."""
    world.prefix, world.partitions = f"one-{world.prefix}", 1
    world.create_topics()
    simulated = simulation(2000)
    worker = world.worker()
    eventually(worker.ready, "ready")
    total = 0
    for part in between_reports(sent(simulated)):
        total += world.publish(part)
        eventually(lambda: world.held("feature-log") == total, "taken", every=0.005)  # noqa: B023
    assert logged(world) == built(simulated, world, tmp_path)


def between_reports(messages: Messages) -> Iterator[Messages]:
    """Runs of transactions, and runs of reports."""
    rest = iter(messages)
    part = list(islice(rest, 1))
    for message in rest:
        if message[0] != part[-1][0]:
            yield part
            part = []
        part.append(message)
    yield part


def logged(world: World) -> dict[str, bytes]:
    values = [json.loads(message.value() or b"") for message in world.read("feature-log")]
    return {value["event_id"]: base64.b64decode(value["vector"]) for value in values if "vector" in value}


def built(simulated: Simulation, world: World, folder: Path) -> dict[str, bytes]:
    """`features build` of the same history, in another database of the same Redis."""
    transactions, reports = write(simulated, folder)
    out = folder / "features.parquet"

    async def run() -> None:
        state = RedisState(world.redis.address.rpartition("/")[0] + "/1")
        await build(transactions, reports, out, state, lambda *_: None)
        await state.close()

    asyncio.run(run())
    table = pq.read_table(out)
    matrix = np.stack([table[name].to_numpy() for name in NAMES], axis=1).astype("<f4")
    rows = zip(table["event_id"].to_pylist(), matrix, strict=True)
    return {event_id: row.tobytes() for event_id, row in rows}
