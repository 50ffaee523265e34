"""History to vectors: the file that `features build` writes is what the oracle says, bit for bit."""

import asyncio
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features.catalog import FEATURES_VERSION, NAMES
from features.errors import BadInput
from features.memory_state import MemoryState
from features.redis_state import RedisState
from features.replay import BuildReport, build
from features.state import State
from stream.simulate import SimulationConfig, simulate
from stream.simulate.files import write

pytestmark = pytest.mark.redis


def run(state: State, transactions: Path, reports: Path | None, out: Path) -> BuildReport:
    async def go() -> BuildReport:
        try:
            return await build(transactions, reports, out, state, lambda *_: None)
        finally:
            await state.close()

    return asyncio.run(go())


def test_redis_builds_what_the_oracle_builds(redis_flushed: str, tmp_path: Path) -> None:
    config = SimulationConfig(days=20, accounts=100, transactions_per_day=60, fraud_rate=0.05)
    transactions, reports = write(simulate(config), tmp_path)
    report = run(RedisState(redis_flushed), transactions, reports, tmp_path / "redis.parquet")
    run(MemoryState(), transactions, reports, tmp_path / "oracle.parquet")
    real, oracle = (pq.read_table(tmp_path / name) for name in ("redis.parquet", "oracle.parquet"))
    assert report.vectors == real.num_rows > 1000
    assert report.reports > 10
    assert real.column_names == [
        "event_id",
        "occurred_at",
        "payer_account",
        "payee_account",
        "amount",
        *NAMES,
    ]
    assert real.schema.metadata[b"features_version"] == FEATURES_VERSION.encode()
    for name in real.column_names[:5]:
        assert real.column(name).equals(oracle.column(name)), name
    for name in NAMES:
        a, b = (table.column(name).to_numpy().view("<u4") for table in (real, oracle))
        assert np.array_equal(a, b), name


def table(n: int, **columns: object) -> pa.Table:
    times = [datetime(2026, 1, 1, 12, i, tzinfo=UTC) for i in range(n)]
    given = {
        "event_id": [f"e{i}" for i in range(n)],
        "occurred_at": pa.array(times, pa.timestamp("ms", "UTC")),
        "amount": [10.0] * n,
        "payer_account": ["a"] * n,
        "payee_account": ["b"] * n,
    }
    return pa.table(given | columns)


def test_bad_rows_are_left_out_and_counted_repeats_too(redis_flushed: str, tmp_path: Path) -> None:
    ids = ["e0", "e1", "e1", "e3", "x" * 65, None]
    amounts = [57.16, 10.0, 10.0, 0.0, 10.0, 10.0]
    times = pa.array(
        [datetime(2026, 1, 1, 12, m, tzinfo=UTC) for m in (5, 1, 1, 3, 4, 0)], pa.timestamp("us", "UTC")
    )
    pq.write_table(table(6, event_id=ids, amount=amounts, occurred_at=times), tmp_path / "t.parquet")
    report = run(RedisState(redis_flushed), tmp_path / "t.parquet", None, tmp_path / "f.parquet")
    assert dict(report.rejected) == {"AMOUNT_NOT_POSITIVE": 1, "FIELD_LENGTH": 1, "FIELD_MISSING": 1}
    assert report.repeats == 1
    built = pq.read_table(tmp_path / "f.parquet")
    assert built.column("event_id").to_pylist() == ["e1", "e0"], "in event time"
    assert built.column("amount").to_pylist()[1] == Decimal("57.16")
    assert built.column("payer_count_1h").to_pylist() == [0.0, 1.0]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"ammount": ["1"]}, "`ammount` is not in the contract"),
        ({"occurred_at": ["2026-01-01"]}, "`occurred_at` is of type string, expected a timestamp"),
        ({"amount": None}, "required column `amount` is missing"),
    ],
)
def test_wrong_columns_are_named(tmp_path: Path, changes: dict[str, object], message: str) -> None:
    columns = {name: values for name, values in changes.items() if values is not None}
    wrong = table(1, **columns).drop_columns([name for name in changes if name not in columns])
    pq.write_table(wrong, tmp_path / "t.parquet")
    with pytest.raises(BadInput, match=message):
        run(MemoryState(), tmp_path / "t.parquet", None, tmp_path / "f.parquet")
    assert not (tmp_path / "f.parquet").exists()
