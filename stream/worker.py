"""What a worker does with a batch: it reads the state, decides, and delivers every output. Free of Faust.

An error has three ends (DESIGN section 7): Redis or the broker away: wait here and go on; one event that
fails alone: its dead letter (`pipeline`); anything else is raised, and whoever calls must leave the process
before anything is acknowledged.

::

    Skipped             records were passed over: leave, and read again from what is committed
    WrongCommits        what is committed belongs to a deleted topic: commit this instead, and begin anew
"""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import NamedTuple

from features.errors import VigiaError
from features.state import Answer, Behind, LogId, StateError
from stream import metrics
from stream.batch import Answered, Asked, Assignment, Decoded, Outcomes
from stream.fence import Fence
from stream.healing import Healer, topic_ids
from stream.health import Health
from stream.kafka_client import KafkaAway, TopicsMissing
from stream.kafka_log import KafkaLog
from stream.outputs import Delivery, Outputs
from stream.patience import Patience, in_thread
from stream.pipeline import Pipeline
from stream.record import REPORTS, TRANSACTIONS, Record
from stream.stands import Place, Stand

log = logging.getLogger("vigia.worker")

INPUTS = (TRANSACTIONS, REPORTS)

_MISSING_SECONDS = 0.5


class WrongCommits(Exception):
    """`first`: where these places are to be read from; what is committed there is of a deleted topic."""

    def __init__(self, first: Mapping[Place, int]) -> None:
        super().__init__(f"commits of a deleted topic: {dict(first)}")
        self.first = first


class Skipped(VigiaError):
    """Records were passed over that nobody decided: the process leaves, and reads from its commits again."""


class Call(NamedTuple):
    """A batch with the state."""

    asked: Asked
    answer: "asyncio.Task[Answer]"
    """Of the first time that it was made."""


