"""History → vectors: Parquet files of transactions and reports through the same state as the live path.

Both files are merged in event time (at equal times a report before a transaction, then the order of the
file) and go through `State.apply` in batches. While Redis works on one batch, the one before it becomes
vectors and the next is read.
"""

import asyncio
import heapq
import secrets
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing
from dataclasses import dataclass, replace
from itertools import count, islice
from pathlib import Path

import numpy as np

from features.catalog import vectors
from features.errors import BadInput, VigiaError
from features.files import History, read_reports, read_transactions
from features.state import Answer, Behind, Entry, LogId, Span, State, StateError, Status
from features.transaction import FraudReport, Transaction
from features.vector_file import VectorWriter, check_out, in_place, join
from features.work import Checkpoint, Work, fingerprint

BATCH = 512
"""Events a call: enough that a call's fixed cost vanishes, few enough that Redis answers others meanwhile."""

CHECKPOINT_EVERY = 196_608
"""Events between two checkpoints: what a kill costs at most, about 25 s of work."""

_SKIPPED = (Status.REPEAT, Status.REUSED)

Event = Transaction | FraudReport
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class BuildReport:
    """What a build did. `vectors` = `transactions` - `repeats`; rejected rows are in neither."""

    transactions: int
    reports: int
    vectors: int
    repeats: int
    rejected: Counter[str]


@dataclass(frozen=True)
class Resumable:
    """How a build is to be gone on from: `save` writes the whole state to `work.dump` before it returns."""

    work: Work
    save: Callable[[], None]
    every: int = CHECKPOINT_EVERY


def merged(transactions: History, reports: History | None) -> Iterator[Event]:
    """Both files as one stream in event time; a report before a transaction at equal times."""
    labels = reports.events() if reports else iter(())
    return heapq.merge(labels, transactions.events(), key=_event_time)


def _event_time(event: Event) -> int:
    return event.occurred_at if isinstance(event, Transaction) else event.reported_at


def history_log(transactions: Path) -> LogId:
    """The applied log of a history: the same file is the same log, so that a state tells it when it comes
    again. Not by its reports, which the state knows one by one. Raises BadInput."""
    return LogId("history", "history", fingerprint(transactions), 0)


async def build(
    transactions: Path,
    reports: Path | None,
    out: Path,
    state: State,
    on_progress: Progress,
    resumable: Resumable | None = None,
) -> BuildReport:
    """Write `out`: one row a transaction in event time, with the features as they were before it.

    Every valid transaction that is no repeat has its row, or the build raises and `out` is as it was. With
    `resumable` it goes on from the checkpoint of the work folder, and the file is the same, bit for bit, as
    if it had never stopped. `on_progress(done, of)` is called after each batch. Raises BadInput (files, or
    a state that holds this history already), StateError or VigiaError.
    """
    check_out(out)
    payments = read_transactions(transactions)
    labels = read_reports(reports) if reports else None
    size = len(payments) + (len(labels) if labels else 0)
    run = _Run(state, history_log(transactions), merged(payments, labels), Checkpoint(0, size), on_progress)
    try:
        with in_place(out) as beside:
            await (run.in_parts(beside, resumable) if resumable else run.at_once(beside, transactions))
            end = run.at
            if end.vectors != len(payments) - end.repeats:
                raise VigiaError(
                    f"{end.vectors} vectors of {len(payments)} transactions, {end.repeats} repeats"
                )
    except Behind:
        raise VigiaError("Redis lost what this build had applied (was it flushed?): start it again") from None
    if resumable:
        resumable.work.done = True
    rejected = payments.rejected + (labels.rejected if labels else Counter())
    return BuildReport(len(payments), len(labels) if labels else 0, end.vectors, end.repeats, rejected)


