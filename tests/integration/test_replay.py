"""History to vectors: the file that `features build` writes is what the oracle says, bit for bit."""

import asyncio
import json
import signal
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import redis

from deploy.local import service
from deploy.local.process import wait_until
from features.catalog import FEATURES_VERSION, NAMES
from features.errors import BadInput, VigiaError
from features.memory_state import MemoryState
from features.redis_state import RedisState
from features.replay import BuildReport, build
from features.state import Answer, Entry, Span, State, StateError, Status
from features.work import Checkpoint, Work, belongings, open_work
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
    assert_same(real, oracle)


def assert_same(one: pa.Table, other: pa.Table) -> None:
    """Row by row, bit by bit."""
    assert one.schema.equals(other.schema, check_metadata=True)
    for name in one.column_names[:5]:
        assert one.column(name).equals(other.column(name)), name
    for name in NAMES:
        a, b = (table.column(name).to_numpy().view("<u4") for table in (one, other))
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


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """About 30,000 payments of 60 days, and their reports: long enough to be killed twice meanwhile."""
    config = SimulationConfig(days=60, accounts=100, transactions_per_day=500, fraud_rate=0.02)
    return write(simulate(config), tmp_path_factory.mktemp("history"))


def start_build(history: Sequence[Path], out: Path, every: int = 4000) -> subprocess.Popen[str]:
    words = ["--transactions", history[0], "--reports", history[1], "--out", out, "--checkpoint-every", every]
    command = [sys.executable, "-m", "stream.cli", "features", "build", *map(str, words)]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True)


def events_kept(work: Path) -> int:
    try:
        return int(json.loads((work / "checkpoint.json").read_text())["events"])
    except OSError:
        return 0


def end_after(build: subprocess.Popen[str], work: Path, events: int, number: signal.Signals) -> str:
    """Send the signal once a checkpoint lies beyond so many events; what it wrote to standard error."""

    def beyond() -> bool:
        assert build.poll() is None, build.communicate()[1]
        return events_kept(work) > events

    assert wait_until(beyond, 60, every=0.002)
    build.send_signal(number)
    said = build.communicate(timeout=30)[1]
    assert build.returncode == (-number if number == signal.SIGKILL else 130), said
    return said


def test_a_killed_build_goes_on_to_the_same_file(
    redis_flushed: str, history: tuple[Path, Path], tmp_path: Path
) -> None:
    out, work = tmp_path / "killed.parquet", tmp_path / "killed.parquet.work"
    end_after(start_build(history, out), work, 0, signal.SIGKILL)
    orphan = service.find(work)
    assert orphan is not None
    assert orphan.alive()
    said = end_after(start_build(history, out), work, events_kept(work), signal.SIGINT)
    assert "going on from event" in said
    assert "the same command goes on from event" in said
    assert not orphan.alive()
    assert not out.exists()
    (work / "part-000099.parquet").touch()  # of a stretch that was never counted

    last = start_build(history, out)
    said = last.communicate(timeout=60)[1]
    assert last.returncode == 0, said
    assert "going on from event" in said
    assert [file.name for file in tmp_path.iterdir()] == [out.name], "nothing else is left"
    report = run(RedisState(redis_flushed), *history, tmp_path / "whole.parquet")
    assert report.vectors > 8000
    assert_same(pq.read_table(out), pq.read_table(tmp_path / "whole.parquet"))


def test_a_history_that_redis_holds_is_refused(
    redis_flushed: str, history: tuple[Path, Path], tmp_path: Path
) -> None:
    run(RedisState(redis_flushed), *history, tmp_path / "first.parquet")
    with redis.Redis.from_url(redis_flushed) as client:
        keys = client.dbsize()
    for reports in (history[1], None):
        with pytest.raises(BadInput, match=r"already holds .* would count twice.*flushdb"):
            run(RedisState(redis_flushed), history[0], reports, tmp_path / "second.parquet")
    with redis.Redis.from_url(redis_flushed) as client:
        assert client.dbsize() == keys
    assert [file.name for file in tmp_path.iterdir()] == ["first.parquet"]


def test_a_redis_that_lost_data_meanwhile_ends_the_build(
    redis_flushed: str, history: tuple[Path, Path], tmp_path: Path
) -> None:
    flushed = []

    def flush_once(done: int, _: int) -> None:
        if not flushed and done > 2000:
            flushed.append(redis.Redis.from_url(redis_flushed).flushall())

    async def go() -> None:
        state = RedisState(redis_flushed)
        try:
            await build(*history, tmp_path / "f.parquet", state, flush_once)
        finally:
            await state.close()

    with pytest.raises(VigiaError, match="Redis lost"):
        asyncio.run(go())
    assert list(tmp_path.iterdir()) == []


class Zombie(MemoryState):
    """One that takes an event for an earlier call's."""

    async def apply(self, spans: Sequence[Span], entries: Sequence[Entry], versions: str = "") -> Answer:
        answer = await super().apply(spans, entries, versions)
        answer.statuses[-1:] = Status.STALE
        return answer


def test_no_vector_is_dropped_silently(tmp_path: Path) -> None:
    pq.write_table(table(3), tmp_path / "t.parquet")
    with pytest.raises(StateError, match=r"event 2 .*STALE"):
        run(Zombie(), tmp_path / "t.parquet", None, tmp_path / "f.parquet")
    assert not (tmp_path / "f.parquet").exists()


def keep_one(work: Work) -> None:
    work.part(0).touch()
    work.dump.touch()
    work.keep(Checkpoint(10, 20, 1))


def test_a_work_folder_of_something_else_is_begun_anew(tmp_path: Path) -> None:
    transactions, out = tmp_path / "t.parquet", tmp_path / "f.parquet"
    pq.write_table(table(1), transactions)
    mine = belongings(transactions, None)
    pq.write_table(table(2), transactions)
    assert belongings(transactions, None) != mine

    with open_work(out, mine, lambda: 1000.0) as work:
        assert not work.began_anew
        keep_one(work)
        with pytest.raises(VigiaError, match="another process"), open_work(out, mine):
            pass
    with open_work(out, mine, lambda: 1000.0) as work:
        assert work.checkpoint == Checkpoint(10, 20, 1, saved_at=1000.0)
        assert work.dump.exists()
    with open_work(out, mine, lambda: 1000.0 + 31 * 86_400) as work:
        assert work.began_anew, "what Redis keeps expires by the clock of the wall"
        keep_one(work)
    with open_work(out, belongings(transactions, None)) as work:
        assert work.began_anew
        assert work.parts() == []
        assert not list(work.folder.glob("*.rdb"))
    assert not work.folder.exists(), "nothing to go on from"
