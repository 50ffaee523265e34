"""Reading the log again into a state that lost something, until it is whole.

Every partition of both topics is read, whoever it is assigned to: entities are fed by all of them. The
state skips by offset what it has, so several workers may heal at once, each the whole; whoever has finished
knows that the state is whole. No log is marked as read to its end before all are (`_Progress.last`), so that
a worker whose own partitions were read early does not take the state for whole.
"""

import asyncio
import logging
import time
from collections.abc import Iterable, Mapping, Sequence, Set

from features.state import Behind, Entry, LogId, LogState, Span
from stream import metrics
from stream.dead_letter import Rejected
from stream.fence import Fence
from stream.health import Health
from stream.kafka_log import KafkaLog
from stream.merge import Merge, Range
from stream.patience import Patience, in_thread
from stream.pipeline import Pipeline, decode
from stream.record import Record
from stream.stands import Place, Stand, Tails

log = logging.getLogger("vigia.healing")

BATCH = 4096
"""Records a call."""

_TOLD_SECONDS = 10.0
_AGAIN_SECONDS = 0.2


class _Gone(Exception):
    """A topic that was to be read again is no more."""


class Healer:
    """Makes the state whole: it has everything of every log up to what is decided."""

    def __init__(
        self, pipeline: Pipeline, kafka: KafkaLog, health: Health, fence: Fence, on_empty: str
    ) -> None:
        """`on_empty`: `rebuild` or `fresh`, for a state that knows none of the logs."""
        self._pipeline, self._kafka, self._health, self._fence = pipeline, kafka, health, fence
        self._on_empty, self._patience = on_empty, Patience(health)
        self._tails = Tails()

    async def make_whole(
        self,
        logs: Mapping[Place, LogId],
        positions: Mapping[Place, int],
        *,
        lost: bool = False,
        in_flight: bool = False,
    ) -> None:
        """Return when the state has every log up to what is committed, or to the worker's own position.

        `logs`: all of the group. `positions`: where this worker is, of the places that it is assigned.
        `lost`: the state said that it lost something, so its logs are marked anew even if they look whole.
        `in_flight`: for a batch that the state may have taken in part. Then the fence is not obeyed: a new
        process would take the batch for repeats. A topic that is no more cannot be read again either, so its
        logs are marked as whole, and the batch is decided without what they held.
        """
        while True:
            passed: Set[str] = self._fence.others if in_flight else frozenset()
            try:
                await self._heal(logs, positions, lost, passed if in_flight else None)
            except _Gone:
                lost = True
            except Behind:
                log.warning("the state lost more while it was healed; beginning again")
                lost = True
                await asyncio.sleep(_AGAIN_SECONDS)
            else:
                self._health.answered("state")
                metrics.HEALING.set(0)
                return

    async def _heal(
        self,
        logs: Mapping[Place, LogId],
        positions: Mapping[Place, int],
        lost: bool,
        passed: Set[str] | None,
    ) -> None:
        """`passed`: topics that are passed over, None unless a batch is in flight."""
        whole: list[Span] = []
        if passed:
            log.critical("decided WITHOUT what a deleted topic held: %s", ", ".join(sorted(passed)))
            gone = [place for place in positions if place[0] in passed]
            whole = [Span(logs[p], positions[p], positions[p], positions[p], healing=True) for p in gone]
            logs = {place: log_id for place, log_id in logs.items() if place[0] not in passed}
            if not logs:
                await self._read_again(_Progress(whole), passed)
                return
        stands = await self._patience.blocking("kafka", self._stands, logs, passed)
        states = await self._patience("redis", lambda: self._pipeline.state.log_states(list(logs.values())))
        if _lead(stands, states):
            # Others go on meanwhile: only an end that is told after the state was asked says something.
            await self._patience.blocking("kafka", self._check_tails, logs, passed, states)
        targets = {place: max(stand.committed, positions.get(place, 0)) for place, stand in stands.items()}
        if not lost and all(s and s.next >= t for s, t in zip(states, targets.values(), strict=True)):
            return
        if self._on_empty == "fresh" and not any(states):
            progress = self._skip(logs, targets, whole)
        else:
            progress = _Progress([*_spans(logs, stands, states, targets), *whole])
        await self._read_again(progress, passed)

    def _skip(
        self, logs: Mapping[Place, LogId], targets: Mapping[Place, int], whole: Sequence[Span]
    ) -> "_Progress":
        if any(targets.values()):
            log.critical("the state is empty and VIGIA_STATE_ON_EMPTY=fresh: it begins WITHOUT HISTORY")
        spans = [Span(logs[place], at, at, at, healing=True) for place, at in targets.items()]
        return _Progress([*spans, *whole])

    async def _read_again(self, progress: "_Progress", passed: Set[str] | None) -> None:
        """Read one batch while the state applies the one before it."""
        if progress.left:
            self._health.waiting("state", "it lost events, which are read again")
            log.warning("healing", extra={"fields": {"left": progress.left, "logs": progress.told()}})
        merge = Merge(self._kafka.records, progress.ranges())
        ahead = self._ahead(merge, progress, passed)
        try:
            while batch := await ahead:
                records, entries = batch
                ahead = self._ahead(merge, progress, passed)
                await self._apply(progress.next_spans(records), entries)
                _count(records)
                progress.tell()
            await self._apply(progress.last_spans(), progress.last)
            await self._apply(progress.done_spans(), [])  # every shard, those without an event of it too
        finally:
            ahead.cancel()

    def _ahead(
        self, merge: Merge, progress: "_Progress", passed: Set[str] | None
    ) -> "asyncio.Task[tuple[list[Record], list[Entry]] | None]":
        def read() -> tuple[list[Record], list[Entry]] | None:
            self._look(passed)
            records = merge.next(BATCH)
            return (records, progress.entries(records)) if records else None

        return asyncio.create_task(self._patience("kafka", lambda: in_thread(read)))

    def _look(self, passed: Set[str] | None) -> None:
        """A topic that is gone is waited for, unless another has its name now."""
        if passed is None:
            self._fence.obey()
        elif self._fence.others - passed:
            raise _Gone

    def _stands(self, logs: Mapping[Place, LogId], passed: Set[str] | None) -> dict[Place, Stand]:
        self._look(passed)
        return self._kafka.stands(topic_ids(logs))

    def _check_tails(
        self, logs: Mapping[Place, LogId], passed: Set[str] | None, states: Sequence[LogState | None]
    ) -> None:
        """Raises KafkaAway while a log ends before what the state has of it, then LostTail."""
        stands = self._stands(logs, passed)
        for (place, stand), state in zip(stands.items(), states, strict=True):
            if state:
                self._tails.check(place, stand.end, state.next, "state's")

    async def _apply(self, spans: Sequence[Span], entries: Sequence[Entry]) -> None:
        await self._patience("redis", lambda: self._pipeline.heal(spans, entries))