class Worker:
    """Keeps the assigned partitions attached to the state, and decides batches."""

    def __init__(
        self,
        pipeline: Pipeline,
        outputs: Outputs,
        kafka: KafkaLog,
        health: Health,
        fence: Fence,
        healer: Healer,
        *,
        group: str,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._pipeline, self._outputs, self._kafka, self._health = pipeline, outputs, kafka, health
        self.fence, self._healer, self._group, self._clock = fence, healer, group, clock
        self._patience = Patience(health)
        self._calls: set[asyncio.Task[Answer]] = set()
        """On their way to the state, each for the first time."""
        self._alone = asyncio.Lock()
        """Held by whoever makes a call again, or heals: nobody begins another one meanwhile."""
        self._delivering: set[asyncio.Task[None]] = set()
        self._logs: dict[Place, LogId] = {}
        """Of the whole group."""

    def decode(self, batch: Sequence[Record]) -> Decoded:
        """The first step of a batch; see `Pipeline.decode`."""
        return self._pipeline.decode(batch)

    async def ask(self, batch: Decoded) -> Call:
        """Begin to apply a batch to the state; with one shard its call is on its way when this returns."""
        for topic, count in batch.taken.items():
            metrics.EVENTS.labels(topic).inc(count)
        if batch.taken:
            metrics.BATCH.observe(batch.taken.total())
        async with self._alone:
            asked = self._pipeline.ask(batch)
            call = Call(asked, asyncio.create_task(self._pipeline.call(asked)))
            self._calls.add(call.answer)
            call.answer.add_done_callback(self._over)
        await asyncio.sleep(0)  # in which the task writes it
        return call

    def _over(self, call: "asyncio.Task[Answer]") -> None:
        self._calls.discard(call)
        if not call.cancelled():
            call.exception()  # looked at: of one that a stop leaves behind asyncio would say that nobody did

    async def answered(
        self,
        call: Call,
        in_turn: Callable[[], Awaitable[None]],
        before_healing: Callable[[], Awaitable[None]],
    ) -> Answered:
        """Return when the state applied the batch, healing it first if it lost something.

        `in_turn` returns when the call before it is answered: a failure says nothing until then.
        `before_healing` returns when all that was read before is delivered: what is healed is taken for
        decided.
        """
        with self._patience.slow("redis"):
            await asyncio.wait({call.answer})
        await in_turn()
        if call.answer.exception():
            answer = await self._again(call.asked, before_healing)
        else:
            answer = call.answer.result()
            self._health.answered("redis")
        return self._pipeline.answered(call.asked, answer)

    async def _again(self, asked: Asked, before_healing: Callable[[], Awaitable[None]]) -> Answer:
        """Make a call that failed until it is answered, none other being on its way.

        One that came between a look at what the state has and its heal would be taken by a state that has not
        all that lies before it.
        """
        async with self._alone:
            if self._calls:
                await asyncio.wait(self._calls)
            while True:
                try:
                    return await self._patience("redis", lambda: self._pipeline.call(asked))
                except Behind:
                    log.warning("the state lost applied events; reading them again")
                    await before_healing()
                    in_flight = bool(asked.batch.stops)
                    await self._make_whole(self.positions(), lost=True, in_flight=in_flight)

    async def check_holes(self, first: Mapping[Place, int]) -> None:
        """Raises Skipped if records lie between what was asked last and the first ones of a batch.

        To be asked before the state is: it takes what a call passes over for decided. Commits that were on
        their way when this worker attached leave such holes; what the fetcher passed over is none (`Run`).
        """
        positions = {place: a.asked for place, a in self._pipeline.assignments.items()}
        holes = {p: (positions[p], stop) for p, stop in first.items() if stop > positions.get(p, stop)}
        if not holes:
            return
        stands = await self._patience.blocking("kafka", self._kafka.stands, dict.fromkeys(holes))
        for (topic, partition), (position, stop) in holes.items():
            start = max(position, stands[topic, partition].committed)
            read = self._kafka.records
            found = await self._patience.blocking("kafka", read, topic, partition, start, stop, 1)
            if found:
                raise Skipped(f"{topic}[{partition}]: records from {start} were not read, but {stop} was")

    async def send(self, answered: Answered, is_current: Callable[[], bool]) -> "asyncio.Task[None] | None":
        """Decide a batch and send all of it; its records may be acknowledged when the task has ended.

        None: they are no longer this worker's (a rebalance came while it waited for Redis or healed), and
        nothing is sent. Their new owner is given the stored answers, and decides. Records of a topic that is
        gone have no new owner: they are sent, or in a topic made anew they would be repeats that nobody
        decided.
        """
        outcomes = self._pipeline.decide(answered)
        if not is_current() and not await self._topics_changed():
            log.warning("a rebalance came: a batch is left to its new owner")
            return None
        # Nothing awaited since the check: see `delivered`.
        with metrics.stage("send"):
            delivery = self._outputs.send(outcomes)
        delivering = asyncio.create_task(self._deliver(outcomes, delivery))
        self._delivering.add(delivering)
        delivering.add_done_callback(self._delivering.discard)
        return delivering

    async def _deliver(self, outcomes: Outcomes, delivery: Delivery) -> None:
        with metrics.stage("deliver"):
            await self._outputs.delivered(delivery)
        self._count(outcomes)

    async def _topics_changed(self) -> bool:
        self.fence.look(await self._patience.blocking("kafka", self._kafka.topic_ids, INPUTS))
        return self.fence.closed

    async def delivered(self, seconds: float) -> bool:
        """Return when no delivery is in flight; False: one is, after so many seconds."""
        if not self._delivering:
            return True
        _, left = await asyncio.wait(self._delivering, timeout=seconds)
        return not left

    async def sweep(self) -> None:
        """Tell every shard what is committed, and notice what it lost: an idle worker would do neither."""
        await self.answered(await self.ask(self.decode([])), _at_once, _at_once)

    def committed(self, offsets: Mapping[Place, int]) -> None:
        """The broker confirmed these commits; the next call lets the state forget what lies below."""
        for place, offset in offsets.items():
            if assignment := self._pipeline.assignments.get(place):
                assignment.committed = max(assignment.committed, offset)

    def positions(self) -> dict[Place, int]:
        """Where this worker is: all below was answered. It is delivered too when no turn is on its way,
        unless a turn was dropped: then nothing is healed before the next attach."""
        return {place: a.position for place, a in self._pipeline.assignments.items()}

    async def look_for_kafka(self) -> None:
        """Say in health whether a broker answers, and see whether its topics are still the same."""
        try:
            found = await in_thread(self._kafka.topic_ids, INPUTS)
        except KafkaAway as away:
            self._health.waiting("kafka", str(away))
        else:
            self._health.answered("kafka")
            self.fence.look(found)

    def was_past(self, first: Mapping[Place, int]) -> bool:
        """Whether any of these offsets lies before what this worker already asked the state about."""
        assignments = self._pipeline.assignments
        return any(p in assignments and offset < assignments[p].asked for p, offset in first.items())

    async def attach(self, places: Sequence[Place], first: Mapping[Place, int]) -> None:
        """Take over exactly these partitions: heal what the state lost, read back what was decided.

        `first`: the offset of the first record at hand of a partition, where there is one.
        Raises WrongCommits, and StateError when the state is another group's.
        """
        partitions = await self._know_topics()
        await self._patience.blocking("kafka", self._outputs.look_for, partitions)
        mine = {place: self._logs[place] for place in places}
        stands = await self._patience.blocking("kafka", self._stands, topic_ids(mine))
        if wrong := {place: stand.committed for place, stand in stands.items() if stand.foreign}:
            raise WrongCommits(wrong)
        positions = {p: min(stand.committed, first.get(p, stand.committed)) for p, stand in stands.items()}
        await self._make_whole(positions)
        assignments = {p: Assignment(log_id, positions[p], positions[p]) for p, log_id in mine.items()}
        for place, assignment in assignments.items():
            if place[0] == TRANSACTIONS:
                assignment.decided = await self._patience.blocking(
                    "kafka", self._kafka.decided, place[1], assignment.position, assignment.log.topic_id
                )
        self._pipeline.assignments = assignments
        log.info("attached", extra={"fields": {"partitions": len(assignments)}})

    def _stands(self, ids: Mapping[Place, str | None]) -> dict[Place, Stand]:
        self.fence.obey()
        return self._kafka.stands(ids)

    async def _know_topics(self) -> int:
        """Note the group's logs, after a look at the topics: they may have been made anew since the last one.
        How many partitions each has."""
        while True:
            try:
                ids, partitions = await self._patience.blocking("kafka", self._kafka.describe, INPUTS)
            except TopicsMissing:
                self.fence.look(dict.fromkeys(INPUTS))
                await asyncio.sleep(_MISSING_SECONDS)
            else:
                break
        self.fence.look(ids)
        self.fence.obey()
        self._logs = {
            (topic, partition): LogId(self._group, topic, ids[topic], partition)
            for topic in INPUTS
            for partition in range(partitions)
        }
        return partitions

    async def _make_whole(
        self, positions: Mapping[Place, int], *, lost: bool = False, in_flight: bool = False
    ) -> None:
        owner = await self._patience("redis", lambda: self._pipeline.state.claim(self._group))
        if owner != self._group:
            raise StateError(
                f"this Redis holds the state of group {owner!r}, whose events would look like repeats to "
                f"{self._group!r}: give it a Redis of its own (VIGIA_REDIS_URL), or empty this one"
            )
        await self._healer.make_whole(self._logs, positions, lost=lost, in_flight=in_flight)

    def _count(self, outcomes: Outcomes) -> None:
        now = self._clock() * 1000
        for code, count in Counter(letter.code for letter in outcomes.dead_letters).items():
            metrics.DEAD_LETTERS.labels(code).inc(count)
        fresh = [decided for decided in outcomes.decided if decided.fresh]
        for outcome, count in Counter(decided.outcome for decided in fresh).items():
            metrics.DECISIONS.labels(outcome).inc(count)
        waited = [max(0.0, now - decided.record.timestamp) / 1000 for decided in fresh]
        metrics.observe_all(metrics.LATENCY, waited)


async def _at_once() -> None:
    """Nothing is on its way."""
