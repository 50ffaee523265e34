"""The dead letters as Kafka keeps them: the newest ones to look at, and any of them sent again.

A letter goes back to its source topic as the original bytes under the original key, with the header `replay`
that says which letter it was; the worker decides it even if its payer's ring knows it (DESIGN section 6).
Sending the same letter again decides it again.
"""

import heapq
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from confluent_kafka import TIMESTAMP_NOT_AVAILABLE, Message

from stream.dead_letter import DeadLetter
from stream.kafka_client import headers_of
from stream.kafka_log import KafkaLog
from stream.publish import Outgoing

TOPIC = "dead-letters"
REPLAY = "replay"


class Kept(NamedTuple):
    """One dead letter and where it lies."""

    timestamp: int
    """Kafka's, in ms: when the letter was kept."""
    partition: int
    offset: int
    letter: DeadLetter

    @property
    def position(self) -> str:
        return f"{self.partition}:{self.offset}"


@dataclass(frozen=True)
class Choice:
    """Which letters; None is any. Offsets are the letters' own, `first` and `last` included."""

    code: str | None = None
    event_id: str | None = None
    since: int | None = None
    partition: int | None = None
    first: int | None = None
    last: int | None = None

    @property
    def everything(self) -> bool:
        return self == Choice()

    def takes(self, letter: DeadLetter) -> bool:
        return self.code in (None, letter.code) and self.event_id in (None, letter.event_id)


def letters(log: KafkaLog, choice: Choice, tail: int | None = None) -> Iterator[Kept]:
    """The chosen letters that are there now, by partition and offset; `tail`: at most so many a partition.

    Records of that topic that are no dead letters are passed over. Raises KafkaAway, TopicsMissing.
    """
    for partition, (start, end) in sorted(log.extents(TOPIC, choice.since).items()):
        if choice.partition not in (None, partition):
            continue
        low = max(start, choice.first or 0, end - tail if tail is not None else 0)
        high = end if choice.last is None else min(end, choice.last + 1)
        for message in log.messages(TOPIC, partition, low, high):
            kept = _kept(message)
            if kept is not None and choice.takes(kept.letter):
                yield kept


def newest(log: KafkaLog, choice: Choice, limit: int) -> list[Kept]:
    """The newest `limit` of the chosen letters, newest first."""
    filtered = choice.code or choice.event_id or choice.last is not None
    chosen = letters(log, choice, None if filtered else limit)
    return heapq.nlargest(limit, chosen, key=lambda kept: kept[:3])


def replayed(kept: Kept) -> Outgoing | None:
    """The letter as it is sent again; None if the original had no bytes, or more than the letter has."""
    letter = kept.letter
    if letter.value is None or letter.truncated is not None:
        return None
    header: list[tuple[str, str | bytes | None]] = [(REPLAY, kept.position)]
    return Outgoing(letter.topic, letter.key, letter.value, header)


def _kept(message: Message) -> Kept | None:
    headers = headers_of(message)
    letter = DeadLetter.read(message.value(), message.key(), dict(headers))
    if letter is None:
        return None
    kind, timestamp = message.timestamp()
    at = 0 if kind == TIMESTAMP_NOT_AVAILABLE else timestamp
    return Kept(at, message.partition() or 0, message.offset() or 0, letter)
