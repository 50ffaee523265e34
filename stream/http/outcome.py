"""What became of an order, as the log tells it: a decision, or a dead letter."""

from collections.abc import Mapping
from typing import NamedTuple

import orjson

from stream.dead_letter import APPLIED, DeadLetter, Rejected

DECISIONS, LETTERS = "decisions", "dead-letters"
OUTCOMES = (DECISIONS, LETTERS)

Headers = Mapping[str, bytes | None]


class Source(NamedTuple):
    """Where an order lies on `transactions`; a topic made anew has another id."""

    partition: int
    offset: int
    topic_id: str | None = None

    def is_at(self, other: "Source") -> bool:
        """Whether both are the same record; an id that one does not tell is taken for the other's."""
        known = self.topic_id is not None and other.topic_id is not None
        return self[:2] == other[:2] and not (known and self.topic_id != other.topic_id)


class Place(NamedTuple):
    """Where an outcome lies: topic (short name), partition, offset."""

    topic: str
    partition: int
    offset: int


class Outcome(NamedTuple):
    """One record of `decisions` or `dead-letters`."""

    event_id: str
    source: Source
    place: Place
    timestamp: int
    """Kafka's, in ms."""
    body: bytes
    """The decision; of a dead letter the order as it came."""
    rejected: Rejected | None = None
    """Why it is a dead letter; None: it was decided."""

    @property
    def is_final(self) -> bool:
        """Whether a repeat gets no other: a letter's own bytes are judged anew, unless it was applied."""
        return self.rejected is None or self.rejected.code in APPLIED


class Ours(NamedTuple):
    """Which outcomes are of this door's worker."""

    group: str
    transactions: str
    """The topic's full name."""

    def read(self, place: Place, timestamp: int, value: bytes | None, headers: Headers) -> Outcome | None:
        """The outcome of a record; None if it is another group's or of another input."""
        if headers.get("group", None if place.topic == DECISIONS else self._group) != self._group:
            return None
        read = self._decision if place.topic == DECISIONS else self._letter
        try:
            return read(place, timestamp, value, headers)
        except (KeyError, TypeError, ValueError):
            return None

    @property
    def _group(self) -> bytes:
        return self.group.encode()

    def _decision(
        self, place: Place, timestamp: int, value: bytes | None, headers: Headers
    ) -> Outcome | None:
        topic_id = headers.get("source_topic_id")
        source = Source(
            int(headers["source_partition"] or b""),
            int(headers["source_offset"] or b""),
            topic_id.decode() if topic_id else None,
        )
        event_id = orjson.loads(value or b"")["event_id"]
        return Outcome(event_id, source, place, timestamp, value or b"")

    def _letter(self, place: Place, timestamp: int, value: bytes | None, headers: Headers) -> Outcome | None:
        letter = DeadLetter.read(value, None, headers)
        if letter is None or letter.topic != self.transactions or letter.event_id is None:
            return None
        rejected = Rejected(letter.code, letter.text, letter.event_id)
        source = Source(letter.partition, letter.offset)
        return Outcome(letter.event_id, source, place, timestamp, value or b"", rejected)