class _Run:
    """One build under way: the events that are left, and how far it is."""

    def __init__(
        self, state: State, log: LogId, events: Iterator[Event], at: Checkpoint, on_progress: Progress
    ) -> None:
        self._state, self._log, self._events, self._on_progress = state, log, events, on_progress
        self.at = at

    async def at_once(self, path: Path, source: Path) -> None:
        """All of it into a state that does not hold this history yet."""
        known = await self._next()
        if known is not None:
            raise BadInput(
                f"--redis: that Redis already holds {known:,} of the {self.at.of:,} events of {source}; they "
                "would count twice: leave out --redis to build the vectors alone, or empty that Redis first "
                "(redis-cli flushdb)"
            )
        with VectorWriter(path) as writer:
            await self._stretch(writer, self.at.of)

    async def in_parts(self, path: Path, resumable: Resumable) -> None:
        """From the work folder's checkpoint on, with checkpoints; the parts joined into `path`."""
        work = resumable.work
        await self._go_on_from(work)
        parts = work.parts()
        while self.at.events < self.at.of:
            parts.append(work.part(len(parts)))
            with VectorWriter(parts[-1], part=True) as writer:
                await self._stretch(writer, resumable.every)
            if self.at.events < self.at.of:
                resumable.save()
                self.at = replace(self.at, parts=len(parts))
                work.keep(self.at)
        await asyncio.to_thread(join, parts, path)

    async def _go_on_from(self, work: Work) -> None:
        if work.checkpoint is None:
            return
        self.at = replace(work.checkpoint, of=self.at.of)
        if await self._next() != self.at.events:
            raise VigiaError(f"{work.folder} is damaged: delete it to begin anew")
        next(islice(self._events, self.at.events, self.at.events), None)
        self._on_progress(self.at.events, self.at.of)

    async def _next(self) -> int | None:
        """How much of this history the state holds; None if it was never told of it."""
        known = (await self._state.log_states([self._log]))[0]
        return None if known is None else known.next

    async def _stretch(self, writer: VectorWriter, length: int) -> None:
        """The next `length` events, or what is left; nothing is under way when it returns."""
        events = islice(self._events, length)
        async with aclosing(answers(self._state, events, self._log, self.at.events)) as batches:
            async for entries, answer in batches:
                self._add(writer, entries, answer)
                self._on_progress(self.at.events, self.at.of)

    def _add(self, writer: VectorWriter, entries: list[Entry], answer: Answer) -> None:
        is_payment = np.array([isinstance(entry.event, Transaction) for entry in entries])
        skipped = np.isin(answer.statuses, _SKIPPED)
        lost = (answer.statuses != Status.APPLIED) & ~skipped
        if lost.any():  # e.g. an earlier call's, whose answer never came: its vectors can't be had again
            first = int(np.argmax(lost))
            status = Status(int(answer.statuses[first])).name
            raise StateError(
                f"event {entries[first].offset} of the history was applied before its vector was read "
                f"({status}): does something else write this Redis? Build again, in an empty one"
            )
        kept = [entry.event for entry, skip in zip(entries, skipped, strict=True) if not skip]
        events = [event for event in kept if isinstance(event, Transaction)]
        writer.add(events, vectors(answer.slots[~skipped[is_payment]], events))
        self.at = replace(
            self.at,
            events=self.at.events + len(entries),
            vectors=self.at.vectors + len(events),
            repeats=self.at.repeats + int(skipped.sum()),
        )


async def answers(
    state: State, events: Iterator[Event], log: LogId | None = None, start: int = 0
) -> AsyncGenerator[tuple[list[Entry], Answer], None]:
    """(entries, answer) a batch, in order; one call is under way while the one before it is used.

    The events are offsets `start`, `start` + 1, … of `log` (None: a new one). Raises Behind if the state
    lost something of it meanwhile.
    """
    log = log or LogId("history", "history", secrets.token_hex(8), 0)
    offsets = count(start)
    pending: tuple[list[Entry], asyncio.Task[Answer]] | None = None
    try:
        while True:
            entries = [Entry(0, next(offsets), event) for event in islice(events, BATCH)]
            if pending:
                await pending[1]
            previous, pending = pending, None
            if entries:
                # All below is to be there: the floor of the log is 0, not where this call begins.
                span = Span(log, 0, entries[0].offset, entries[-1].offset + 1, healing=True)
                pending = entries, asyncio.create_task(state.apply([span], entries))
                await asyncio.sleep(0)  # lets the call reach the socket before the last answer is used
            if previous:
                yield previous[0], previous[1].result()
            if not entries:
                return
    finally:
        if pending:
            pending[1].cancel()
