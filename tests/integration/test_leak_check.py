"""A vector that knows the future is caught, and the feature is named."""

import asyncio
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from features.catalog import FEATURES_VERSION, NAMES
from features.leak import LeakReport, leak_check
from features.memory_state import MemoryState
from features.redis_state import RedisState
from features.replay import build
from models.dataset import open_features
from stream.simulate import SimulationConfig, simulate
from stream.simulate.files import write

pytestmark = pytest.mark.redis


@dataclass(frozen=True)
class History:
    folder: Path
    transactions: Path
    reports: Path
    middle: datetime

    def build(self, reports: Path, name: str) -> Path:
        out = self.folder / name
        asyncio.run(build(self.transactions, reports, out, MemoryState(), lambda *_: None))
        return out


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> History:
    folder = tmp_path_factory.mktemp("history")
    config = SimulationConfig(days=16, accounts=100, transactions_per_day=40, fraud_rate=0.1)
    transactions, reports = write(simulate(config), folder)
    times = pq.read_table(transactions).column("occurred_at")
    first = pc.min(times).as_py()
    return History(folder, transactions, reports, first.astimezone(UTC) + timedelta(days=10))


def check(url: str, history: History, features: Path, sample: int = 10_000) -> LeakReport:
    async def go() -> LeakReport:
        state = await RedisState.connect(url, 1)
        try:
            source = open_features(features, NAMES, FEATURES_VERSION)
            return await leak_check(
                state, history.transactions, history.reports, source, history.middle, sample
            )
        finally:
            await state.close()

    return asyncio.run(go())


@pytest.mark.parametrize("sample", [10_000, 40])
def test_vectors_of_a_history_cut_off_are_the_originals(
    redis_flushed: str, history: History, sample: int
) -> None:
    report = check(redis_flushed, history, history.build(history.reports, "sound.parquet"), sample)
    assert report.sound
    assert report.compared == 40 if sample == 40 else report.compared > 300


def test_a_report_that_was_known_too_early_is_caught(redis_flushed: str, history: History) -> None:
    """The label itself, as a feature of the past: reports dated on the day before."""
    table = pq.read_table(history.reports)
    at = table.column_names.index("reported_at")
    early = pc.subtract(table.column(at), pa.scalar(timedelta(days=5), pa.duration("us")))
    leaky = history.folder / "early.parquet"
    pq.write_table(table.set_column(at, "reported_at", early.cast(table.column(at).type)), leaky)
    report = check(redis_flushed, history, history.build(leaky, "leaky.parquet"))
    assert report.leaks
    assert not report.sound
    assert all("report" in leak.feature for leak in report.leaks)


def _report(history: History, paid: dict[str, Any], reported_at: datetime, path: Path) -> None:
    """A file of one report, of this payment."""
    report = pq.read_table(history.reports).slice(0, 1)
    report = report.drop_columns([name for name in ("device_id", "payee_key") if name in report.column_names])
    values = {name: paid[name] for name in ("payer_account", "payer_ispb", "payee_account", "payee_ispb")}
    values |= {"transaction_event_id": paid["event_id"], "reported_at": reported_at}
    for name, value in values.items():
        at = report.column_names.index(name)
        report = report.set_column(at, name, pa.array([value], report.schema.field(at).type))
    pq.write_table(report, path)


def test_a_leak_of_one_account_in_many_is_caught_by_a_small_sample(
    redis_flushed: str, history: History, tmp_path: Path
) -> None:
    """One report, that comes after the cut; the vectors know it a second after the payment."""
    payments = pq.read_table(history.transactions).sort_by("occurred_at")
    before = payments.filter(pc.less(payments["occurred_at"], pa.scalar(history.middle)))
    accounts = before["payer_account"].to_pylist() + before["payee_account"].to_pylist()
    late = {*before["payer_account"].to_pylist()[-20:], *before["payee_account"].to_pylist()[-20:]}
    paid = next(
        row for row in before.to_pylist()
        if row["payee_account"] not in late and accounts.count(row["payee_account"]) == 3
    )  # fmt: skip
    _report(history, paid, history.middle + timedelta(days=1), tmp_path / "true.parquet")
    _report(history, paid, paid["occurred_at"] + timedelta(seconds=1), tmp_path / "early.parquet")
    leaky = history.build(tmp_path / "early.parquet", "rare.parquet")
    told = replace(history, reports=tmp_path / "true.parquet")
    assert check(redis_flushed, told, leaky, 40).leaks


def test_a_later_total_is_caught(redis_flushed: str, history: History) -> None:
    """A feature that sums what the payer pays on the whole, as a group-by over the whole file does."""
    table = pq.read_table(history.build(history.reports, "sound.parquet"))
    totals = table.group_by("payer_account").aggregate([("transaction_amount", "sum")])
    joined = table.select(["payer_account"]).append_column("row", pa.array(range(len(table))))
    joined = joined.join(totals, "payer_account").sort_by("row")
    name = (
        "payer_sum_30d"
        if "payer_sum_30d" in NAMES
        else next(n for n in NAMES if n.startswith("payer_") and "sum" in n)
    )
    planted = table.set_column(
        table.column_names.index(name), name, joined.column("transaction_amount_sum").cast(pa.float32())
    )
    path = history.folder / "totals.parquet"
    pq.write_table(planted, path)
    report = check(redis_flushed, history, path)
    assert [leak.feature for leak in report.leaks] == [name]
    assert report.leaks[0].event_id in table.column("event_id").to_pylist()


def test_a_payment_that_is_not_there_is_told(redis_flushed: str, history: History) -> None:
    table = pq.read_table(history.build(history.reports, "sound.parquet"))
    path = history.folder / "short.parquet"
    pq.write_table(table.slice(3), path)
    report = check(redis_flushed, history, path)
    assert (len(report.missing), report.sound) == (3, False)
