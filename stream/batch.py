"""A batch on its way: what each step of the pipeline hands to the next."""

from collections import Counter
from dataclasses import dataclass, field
from typing import NamedTuple

from features.state import Answer, Entry, LogId, Numbers, Span, Status
from features.transaction import FraudReport, Transaction
from stream.dead_letter import DeadLetter
from stream.judge import Judge
from stream.record import Record


class Decided(NamedTuple):
    """What became of one transaction."""

    record: Record
    outcome: str
    decision: bytes
    alert: bytes | None
    feature_log: bytes
    fresh: bool = True
    """Its decision was not delivered before."""
    reapplied: bool = False
    """Its decision was, and the windows gave its vector anew: another than the one that was judged, maybe."""


class Logged(NamedTuple):
    """What the windows took and nobody decided: a report, or a transaction whose scoring failed."""

    record: Record
    feature_log: bytes


class Payment(NamedTuple):
    """A transaction that the state answered."""

    record: Record
    event: Transaction
    status: Status
    numbers: Numbers


@dataclass(frozen=True)
class Outcomes:
    """All that a batch sends."""

    decided: list[Decided] = field(default_factory=list)
    dead_letters: list[DeadLetter] = field(default_factory=list)
    logged: list[Logged] = field(default_factory=list)


@dataclass(frozen=True)
class Decoded:
    """A batch as it was read, in the order of its partitions: the good records and their events."""

    records: list[Record]
    events: list[Transaction | FraudReport]
    prepared: list[object]
    """Of each event, for the state."""
    dead_letters: list[DeadLetter]
    stops: dict[tuple[str, int], int]
    """Behind the last record of each partition, bad ones too."""
    taken: Counter[str]
    """Records of each topic, bad ones too."""


class Asked(NamedTuple):
    """A batch's call to the state: after a failure it is made again as it was."""

    batch: Decoded
    assignments: list["Assignment"]
    spans: list[Span]
    """Of each assignment."""
    entries: list[Entry]
    judge: Judge
    """Whose versions the state is told: it decides the batch, whichever serves by then."""


class Answered(NamedTuple):
    """A batch that the state applied."""

    batch: Decoded
    answer: Answer
    judge: Judge


@dataclass
class Assignment:
    """Where this worker is in one partition."""

    log: LogId
    position: int
    """The `stop` of the last call that was answered, and all before it were."""
    committed: int
    """As the broker confirmed it."""
    asked: int = field(init=False)
    """The `stop` of the last call that was made: never below `position`."""
    decided: dict[int, bytes] = field(default_factory=dict)
    """Offset → payload of decisions that were delivered but not committed before this worker took over."""

    def __post_init__(self) -> None:
        self.asked = self.position

    def forget_committed(self) -> None:
        if self.decided and min(self.decided) < self.committed:
            self.decided = {offset: d for offset, d in self.decided.items() if offset >= self.committed}
