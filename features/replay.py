"""History → vectors: Parquet files of transactions and reports through the same state as the live path.

Both files are merged in event time (at equal times a report before a transaction, then the order of the
file) and go through `State.apply` in batches. While Redis works on one batch, the one before it becomes
vectors and the next is read.
"""

import asyncio
import heapq
import secrets
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count, islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from features.catalog import FEATURES_VERSION, NAMES, vectors
from features.errors import BadInput
from features.files import History, read_reports, read_transactions
from features.state import Answer, Entry, LogId, Span, State, Status
from features.transaction import FraudReport, Transaction

BATCH = 512
"""Events a call: enough that a call's fixed cost vanishes, few enough that Redis answers others meanwhile."""

_ROW_GROUP = 32_768

Event = Transaction | FraudReport


@dataclass(frozen=True)
class BuildReport:
    """What a build did. `vectors` = `transactions` - `repeats`; rejected rows are in neither."""

    transactions: int
    reports: int
    vectors: int
    repeats: int
    rejected: Counter[str]


def merged(transactions: History, reports: History | None) -> Iterator[Event]:
    """Both files as one stream in event time; a report before a transaction at equal times."""
    labels = reports.events() if reports else iter(())
    return heapq.merge(labels, transactions.events(), key=_event_time)


def _event_time(event: Event) -> int:
    return event.occurred_at if isinstance(event, Transaction) else event.reported_at


async def build(
    transactions: Path,
    reports: Path | None,
    out: Path,
    state: State,
    on_progress: Callable[[int, int], None],
) -> BuildReport:
    """Write `out`: one row a transaction in event time, with the features as they were before it.

    `on_progress(done, of)` is called after each batch. Raises BadInput (files) or StateError.
    """
    payments = read_transactions(transactions)
    labels = read_reports(reports) if reports else None
    size = len(payments) + (len(labels) if labels else 0)
    written, repeats, done = 0, 0, 0
    with FeaturesWriter(out) as writer:
        async for entries, answer in answers(state, merged(payments, labels)):
            written += writer.add(entries, answer)
            repeats += int(np.isin(answer.statuses, (Status.REPEAT, Status.REUSED)).sum())
            done += len(entries)
            on_progress(done, size)
    rejected = payments.rejected + (labels.rejected if labels else Counter())
    return BuildReport(len(payments), len(labels) if labels else 0, written, repeats, rejected)


async def answers(state: State, events: Iterator[Event]) -> Any:
    """(entries, answer) a batch, in order; one call is under way while the one before it is used."""
    log = LogId("history", "history", secrets.token_hex(8), 0)
    offsets = count()
    pending: tuple[list[Entry], asyncio.Task[Answer]] | None = None
    while True:
        entries = [Entry(0, next(offsets), event) for event in islice(events, BATCH)]
        if pending:
            await pending[1]
        previous = pending
        pending = None
        if entries:
            start = entries[0].offset
            span = Span(log, start, start, start + len(entries), healing=True)
            pending = entries, asyncio.create_task(state.apply([span], entries))
            await asyncio.sleep(0)  # lets the call reach the socket before the last answer is used
        if previous:
            yield previous[0], previous[1].result()
        if not entries:
            return


class FeaturesWriter:
    """The features file, written beside its place and moved there whole."""

    def __init__(self, out: Path) -> None:
        self._out, self._part = out, out.with_name(out.name + ".part")
        columns = [
            ("event_id", pa.string()),
            ("occurred_at", pa.timestamp("ms", "UTC")),
            ("payer_account", pa.string()),
            ("payee_account", pa.string()),
            ("amount", pa.decimal128(18, 2)),
            *((name, pa.float32()) for name in NAMES),
        ]
        self._schema = pa.schema(columns, metadata={"features_version": FEATURES_VERSION})
        self._events: list[Transaction] = []
        self._matrices: list[Any] = []

    def __enter__(self) -> "FeaturesWriter":
        if self._out.is_dir() or not self._out.parent.is_dir():
            raise BadInput(f"--out: {self._out} should be a file in a folder that exists")
        try:
            self._file = pq.ParquetWriter(self._part, self._schema, compression="zstd")
        except OSError as error:
            raise BadInput(f"--out: {self._part} can't be written: {error.strerror}") from None
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            self._flush()
        self._file.close()
        if kind is None:
            self._part.replace(self._out)
        else:
            self._part.unlink(missing_ok=True)

    def add(self, entries: list[Entry], answer: Answer) -> int:
        """Keep the answered transactions' vectors; how many they were."""
        is_payment = [isinstance(entry.event, Transaction) for entry in entries]
        keep = answer.statuses[is_payment] == Status.APPLIED
        payments = [e.event for e in entries if isinstance(e.event, Transaction)]
        events = [event for event, kept in zip(payments, keep, strict=True) if kept]
        self._events += events
        self._matrices.append(vectors(answer.slots[keep], events))
        if len(self._events) >= _ROW_GROUP:
            self._flush()
        return len(events)

    def _flush(self) -> None:
        if not self._events:
            return
        matrix = np.concatenate(self._matrices)
        centavos = pa.array([e.amount for e in self._events], pa.int64()).cast(pa.decimal128(19, 0))
        hundredth = pa.scalar("0.01").cast(pa.decimal128(3, 2))
        keys = [
            pa.array([e.event_id for e in self._events]),
            pa.array([e.occurred_at for e in self._events], pa.timestamp("ms", "UTC")),
            pa.array([e.payer_account for e in self._events]),
            pa.array([e.payee_account for e in self._events]),
            pc.multiply(centavos, hundredth).cast(pa.decimal128(18, 2)),
        ]
        columns = [pa.array(np.ascontiguousarray(matrix[:, i])) for i in range(matrix.shape[1])]
        self._file.write_table(pa.Table.from_arrays([*keys, *columns], schema=self._schema))
        self._events, self._matrices = [], []
