"""A record of the inputs, whoever read it."""

from typing import NamedTuple

TRANSACTIONS, REPORTS = "transactions", "fraud-reports"


class Record(NamedTuple):
    """One record as it was read. `topic` is its name without the prefix; `timestamp` is Kafka's, in ms."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    replay: bool = False
    traceparent: bytes | None = None
