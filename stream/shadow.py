"""The challenger's scores of what was decided: feature log joined to decisions. Knows no Kafka client.

Both topics keep the order of their sources within a partition, so the join is a merge: a record of the
feature log waits until its decision was read, or one of a later source was, or it waited too long.
"""

import base64
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

import numpy as np
import orjson
from numpy.typing import NDArray

from features.catalog import FEATURES_VERSION, NAMES
from features.transaction import Transaction
from stream import metrics
from stream.contract import ScoredMessage
from stream.judge import Judge

FEATURE_LOG, DECISIONS = "feature-log", "decisions"
TOLD_HEADERS = ("source_partition", "source_offset", "source_topic_id", "reapplied")

_WAIT_SECONDS = 30.0
_KEPT_BEHIND = 4_000
"""Decisions kept behind the latest record: what is read again after a crash finds its own."""

Headers = Mapping[str, bytes]


class Read(NamedTuple):
    """One record of either topic; `topic` without the prefix."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes
    headers: Headers


class Shadowed(NamedTuple):
    """One score to be told."""

    partition: int
    key: bytes | None
    value: bytes
    headers: list[tuple[str, bytes]]


class _Waiting(NamedTuple):
    read: Read
    source: int
    since: float


class _Decided(NamedTuple):
    offset: int
    value: bytes


@dataclass
class _Lane:
    """One partition of both topics."""

    waiting: deque[_Waiting] = field(default_factory=deque)
    decided: dict[int, _Decided] = field(default_factory=dict)
    """By source offset."""
    newest: int = -1
    told: int = -1
    """The latest source whose feature log was taken."""
    done: dict[str, int] = field(default_factory=dict)
    """Topic → the offset behind all that is needed no more."""

    def ready(self, now: float) -> Iterator[_Waiting]:
        """Take what need not wait, in order."""
        while self.waiting:
            first = self.waiting[0]
            known = first.source in self.decided or self.newest > first.source
            if not known and now < first.since + _WAIT_SECONDS:
                return
            self.told = max(self.told, first.source)
            yield self.waiting.popleft()

    def finish(self, read: Read, decided: _Decided | None) -> None:
        self.done[FEATURE_LOG] = read.offset + 1
        if decided is not None:
            self.done[DECISIONS] = max(self.done.get(DECISIONS, 0), decided.offset + 1)

    def forget(self) -> None:
        while len(self.decided) > _KEPT_BEHIND:
            oldest = next(iter(self.decided))
            if oldest >= self.told - _KEPT_BEHIND:  # not told yet, or may be read again
                return
            del self.decided[oldest]


class Shadow:
    """Scores what was read, partition by partition. What it gives again is the same again."""

    def __init__(self, group: str) -> None:
        """`group`: whose decisions are looked at; those of other groups are passed over."""
        self._group = group.encode()
        self._lanes: dict[int, _Lane] = {}

    def begin(self, partitions: list[int]) -> None:
        """These are this process's from now on, and no others; what waited is read again by its owner."""
        self._lanes = {partition: _Lane() for partition in partitions}

    def take(self, reads: list[Read], now: float) -> None:
        """Take in what was read, in the order of its partitions. `now`: seconds of a monotonic clock."""
        for read in reads:
            lane = self._lanes.setdefault(read.partition, _Lane())
            source = _source(read, self._group)
            if source is None:
                if read.topic == FEATURE_LOG and not lane.waiting:
                    lane.done[FEATURE_LOG] = read.offset + 1
            elif read.topic == DECISIONS:
                lane.decided[source] = _Decided(read.offset, read.value)
                lane.newest = max(lane.newest, source)
            else:
                lane.waiting.append(_Waiting(read, source, now))

    def score(self, judge: Judge | None, now: float) -> list[Shadowed]:
        """What can be told now. Without a `judge` the records pass by unscored."""
        told: list[Shadowed] = []
        for lane in self._lanes.values():
            ready = list(lane.ready(now))
            if judge is None:
                metrics.SHADOW.labels("no_challenger").inc(len(ready))
            else:
                told += self._score(judge, lane, ready)
            for waiting in ready:
                lane.finish(waiting.read, lane.decided.get(waiting.source))
            lane.forget()
        return told

    def backlog(self, partition: int) -> dict[str, int]:
        """How much of each topic waits for the other."""
        lane = self._lanes.get(partition, _Lane())
        return {FEATURE_LOG: len(lane.waiting), DECISIONS: len(lane.decided)}

    def done(self) -> dict[tuple[str, int], int]:
        """(topic, partition) → the offset that may be committed once all that was given is delivered."""
        return {
            (topic, partition): offset
            for partition, lane in self._lanes.items()
            for topic, offset in lane.done.items()
        }

    def _score(self, judge: Judge, lane: _Lane, ready: list[_Waiting]) -> list[Shadowed]:
        read = [(waiting, found) for waiting in ready if (found := _payment(waiting.read.value))]
        if not read:
            return []
        matrix = np.stack([vector for _, (_, vector) in read])
        judgements = judge.judge([payment for _, (payment, _) in read], matrix, [False] * len(read))
        told = []
        for (waiting, _), judgement in zip(read, judgements, strict=True):
            if judgement is None:
                metrics.SHADOW.labels("failed").inc()
                continue
            value = _value(judgement.decision, lane.decided.get(waiting.source))
            told.append(Shadowed(waiting.read.partition, waiting.read.key, value, _headers(waiting.read)))
        metrics.SHADOW.labels("scored").inc(len(told))
        return told


def _source(read: Read, group: bytes) -> int | None:
    """The offset of the transaction that it tells of; None: it is not of this group's transactions."""
    headers = read.headers
    if headers.get("group") != group or headers.get("source_topic", b"transactions") != b"transactions":
        return None
    offset = headers.get("source_offset", b"")
    return int(offset) if offset.isdigit() else None


def _payment(value: bytes) -> tuple[Transaction, NDArray[np.float32]] | None:
    """A record's payment, as far as a judge looks at it, and its vector; None and counted if it has none."""
    try:
        message = ScoredMessage.model_validate_json(value)
        if message.features_version != FEATURES_VERSION:
            metrics.SHADOW.labels("other_features").inc()
            return None
        vector = np.frombuffer(base64.b64decode(message.vector, validate=True), "<f4").astype(np.float32)
        if len(vector) != len(NAMES):
            raise ValueError("a vector of another length")
        moment = round(datetime.fromisoformat(message.occurred_at).timestamp() * 1000)
        amount = int(message.amount.replace(".", ""))
    except ValueError:
        metrics.SHADOW.labels("unreadable").inc()
        return None
    payer, payee = message.payer_account, message.payee_account
    return Transaction(message.event_id, moment, amount, payer, payee), vector


def _value(decision: bytes, decided: _Decided | None) -> bytes:
    return orjson.dumps({**orjson.loads(decision), "champion": _champion(decided)})


def _champion(decided: _Decided | None) -> dict[str, object] | None:
    if decided is None:
        return None
    try:
        found = orjson.loads(decided.value)
        return {name: found[name] for name in ("model", "score", "decision")}
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return None


def _headers(read: Read) -> list[tuple[str, bytes]]:
    return [(name, read.headers[name]) for name in TOLD_HEADERS if name in read.headers]
