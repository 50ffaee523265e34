"""Why an input could not be read, and how it is kept.

A dead letter's value is the record's original bytes, or their beginning where no topic takes them all; its
headers say where it came from and why it is here. `Rejected` is the one exception for a record that is bad in
itself: the stream goes on.
"""

from collections.abc import Mapping
from dataclasses import dataclass


class Rejected(Exception):
    """This record can't be decided, now or later. `code` is one of CODES; `text` is for a person."""

    def __init__(self, code: str, text: str, event_id: str | None = None) -> None:
        super().__init__(f"{code}: {text}")
        self.code, self.text, self.event_id = code, text, event_id


CODES = {
    "EMPTY": "the record has no value",
    "MESSAGE_TOO_LARGE": "the message is larger than any payment order (64 KiB)",
    "NOT_UTF8": "the bytes are not UTF-8",
    "NOT_JSON": "the text is not JSON",
    "NESTED_TOO_DEEP": "the JSON is nested deeper than any payment order",
    "NOT_AN_OBJECT": "the JSON, or a part of it, is not an object where one is needed",
    "FIELD_MISSING": "a required field is missing",
    "FIELD_TYPE": "a field has another type than it should",
    "FIELD_LENGTH": "a text is shorter or longer than it may be",
    "FIELD_FORMAT": "a text does not have the form that it should",
    "ENUM_UNKNOWN": "a value is not one of those known",
    "AMOUNT_NOT_A_NUMBER": "the amount is not a number",
    "AMOUNT_NOT_POSITIVE": "the amount is zero or negative",
    "AMOUNT_TOO_LARGE": "the amount is more than R$ 1,000,000,000.00",
    "AMOUNT_PRECISION": "the amount has more than 2 decimals",
    "TIME_INVALID": "the time is not RFC 3339",
    "TIME_WITHOUT_OFFSET": "the time has no offset from UTC",
    "TIME_OUT_OF_RANGE": "the time is before 2000 or after 2099",
    "TIME_AHEAD": "the time is more than 10 minutes ahead of the record's own",
    "EVENT_ID_REUSED": "this payer used the event id for another payment",
    "SCORING_ERROR": "scoring this event alone fails",
    "OUTPUT_TOO_LARGE": "an output topic refuses what is told of this event as too large",
}

APPLIED = ("SCORING_ERROR", "OUTPUT_TOO_LARGE")
"""Of events that the state has applied: the same event sent again is a repeat, and gets no other answer."""


TRUNCATED = "truncated"
"""The header of a letter that has not all of its record: how many bytes that has."""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One input that could not be read: the bytes as they came, and the reason."""

    value: bytes | None
    key: bytes | None
    code: str
    text: str
    event_id: str | None
    topic: str
    partition: int
    offset: int
    truncated: int | None = None
    """Bytes of the record, where `value` is only their beginning."""

    def headers(self) -> list[tuple[str, bytes]]:
        headers = [
            ("error_code", self.code.encode()),
            ("error", self.text.encode(errors="replace")),
            ("source_topic", self.topic.encode()),
            ("source_partition", str(self.partition).encode()),
            ("source_offset", str(self.offset).encode()),
        ]
        if self.event_id is not None:
            headers.append(("event_id", self.event_id.encode(errors="replace")))
        return headers

    @classmethod
    def read(
        cls, value: bytes | None, key: bytes | None, headers: Mapping[str, bytes | None]
    ) -> "DeadLetter | None":
        """The dead letter of a record on that topic; None if its headers are not a dead letter's."""
        try:
            text = {name: (found or b"").decode() for name, found in headers.items()}
            return cls(
                value, key, text["error_code"], text["error"], text.get("event_id"),
                text["source_topic"], int(text["source_partition"]), int(text["source_offset"]),
                int(text[TRUNCATED]) if TRUNCATED in text else None,
            )  # fmt: skip
        except (KeyError, ValueError):
            return None
