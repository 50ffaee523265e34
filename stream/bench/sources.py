"""Where the bench's traffic comes from: a history up to a cut, and the stream that goes on from there.

Each source is written as files in our columns (DESIGN section 4), so that the history goes the way of
`features build` and the stream that of `vigia publish`.
"""

import heapq
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from features.files import read_reports
from models.dataset import Span
from stream.bench.crowd import Crowd
from stream.bench.handbook import handbook_file, history
from stream.fields import rfc3339
from stream.simulate import SimulationConfig, simulate
from stream.simulate.files import write
from stream.transactions_file import open_transactions

CUT = datetime(2018, 7, 15, tzinfo=UTC)
"""105 days of the Handbook before it, so every window is full; 31 days, about 300,000 payments, behind it."""

DENSITY = SimulationConfig(days=120.0, accounts=5_000, transactions_per_day=9_600.0)
"""The Handbook's: its payers make about two payments a day."""
QUICK = SimulationConfig(days=25.0, accounts=500, transactions_per_day=1_500.0, fraud_rate=0.03)
_STREAM_DAYS = {DENSITY: 31, QUICK: 9}


class Message(NamedTuple):
    """One record to publish; the topic is without its prefix."""

    topic: str
    key: bytes
    value: bytes


class Part(NamedTuple):
    """Transactions and reports of one side of the cut."""

    transactions: Path
    reports: Path | None


@dataclass(frozen=True)
class Source:
    """Traffic as files."""

    name: str
    history: Part
    stream: Part
    train: Span | None = None
    """Days of the history that a model is trained on, if it has frauds that were reported."""

    def payments_a_day(self) -> float:
        """Of the history, on average."""
        times = pq.read_table(self.history.transactions, columns=["occurred_at"])["occurred_at"]
        span = pc.subtract(pc.max(times), pc.min(times)).as_py()
        return float(len(times) / (span / timedelta(days=1)))

    def messages(self, transactions: int) -> list[Message]:
        """The first so many payments of the stream, with the reports made meanwhile, in event time."""
        return list(_until(heapq.merge(_reports(self.stream), _payments(self.stream)), transactions))


def _until(timed: Iterator[tuple[int, int, Message]], transactions: int) -> Iterator[Message]:
    left = transactions
    for _, _, message in timed:
        yield message
        left -= message.topic == "transactions"
        if left == 0:
            return


def _payments(part: Part) -> Iterator[tuple[int, int, Message]]:
    times = pq.read_table(part.transactions, columns=["occurred_at"])["occurred_at"]
    milliseconds = times.cast(pa.timestamp("ms", "UTC")).cast(pa.int64()).to_pylist()
    rows = zip(milliseconds, open_transactions(part.transactions).messages(), strict=True)
    for number, (time, (key, value)) in enumerate(rows):
        yield time, 1 + number, Message("transactions", key or b"", value)


def _reports(part: Part) -> Iterator[tuple[int, int, Message]]:
    """Placed before the payments of their time."""
    if part.reports is None:
        return
    for number, report in enumerate(islice(read_reports(part.reports).events(), None)):
        told = {name: value for name, value in report._asdict().items() if value is not None}
        value = orjson.dumps({**told, "reported_at": rfc3339(report.reported_at)})
        yield (
            report.reported_at,
            -(2**31) + number,
            Message("fraud-reports", report.payer_account.encode(), value),
        )


def main_source(folder: Path, quick: bool = False) -> Source:
    """The Handbook's stream; simulated traffic of the same density where this machine has no Handbook."""
    if quick:
        return _simulated(folder, QUICK)
    if handbook_file().exists():
        return _written(folder, f"handbook-{CUT.date()}", _cut_handbook, _days_before(CUT.date()))
    return _simulated(folder, DENSITY)


def _simulated(folder: Path, config: SimulationConfig) -> Source:
    name = f"simulated-{config.accounts}-{config.transactions_per_day:g}-{config.days:g}d"
    cut = config.end - timedelta(days=_STREAM_DAYS[config])

    def made(place: Path) -> tuple[Part, Part]:
        whole, at = simulate(config), round(cut.timestamp() * 1000)
        before = write(whole.between(config.start_ms, at), place / "history")
        after = write(whole.between(at, config.end_ms), place / "stream")
        return Part(*before), Part(*after)

    return _written(folder, name, made, _days_before(cut.date()))


def crowd_source(folder: Path, crowd: Crowd, stream: int) -> Source:
    """`stream` payments go on from the crowd's history; it has no reports."""

    def made(place: Path) -> tuple[Part, Part]:
        parts = crowd.payments(0, crowd.history), crowd.payments(crowd.history, stream)
        paths = [place / name / "transactions.parquet" for name in ("history", "stream")]
        for path, table in zip(paths, parts, strict=True):
            path.parent.mkdir(parents=True, exist_ok=True)
            pq.write_table(table, path)
        return Part(paths[0], None), Part(paths[1], None)

    return _written(folder, f"{crowd.name}-{stream}", made)


def _cut_handbook(place: Path) -> tuple[Part, Part]:
    """Without its 32 payments of 0.00, which no Pix payment is: their dead letters are no decisions."""
    payments, reports = history(handbook_file())
    tables = payments.filter(pc.greater(payments["amount"], 0.0)), reports
    times = "occurred_at", "reported_at"
    parts: list[list[Path]] = [[], []]
    for table, time, name in zip(tables, times, ("transactions", "reports"), strict=True):
        at = pa.scalar(CUT, pa.timestamp("ms", "UTC"))
        sides = pc.less(table[time], at), pc.greater_equal(table[time], at)
        for side, where, paths in zip(sides, ("history", "stream"), parts, strict=True):
            path = place / where / f"{name}.parquet"
            path.parent.mkdir(parents=True, exist_ok=True)
            pq.write_table(table.filter(side).sort_by(time), path)
            paths.append(path)
    return Part(*parts[0]), Part(*parts[1])


def _written(
    folder: Path, name: str, make: Callable[[Path], tuple[Part, Part]], train: Span | None = None
) -> Source:
    """The files as an earlier run wrote them, or made now."""
    place = folder / name
    done = place / "written"
    if not done.exists():
        make(place)
        done.touch()
    return Source(name, _part(place / "history"), _part(place / "stream"), train)


def _part(place: Path) -> Part:
    reports = place / "reports.parquet"
    return Part(place / "transactions.parquet", reports if reports.exists() else None)


def _days_before(cut: date) -> Span:
    """A week, whose reports were made before the cut."""
    return Span(cut - timedelta(days=15), cut - timedelta(days=9))
