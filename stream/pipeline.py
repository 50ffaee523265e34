"""One function, `process(batch) -> outcomes`; it knows no Faust, no Kafka client and no HTTP.

decode → windows → vectors → scores → decisions, for a batch of records in the order of their partitions.
The same batch may be processed again after any failure: what was applied is answered from the state's
log, byte for byte, and what was already decided is not decided again.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import orjson

from features.catalog import FEATURES_VERSION, vectors
from features.state import ANSWERED, Answer, Entry, LogId, Span, State, Status
from features.transaction import FraudReport, Transaction
from models.scorer import Scorer
from stream import metrics
from stream.dead_letter import DeadLetter, Rejected
from stream.judge import Judge, judged_before
from stream.messages import MAX_BYTES, decode_report, decode_transaction, encode_feature_log
from stream.policy import Policy

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


class Decided(NamedTuple):
    """What became of one transaction. `fresh`: its decision was not delivered before."""

    record: Record
    outcome: str
    decision: bytes
    alert: bytes | None
    feature_log: bytes
    fresh: bool = True


@dataclass(frozen=True)
class Outcomes:
    """All that a batch sends."""

    decided: list[Decided] = field(default_factory=list)
    dead_letters: list[DeadLetter] = field(default_factory=list)


@dataclass
class Assignment:
    """Where this worker is in one partition."""

    log: LogId
    position: int
    """The `stop` of the last call."""
    committed: int
    """As the broker confirmed it."""
    decided: dict[int, bytes] = field(default_factory=dict)
    """Offset → payload of decisions that were delivered but not committed before this worker took over."""

    def forget_committed(self) -> None:
        if self.decided and min(self.decided) < self.committed:
            self.decided = {offset: d for offset, d in self.decided.items() if offset >= self.committed}


class Pipeline:
    """Joins the state, the model and the policy."""

    def __init__(self, state: State, scorer: Scorer, policy: Policy) -> None:
        self.state = state
        self.assignments: dict[tuple[str, int], Assignment] = {}
        self._judge = Judge(scorer, policy)

    async def process(self, batch: Sequence[Record]) -> Outcomes:
        """Decide every transaction of the batch. Raises Behind or StateAway; then call again, as it was.

        Every assigned partition takes part in the call, so that a loss in any of them is noticed.
        """
        outcomes = Outcomes()
        assignments = list(self.assignments.values())
        for assignment in assignments:
            assignment.forget_committed()
        places = {key: i for i, key in enumerate(self.assignments)}
        stops = [a.position for a in assignments]
        with metrics.stage("decode"):
            records, entries = [], []
            for record in batch:
                place = places[record.topic, record.partition]
                stops[place] = max(stops[place], record.offset + 1)
                try:
                    event = decode(record)
                except Rejected as rejected:
                    outcomes.dead_letters.append(dead_letter(record, rejected))
                    continue
                records.append(record)
                entries.append(Entry(place, record.offset, event, record.replay))
        spans = [
            Span(a.log, a.committed, a.position, stop) for a, stop in zip(assignments, stops, strict=True)
        ]
        with metrics.stage("state"):
            answer = await self.state.apply(spans, entries, self._judge.versions)
        for assignment, stop in zip(assignments, stops, strict=True):
            assignment.position = stop
        self._decide(records, entries, answer, outcomes)
        return outcomes

    async def heal(self, log: LogId, records: Sequence[Record], start: int, stop: int) -> None:
        """Apply [start, stop) of a partition again, into the state only. Raises StateAway."""
        entries = []
        for record in records:
            try:
                entries.append(Entry(0, record.offset, decode(record), record.replay))
            except Rejected:  # its dead letter was sent when it was first read
                continue
        await self.state.apply([Span(log, 0, start, stop, healing=True)], entries)

    def _decide(
        self, records: list[Record], entries: list[Entry], answer: Answer, outcomes: Outcomes
    ) -> None:
        payments: list[tuple[Record, Transaction]] = []
        rows, replayed = [], []
        row = 0
        for record, entry, status in zip(records, entries, answer.statuses.tolist(), strict=True):
            if status in (Status.STORED, Status.STALE):
                metrics.REDELIVERED.labels(Status(status).name).inc()
            if not isinstance(entry.event, Transaction):
                continue
            if status in ANSWERED:
                payments.append((record, entry.event))
                rows.append(row)
                replayed.append(status == Status.REPLAYED)
            elif status == Status.REUSED:
                text = "this payer used the event id for another payment"
                rejected = Rejected("EVENT_ID_REUSED", text, entry.event.event_id)
                outcomes.dead_letters.append(dead_letter(record, rejected))
            elif status == Status.REPEAT:
                metrics.REPEATS.inc()
            row += 1
        if not payments:
            return
        with metrics.stage("vectors"):
            matrix = vectors(answer.slots[rows], [payment for _, payment in payments])
        judgements = self._judge.judge([payment for _, payment in payments], matrix, replayed)
        for (record, payment), vector, judgement in zip(payments, matrix, judgements, strict=True):
            # Kept until it is committed: the same batch may come again.
            earlier = self.assignments[record.topic, record.partition].decided.get(record.offset)
            if earlier is not None and orjson.loads(earlier)["event_id"] != payment.event_id:
                earlier = None  # of a topic that was deleted and made anew: its offsets began again
            if earlier is not None:
                judgement = judged_before(earlier, vector)
            if judgement is None:
                rejected = Rejected("SCORING_ERROR", "scoring this event alone fails", payment.event_id)
                outcomes.dead_letters.append(dead_letter(record, rejected))
                continue
            feature_log = encode_feature_log(payment, FEATURES_VERSION, vector)
            outcomes.decided.append(Decided(record, *judgement, feature_log, fresh=earlier is None))


def decode(record: Record) -> Transaction | FraudReport:
    """Raises Rejected."""
    if record.key and len(record.key) > MAX_BYTES:  # outputs carry the key, and must have room for it
        raise Rejected("MESSAGE_TOO_LARGE", f"the key has {len(record.key)} bytes; at most {MAX_BYTES}")
    read = decode_transaction if record.topic == TRANSACTIONS else decode_report
    return read(record.value, record.timestamp)


def dead_letter(record: Record, why: Rejected) -> DeadLetter:
    return DeadLetter(
        record.value,
        record.key,
        why.code,
        why.text,
        why.event_id,
        record.topic,
        record.partition,
        record.offset,
    )
