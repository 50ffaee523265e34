"""One worker's turn: a batch in, every output acknowledged by the broker, then True. Free of Faust.

An error has three ends (DESIGN section 7): Redis or the broker away: wait here and go on; one event that
fails alone: its dead letter (`pipeline`); anything else is raised, and whoever calls must leave the process
before anything is acknowledged.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TypeVar

from features.state import Behind, LogId, StateAway
from stream import metrics
from stream.health import Health
from stream.kafka_log import KafkaAway, KafkaLog
from stream.outputs import Outputs
from stream.pipeline import REPORTS, TRANSACTIONS, Assignment, Outcomes, Pipeline, Record

log = logging.getLogger("vigia.worker")

INPUTS = (TRANSACTIONS, REPORTS)

T = TypeVar("T")
Place = tuple[str, int]
"""A topic's short name and a partition."""

_HEAL_BATCH = 2048
_AWAY_SECONDS = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0)


class Worker:
    """Keeps the assigned partitions attached to the state, and decides batches."""

    def __init__(
        self,
        pipeline: Pipeline,
        outputs: Outputs,
        kafka: KafkaLog,
        health: Health,
        *,
        group: str,
        topic_ids: Mapping[str, str],
        on_empty: str,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._clock = clock
        self._pipeline, self._outputs, self._kafka, self._health = pipeline, outputs, kafka, health
        self._group, self._topic_ids, self._on_empty = group, topic_ids, on_empty

    async def handle(self, batch: Sequence[Record]) -> Outcomes:
        """Process a batch and deliver all that it sends; then its records may be acknowledged."""
        for record in batch:
            metrics.EVENTS.labels(record.topic).inc()
        metrics.BATCH.observe(len(batch))
        while True:
            try:
                outcomes = await self._patiently("redis", lambda: self._pipeline.process(batch))
                break
            except Behind as behind:
                log.warning("the state lost applied events; reading them again")
                for assignment in list(self._pipeline.assignments.values()):
                    if lost := behind.logs.get(assignment.log):
                        await self._heal(assignment.log, lost.next, assignment.position)
        with metrics.stage("deliver"):
            await self._outputs.deliver(outcomes)
        self._count(outcomes)
        return outcomes

    def committed(self, offsets: Mapping[Place, int]) -> None:
        """The broker confirmed these commits; the next call lets the state forget what lies below."""
        for place, offset in offsets.items():
            if assignment := self._pipeline.assignments.get(place):
                assignment.committed = max(assignment.committed, offset)

    async def look_for_kafka(self) -> None:
        """Say in health whether a broker answers: an idle worker would not notice."""
        try:
            await self._in_thread(self._kafka.require_broker)
        except KafkaAway as away:
            self._health.waiting("kafka", str(away))
        else:
            self._health.answered("kafka")

    def was_past(self, first: Mapping[Place, int]) -> bool:
        """Whether any of these offsets lies before what this worker already processed."""
        assignments = self._pipeline.assignments
        return any(p in assignments and offset < assignments[p].position for p, offset in first.items())

    async def attach(self, places: Sequence[Place], first: Mapping[Place, int]) -> None:
        """Take over exactly these partitions: heal what the state lost, read back what was decided.

        `first`: the offset of the first record at hand of a partition, where there is one.
        """
        found = await self._patiently("kafka", lambda: self._in_thread(self._kafka.committed, list(places)))
        logs = {place: LogId(self._group, place[0], self._topic_ids[place[0]], place[1]) for place in places}
        states = await self._patiently("redis", lambda: self._pipeline.state.log_states(list(logs.values())))
        assignments = {}
        for (place, log_id), state in zip(logs.items(), states, strict=True):
            committed, start, _ = found[place]
            position = min(committed, first.get(place, committed))
            known = state.next if state else start
            if state is None and self._on_empty == "fresh":
                known = position
            if state is None or known < position:
                await self._heal(log_id, known, position)
            assignments[place] = Assignment(log_id, position, position)
            if place[0] == TRANSACTIONS:
                assignments[place].decided = await self._decided(place[1], position)
        self._pipeline.assignments = assignments
        log.info("attached", extra={"fields": {"partitions": len(assignments)}})

    async def _decided(self, partition: int, position: int) -> dict[int, bytes]:
        return await self._patiently(
            "kafka", lambda: self._in_thread(self._kafka.decided, partition, position)
        )

    async def _heal(self, log_id: LogId, start: int, stop: int) -> None:
        """Read [start, stop) of a partition into the state again, or mark it as known when it is empty."""
        if stop > start:
            fields = {"topic": log_id.topic, "partition": log_id.partition, "from": start, "to": stop}
            log.warning("healing", extra={"fields": fields})
            self._health.waiting("state", "it lost events, which are read again")
        position = start
        while records := await self._patiently("kafka", self._reader(log_id, position, stop)):
            end = records[-1].offset + 1
            await self._apply_again(log_id, records, position, end)
            metrics.HEALED.labels(log_id.topic).inc(len(records))
            position = end
        await self._apply_again(log_id, [], position, stop)
        self._health.answered("state")

    def _reader(self, log_id: LogId, start: int, stop: int) -> Callable[[], Awaitable[list[Record]]]:
        """The next records from `start`; each try asks Kafka anew, so that a failed one skips nothing."""

        def read() -> list[Record]:
            return next(self._kafka.records(log_id.topic, log_id.partition, start, stop, _HEAL_BATCH), [])

        return lambda: self._in_thread(read)

    async def _apply_again(self, log_id: LogId, records: Sequence[Record], start: int, stop: int) -> None:
        await self._patiently("redis", lambda: self._pipeline.heal(log_id, records, start, stop))

    async def _in_thread(self, call: Callable[..., T], *args: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(None, call, *args)

    async def _patiently(self, dependency: str, call: Callable[[], Awaitable[T]]) -> T:
        """Make the call until the dependency answers. Waiting is said in health and metrics."""
        attempt = 0
        while True:
            try:
                answer = await call()
            except (StateAway, KafkaAway) as away:
                self._health.waiting(dependency, str(away))
                await asyncio.sleep(_AWAY_SECONDS[min(attempt, len(_AWAY_SECONDS) - 1)])
                attempt += 1
            else:
                self._health.answered(dependency)
                return answer

    def _count(self, outcomes: Outcomes) -> None:
        now = self._clock() * 1000
        for letter in outcomes.dead_letters:
            metrics.DEAD_LETTERS.labels(letter.code).inc()
        for decided in outcomes.decided:
            if decided.fresh:
                metrics.DECISIONS.labels(decided.outcome).inc()
                metrics.LATENCY.observe(max(0.0, now - decided.record.timestamp) / 1000)
