"""Turns: batches that overlap, each step of a batch after the same step of the batch before it.

While one batch waits for its delivery reports the next is decided, two after that are with the state, and one
more is decoded. Whatever takes the partitions over or begins anew waits until all of them ended; who heals,
until all before it did.
"""

import asyncio
import logging
import time
from collections.abc import Coroutine, Sequence
from typing import Any

from stream import metrics
from stream.batch import Answered, Decoded
from stream.chunks import Chunk
from stream.commits import SESSION_SECONDS, Commits
from stream.health import Health
from stream.intake import Intake
from stream.leaving import or_leave
from stream.record_time import in_record_time
from stream.stands import Place
from stream.worker import Call, Worker, WrongCommits

log = logging.getLogger("vigia.turns")

_IN_FLIGHT, _CALLS = 4, 2
"""Turns at a time: one is delivered, one decided, two are with the state, so that it need not wait for the
next (of many shards, the second waits for them). One more may wait for room, decoded."""

_DOUBT_SECONDS = 0.01

_FEW, _PACE_SECONDS = 256, 0.008
"""A batch of few records is not followed at once: whatever its size, it costs the worker 2 to 4 ms, and Redis
and the broker some requests. One that comes alone, or into a backlog, does not wait."""


class _Left(Exception):
    """A batch before this one was read and left to its new owner: a heal would take it for decided."""


class Turn:
    """One batch on its way."""

    def __init__(self, events: Sequence[Any], batch: Decoded, rebalances: int, before: "Turn | None") -> None:
        self.events, self.batch, self.rebalances = events, batch, rebalances
        """`rebalances`: how many there had been when it was taken."""
        self.first: dict[Place, int] = {}
        """Where its records of each partition begin; from there on it has all."""
        self.begun, self.answered = asyncio.Event(), asyncio.Event()
        self.sent, self.ended = asyncio.Event(), asyncio.Event()
        self._before = before

    async def after_answered(self) -> None:
        """Return when the state answered the turn before it, and all before that, or they were dropped."""
        if self._before:
            await self._before.answered.wait()

    async def after_sent(self) -> None:
        """Return when the turn before it has handed over its messages, or was dropped."""
        if self._before:
            await self._before.sent.wait()

    async def after_ended(self) -> None:
        """Return when all turns before it are over."""
        if self._before:
            await self._before.ended.wait()
            self._before = None


