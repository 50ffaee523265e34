"""Where a group stands in a partition: what was committed, what the log still has, whether both can be so."""

import time
from collections.abc import Callable
from typing import NamedTuple

from confluent_kafka import TopicPartition

from features.errors import VigiaError
from stream.kafka_client import KafkaAway

Place = tuple[str, int]
"""A topic's short name and a partition."""

_LOST_SECONDS = 30.0
"""A log that is short for longer lost its end."""

_ANOTHER_TIME_SECONDS = 60.0


class Stand(NamedTuple):
    """Where a group stands in a partition, [start, end) of which can be read."""

    committed: int
    """The start, if nothing is committed."""
    start: int
    end: int
    foreign: bool = False
    """What is committed was committed to another topic of that name, and means nothing here."""


class LostTail(VigiaError):
    """Kafka lost the end of a log: new records would take offsets that mean others to us."""


class Tails:
    """Which logs end before what is known of them: a new leader may say so for a moment."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._short: dict[Place, tuple[float, float]] = {}
        """Place → since when, and when last."""

    def check(self, place: Place, end: int, known: int, what: str) -> None:
        """`what` says that the log has all below `known`. Raises KafkaAway, and LostTail when that lasts."""
        if known <= end:
            self._short.pop(place, None)
            return
        now = self._clock()
        since, last = self._short.get(place, (now, now))
        if now - last > _ANOTHER_TIME_SECONDS:  # of another time
            since = now
        self._short[place] = since, now
        told = f"{place[0]}[{place[1]}] ends at {end}, before the {what} {known}"
        if now - since < _LOST_SECONDS:
            raise KafkaAway(f"{told}: if that lasts, Kafka lost records")
        raise LostTail(
            f"{told}: Kafka lost records. Stop all workers, set the group's offsets to the end of the log "
            "(kafka-consumer-groups --reset-offsets --to-latest), then run `vigia state rebuild --flush`"
        )


def commit_metadata(topic_id: str) -> str:
    """What a commit says of the topic that it was made to.

    It ends in a zero byte: what librdkafka copies is no C string without one, and what lies behind it in
    memory is read as metadata too (seen with 2.16; confluentinc/librdkafka#4649 is its other face).
    """
    return f"topic-id:{topic_id}\0"


def committed_to(committed: TopicPartition) -> str:
    """The topic id of `commit_metadata`; empty for the commit of another tool or of an older version."""
    try:
        # With the zero byte or without: clients differ in whether they give it back.
        kind, _, topic_id = (committed.metadata or "").rstrip("\0").partition(":")
    except UnicodeDecodeError:  # another tool's, without the zero byte
        return ""
    return topic_id if kind == "topic-id" else ""
