"""The account at the end: every record that was published, and what came of it. A few bytes a record.

Ids and payloads are told apart by 64 bits of their hashes: among ten million the chance that any two are
taken for one is 3 in a million.
"""

from array import array
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

import numpy as np
import orjson
from confluent_kafka import Message
from numpy.typing import NDArray

from features.transaction import Transaction
from stream.dead_letter import DeadLetter, Rejected
from stream.kafka_log import KafkaLog, record
from stream.parity import feature_record
from stream.pipeline import decode
from stream.record import REPORTS, TRANSACTIONS

from ..world import World

Hashes = NDArray[np.uint64]
Progress = Callable[[str, int], None]

_APPROVED = b'"decision":"APPROVE"'


def hashed(value: bytes) -> int:
    return int.from_bytes(blake2b(value, digest_size=8).digest(), "little")


def unsigned(column: "array[int]") -> Hashes:
    return np.frombuffer(column, dtype=np.uint64) if column else np.empty(0, dtype=np.uint64)


def _column() -> "array[int]":
    return array("Q")


@dataclass
class Columns:
    """Rows of a topic: hash of the event id, source partition and offset, and a value of its own."""

    id: "array[int]" = field(default_factory=_column)
    partition: "array[int]" = field(default_factory=_column)
    offset: "array[int]" = field(default_factory=_column)
    value: "array[int]" = field(default_factory=_column)

    def add(self, id_: bytes, partition: int, offset: int, value: int = 0) -> None:
        self.id.append(hashed(id_))
        self.partition.append(partition)
        self.offset.append(offset)
        self.value.append(value)

    def __len__(self) -> int:
        return len(self.id)


@dataclass
class Letters:
    """Dead letters: what was refused, by source, and the ids of good payments that ended there."""

    codes: Counter[str] = field(default_factory=Counter)
    sources: dict[tuple[str, int, int], str] = field(default_factory=dict)


@dataclass
class Ledger:
    """All topics, read once."""

    payments: Columns = field(default_factory=Columns)
    """Good transactions; repeats of upstream are rows too."""
    reports: int = 0
    bad: set[tuple[str, int, int]] = field(default_factory=set)
    decisions: Columns = field(default_factory=Columns)
    """`value`: hash of the payload."""
    produced: "array[int]" = field(default_factory=_column)
    """Of each decision, wall time in ms at which it was given to the producer."""
    stopped: set[int] = field(default_factory=set)
    """Hashed ids of what was not approved."""
    alerts: set[int] = field(default_factory=set)
    letters: Letters = field(default_factory=Letters)
    logged: set[tuple[str, int, int]] | None = None
    """Sources of the feature log's records; None: it was not read."""
    applied: set[tuple[str, int, int]] = field(default_factory=set)
    """Sources of good records that are no repeats."""


def read(world: World, *, feature_log: bool = True) -> Ledger:
    """All that the topics hold now. `feature_log`: its sources too, which is not bounded as the rest is."""
    ledger = Ledger(logged=set() if feature_log else None)
    with closing(KafkaLog(world.settings)) as log:
        _read_inputs(log, ledger)
        for message in _messages(log, "decisions"):
            _decision(ledger, message)
        for message in _messages(log, "alerts"):
            ledger.alerts.add(hashed(orjson.loads(message.value() or b"")["event_id"].encode()))
        for message in _messages(log, "dead-letters"):
            _letter(ledger, message, world.prefix)
        for message in _messages(log, "feature-log") if ledger.logged is not None else ():
            ledger.logged.add(feature_record(message).source)  # type: ignore[union-attr]
    return ledger


def _messages(log: KafkaLog, topic: str) -> Iterator[Message]:
    for partition, (start, end) in sorted(log.extents(topic).items()):
        yield from log.messages(topic, partition, start, end)


def _read_inputs(log: KafkaLog, ledger: Ledger) -> None:
    keep, seen = ledger.logged is not None, set()
    for topic in (TRANSACTIONS, REPORTS):
        for message in _messages(log, topic):
            each = record(topic, message)
            source = topic, each.partition, each.offset
            try:
                event = decode(each)
            except Rejected:
                ledger.bad.add(source)
                continue
            if isinstance(event, Transaction):
                ledger.payments.add(event.event_id.encode(), each.partition, each.offset)
                if keep and event.event_id in seen:
                    continue
                seen.add(event.event_id) if keep else None
            else:
                ledger.reports += 1
            if keep:
                ledger.applied.add(source)


def _decision(ledger: Ledger, message: Message) -> None:
    value, headers = message.value() or b"", _headers(message)
    id_ = orjson.loads(value)["event_id"].encode()
    source = int(headers["source_partition"]), int(headers["source_offset"])
    ledger.decisions.add(id_, *source, hashed(value))
    ledger.produced.append(message.timestamp()[1])
    if _APPROVED not in value:
        ledger.stopped.add(hashed(id_))


def _letter(ledger: Ledger, message: Message, prefix: str) -> None:
    letter = DeadLetter.read(message.value(), message.key(), _headers(message))
    assert letter is not None, "a dead letter without its headers"
    source = letter.topic.removeprefix(prefix), letter.partition, letter.offset
    with suppress(KeyError):
        assert ledger.letters.sources[source] == letter.code, "two dead letters disagree"
        return
    ledger.letters.sources[source] = letter.code
    ledger.letters.codes[letter.code] += 1


def _headers(message: Message) -> dict[str, Any]:
    return dict(message.headers() or [])