class Turns:
    """Takes batches one after the other, several on their way; attaches and sweeps between them."""

    def __init__(
        self, intake: Intake, worker: Worker, health: Health, commits: Commits, pace: float = _PACE_SECONDS
    ) -> None:
        self._pace = pace
        self._intake, self._worker, self._health, self._commits = intake, worker, health, commits
        self._asking = asyncio.Lock()
        """Held by whoever makes a call to the state, or attaches. First come, first served."""
        self._room, self._with_state = asyncio.Semaphore(_IN_FLIGHT), asyncio.Semaphore(_CALLS)
        self._last: Turn | None = None
        """The latest; it may still wait for the one that is with the state."""
        self._reader: Turn | None = None
        """The latest that was with the state."""
        self._unacknowledged: list[Any] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._attached = -1
        self._left = False
        """A batch was read and not sent since the last attach: no heal before the next one."""
        self._rebalances = 0
        self._leaving = False

    def forget(self) -> None:
        """What was attached is not; a group that begins anew counts its generations from 1 again."""
        self._attached = -1
        self._rebalances += 1
        self._unacknowledged.clear()

    async def give_up(self) -> None:
        """Before the partitions go to another worker, which reads back what was decided: return when the
        deliveries in flight are finished, or after the session timeout."""
        self.forget()
        await self._delivered()

    async def finish(self) -> None:
        """Before this worker leaves the group: what is not sent yet is left to others; return when the
        deliveries in flight are finished."""
        self._leaving = True
        await self._delivered()

    async def _delivered(self) -> None:
        if not await self._worker.delivered(SESSION_SECONDS):
            log.warning("a delivery is still in flight; another worker may decide the same events")

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        """A turn, or an attach; the process ends at its error."""
        task = asyncio.create_task(or_leave(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def attach(self) -> None:
        async with self._asking:
            if self._reader:
                await self._reader.ended.wait()
            await self._attach({})

    async def take(self, stream: Any) -> None:
        async for events in self._intake.batches(stream):
            records = in_record_time([record for event in events for record in self._intake.records(event)])
            self._last = turn = Turn(events, self._worker.decode(records), self._rebalances, self._last)
            for event in reversed(events):
                place, offset = self._intake.begins(event)
                turn.first[place] = offset
            self.start(self._take(turn))
            # What comes until then joins the next batch.
            await turn.begun.wait()
            if len(records) < _FEW:
                await asyncio.sleep(self._pace)

    @property
    def _is_attached(self) -> bool:
        return self._attached == self._intake.generation and self._intake.flowing

    async def tell_lag(self) -> None:
        """Of the partitions that are attached."""
        if self._is_attached:
            self._intake.observe_lag(self._worker.positions())

    async def sweep(self) -> None:
        """What an idle worker does now and then; a batch under way does as much."""
        if self._asking.locked() or self._tasks:
            return
        async with self._asking:
            self._worker.fence.obey()
            if self._is_attached:
                self._worker.committed(self._intake.committed())
                await self._worker.sweep()

    async def _take(self, turn: Turn) -> None:
        async with self._room:
            async with self._with_state:
                async with self._asking:
                    self._reader = turn
                    call = await self._ask(turn)
                answered = await self._answered(turn, call) if call else None
                await turn.after_answered()
                turn.answered.set()
            if answered is not None:
                await self._finish(turn, answered)
            turn.sent.set()
            await turn.after_ended()
            turn.ended.set()

    async def _ask(self, turn: Turn) -> Call | None:
        """None: the batch was fetched before a rebalance; its owner fetches it again."""
        intake, worker = self._intake, self._worker
        if worker.fence.closed:  # these may be records of a topic that is no more
            await turn.after_ended()
            await worker.fence.passed()
        if worker.was_past(turn.first):  # Kafka went back to what is committed
            self._attached = -1
        if self._attached != intake.generation:
            await turn.after_ended()
            await self._attach(turn.first)
        turn.begun.set()
        if not self._is_current(turn):
            return None
        await worker.check_holes(turn.first)
        worker.committed(intake.committed())
        return await worker.ask(turn.batch)

    async def _answered(self, turn: Turn, call: Call) -> Answered | None:
        """None: as above."""
        try:
            return await self._worker.answered(call, turn.after_answered, lambda: self._before_healing(turn))
        except _Left:
            return None

    async def _before_healing(self, turn: Turn) -> None:
        await turn.after_ended()
        if self._left:
            raise _Left

    async def _finish(self, turn: Turn, answered: Answered) -> None:
        for _ in range(4):  # the next batch's call goes to the state before this one takes the processor
            await asyncio.sleep(0)
        await turn.after_sent()
        # One that wakes would else decide what another has decided since, before the group tells it so.
        while self._commits.in_doubt and self._is_current(turn):  # noqa: ASYNC110 - either may change
            await asyncio.sleep(_DOUBT_SECONDS)
        delivery = await self._worker.send(answered, lambda: self._is_current(turn))
        turn.sent.set()
        if delivery is not None:
            await delivery
            self._observe(turn)
        await turn.after_ended()
        if delivery is not None:
            await self._acknowledge(turn)
        else:  # its new owner is given the stored answers; if that is this worker, it attaches anew
            self._attached, self._left = -1, True

    async def _acknowledge(self, turn: Turn) -> None:
        self._unacknowledged += turn.events
        fence = self._worker.fence
        if fence.closed:
            if turn is not self._last:  # which may be with the state already: it asks the fence for both
                return
            await fence.passed()
        for event in self._unacknowledged:
            event.ack()
        self._unacknowledged.clear()

    def _is_current(self, turn: Turn) -> bool:
        mine = self._rebalances == turn.rebalances and not self._leaving
        return mine and all(map(self._intake.is_current, turn.events))

    def _observe(self, turn: Turn) -> None:
        now = time.monotonic()
        chunks: list[Chunk] = [event.message for event in turn.events]
        waited = [now - chunk.received for chunk in chunks for _ in chunk.records]
        metrics.observe_all(metrics.IN_WORKER, waited)

    async def _attach(self, first: dict[Place, int]) -> None:
        """Take over what the last rebalance assigned, if that was not done yet. No turn is on its way."""
        while self._attached != self._intake.generation:
            generation, rebalances = self._intake.generation, self._rebalances
            try:
                await self._worker.attach(self._intake.assigned(), first)
            except WrongCommits as wrong:
                # Faust began to read where these commits said: it begins again where the topic does.
                await self._commits.rewind(wrong.first)
                self._worker.fence.close(str(wrong))
                self._worker.fence.obey()
            if self._rebalances == rebalances:
                self._attached, self._left = generation, False
        self._health.start()