def _lead(stands: Mapping[Place, Stand], states: Iterable[LogState | None]) -> bool:
    return any(s and s.next > stand.end for s, stand in zip(states, stands.values(), strict=True))


def topic_ids(logs: Mapping[Place, LogId]) -> dict[Place, str | None]:
    return {place: log_id.topic_id for place, log_id in logs.items()}


def _spans(
    logs: Mapping[Place, LogId],
    stands: Mapping[Place, Stand],
    states: Iterable[LogState | None],
    targets: Mapping[Place, int],
) -> list[Span]:
    """Of each log what the state lacks.

    One that is further than the target stays there: what its worker has not committed yet must stay
    answered, and a healing span forgets the answers below its stop.
    """
    spans = []
    for (place, log_id), state in zip(logs.items(), states, strict=True):
        first, target = stands[place].start, targets[place]
        start = min(target, max(first, state.next if state else 0))
        spans.append(Span(log_id, first, start, target, healing=True))
    return spans


class _Progress:
    """How far each log was read again, and the spans of the calls that say so."""

    def __init__(self, spans: Sequence[Span]) -> None:
        """`spans`: the whole of what is to be read."""
        self._whole = list(spans)
        self._reached = [span.start for span in spans]
        self._places = {(span.log.topic, span.log.partition): i for i, span in enumerate(spans)}
        self._next_told = time.monotonic() + _TOLD_SECONDS
        self.last: list[Entry] = []
        """The last event of each log: kept for the last call, so that no log looks whole before that."""

    @property
    def left(self) -> int:
        return sum(s.stop - reached for s, reached in zip(self._whole, self._reached, strict=True))

    def ranges(self) -> list[Range]:
        return [Range(span.log, span.start, span.stop) for span in self._whole]

    def told(self) -> list[str]:
        return [
            f"{s.log.topic}[{s.log.partition}] {s.start}..{s.stop}" for s in self._whole if s.stop > s.start
        ]

    def entries(self, records: Sequence[Record]) -> list[Entry]:
        """What is to be applied now. A dead letter was sent when the record was first read."""
        entries: list[Entry] = []
        for record in records:
            place = self._places[record.topic, record.partition]
            try:
                entry = Entry(place, record.offset, decode(record), record.replay)
            except Rejected:
                continue
            is_last = record.offset == self._whole[place].stop - 1
            (self.last if is_last else entries).append(entry)
        return entries

    def next_spans(self, records: Sequence[Record]) -> list[Span]:
        """The call of these records."""
        starts = list(self._reached)
        for record in records:
            place = self._places[record.topic, record.partition]
            self._reached[place] = min(record.offset + 1, self._whole[place].stop - 1)
        return self._calls(starts, self._reached)

    def last_spans(self) -> list[Span]:
        starts, self._reached = list(self._reached), [span.stop for span in self._whole]
        return self._calls(starts, self._reached)

    def done_spans(self) -> list[Span]:
        return self._calls(self._reached, self._reached)

    def _calls(self, starts: Sequence[int], stops: Sequence[int]) -> list[Span]:
        return [
            span._replace(start=start, stop=stop)
            for span, start, stop in zip(self._whole, starts, stops, strict=True)
        ]

    def tell(self) -> None:
        metrics.HEALING.set(self.left)
        if time.monotonic() >= self._next_told:
            self._next_told = time.monotonic() + _TOLD_SECONDS
            log.warning("healing", extra={"fields": {"left": self.left}})


def _count(records: Sequence[Record]) -> None:
    for record in records:
        metrics.HEALED.labels(record.topic).inc()
