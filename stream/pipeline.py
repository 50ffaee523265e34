"""One function, `process(batch) -> outcomes`; it knows no Faust, no Kafka client and no HTTP.

decode → windows → vectors → scores → decisions, for a batch of records in the order of their partitions. The
worker takes its steps (`decode`; `ask`, `call` and `answered`; `decide`) apart, to let batches overlap.
The same batch may be processed again after any failure: what was applied is answered from the state's
log, byte for byte, and what was already decided is not decided again.
"""

from collections import Counter
from collections.abc import Sequence
from functools import cache

import numpy as np
import orjson
from numpy.typing import NDArray

from features.catalog import FEATURES_VERSION, vectors
from features.state import ANSWERED, Answer, Entry, Span, State, StateError, Status
from features.transaction import FraudReport, Transaction
from stream import metrics
from stream.batch import Answered, Asked, Assignment, Decided, Decoded, Logged, Outcomes, Payment
from stream.dead_letter import DeadLetter, Rejected
from stream.judge import Judge, Judgement, judged_before
from stream.late import late
from stream.messages import (
    MAX_BYTES,
    decode_report,
    decode_transaction,
    encode_applied_report,
    encode_feature_log,
)
from stream.record import TRANSACTIONS, Record

_STATUSES = tuple(Status)
_late_of = cache(metrics.LATE.labels)


class Pipeline:
    """Joins the state and the judge."""

    def __init__(self, state: State, judge: Judge) -> None:
        self.state = state
        self.assignments: dict[tuple[str, int], Assignment] = {}
        self.judge = judge
        """Of the batches to be read; another may be put in its place between two steps."""

    async def process(self, batch: Sequence[Record]) -> Outcomes:
        """Decide every transaction of the batch. Raises Behind or StateAway; then call again, as it was."""
        return self.decide(await self.read(self.decode(batch)))

    def decode(self, batch: Sequence[Record]) -> Decoded:
        """All that can be done before the state is asked. It may be done ahead, and once for all attempts."""
        decoded = Decoded([], [], [], [], {}, Counter(record.topic for record in batch))
        with metrics.stage("decode"):
            for record in batch:
                place = record.topic, record.partition
                decoded.stops[place] = max(decoded.stops.get(place, 0), record.offset + 1)
                try:
                    event = decode(record)
                except Rejected as rejected:
                    decoded.dead_letters.append(dead_letter(record, rejected))
                else:
                    decoded.records.append(record)
                    decoded.events.append(event)
                    decoded.prepared.append(self.state.prepare(event))
        return decoded

    async def read(self, batch: Decoded) -> Answered:
        """Apply the batch to the state, no other call being on its way. Raises Behind or StateAway; then
        call again, as it was."""
        asked = self.ask(batch)
        try:
            return self.answered(asked, await self.call(asked))
        except StateError:
            for assignment in asked.assignments:
                assignment.asked = assignment.position
            raise

    def ask(self, batch: Decoded) -> Asked:
        """The batch's call, to be made behind those that were asked for before it.

        Every assigned partition takes part in the call, so that a loss in any of them is noticed.
        """
        assignments = list(self.assignments.values())
        for assignment in assignments:
            assignment.forget_committed()
        places = {key: i for i, key in enumerate(self.assignments)}
        stops = [max(a.asked, batch.stops.get(key, 0)) for key, a in self.assignments.items()]
        entries = [
            Entry(places[record.topic, record.partition], record.offset, event, record.replay, prepared)
            for record, event, prepared in zip(batch.records, batch.events, batch.prepared, strict=True)
        ]
        spans = [Span(a.log, a.committed, a.asked, stop) for a, stop in zip(assignments, stops, strict=True)]
        for assignment, stop in zip(assignments, stops, strict=True):
            assignment.asked = stop
        return Asked(batch, assignments, spans, entries, self.judge)

    async def call(self, asked: Asked) -> Answer:
        """Make it. Raises Behind or StateAway; then make it again."""
        with metrics.stage("state"):
            return await self.state.apply(asked.spans, asked.entries, asked.judge.versions)

    def answered(self, asked: Asked, answer: Answer) -> Answered:
        """Its answer counts: to be told in the order in which they were asked for."""
        for assignment, span in zip(asked.assignments, asked.spans, strict=True):
            assignment.position = span.stop
        return Answered(asked.batch, answer, asked.judge)

    def decide(self, answered: Answered) -> Outcomes:
        """What is to be sent of a batch that the state answered."""
        batch, answer, judge = answered
        outcomes = Outcomes(dead_letters=list(batch.dead_letters))
        payments, rows = self._sort(batch, answer, outcomes)
        if payments:
            self._decide(judge, payments, _rows(answer.slots, rows), outcomes)
        return outcomes

    async def heal(self, spans: Sequence[Span], entries: Sequence[Entry]) -> None:
        """Apply again, into the state only. Raises Behind, StateAway."""
        await self.state.apply(spans, entries)

    def _decide(
        self, judge: Judge, payments: Sequence[Payment], slots: NDArray[np.float64], outcomes: Outcomes
    ) -> None:
        events = [payment.event for payment in payments]
        with metrics.stage("vectors"):
            matrix = vectors(slots, events)
        _count_late(payments, slots)
        replayed = [payment.status == Status.REPLAYED for payment in payments]
        # A STORED one's windows are the stored answer's, whatever was to decide it then (`Answer.versions`).
        # What those versions decided and delivered is in `decided`, read back when this worker took over,
        # and stands; what they did not deliver nobody saw, so this worker's versions may decide it.
        judgements = judge.judge(events, matrix, replayed)
        with metrics.stage("log"):
            for payment, vector, judgement in zip(payments, matrix, judgements, strict=True):
                self._conclude(payment, vector, judgement, outcomes)

    def _sort(self, batch: Decoded, answer: Answer, outcomes: Outcomes) -> tuple[list[Payment], list[int]]:
        """The transactions to decide and their rows of `answer.slots`; the rest is concluded here."""
        payments, rows, row = [], [], 0
        statuses = [_STATUSES[status] for status in answer.statuses.tolist()]
        _count(statuses)
        for record, event, status, numbers in zip(
            batch.records, batch.events, statuses, answer.sequences, strict=True
        ):
            if isinstance(event, FraudReport):
                if status in ANSWERED:
                    value = encode_applied_report(event, FEATURES_VERSION, numbers)
                    outcomes.logged.append(Logged(record, value))
                continue
            if status in ANSWERED:
                payments.append(Payment(record, event, status, numbers))
                rows.append(row)
            elif status == Status.REUSED:
                outcomes.dead_letters.append(dead_letter(record, _reused(event)))
            row += 1
        return payments, rows

    def _conclude(
        self, payment: Payment, vector: NDArray[np.float32], judgement: Judgement | None, outcomes: Outcomes
    ) -> None:
        record, event = payment.record, payment.event
        earlier = self._delivered(record, event)
        if earlier is not None:
            judgement = judged_before(earlier, vector)
        outcome, propensity = (judgement.outcome, judgement.propensity) if judgement else (None, None)
        feature_log = encode_feature_log(
            event, FEATURES_VERSION, payment.numbers, vector, outcome, propensity
        )
        if judgement is None:
            rejected = Rejected("SCORING_ERROR", "scoring this event alone fails", event.event_id)
            outcomes.dead_letters.append(dead_letter(record, rejected))
            outcomes.logged.append(Logged(record, feature_log))
        else:
            again = earlier is not None and payment.status != Status.STORED
            _, decision, alert, _ = judgement
            outcomes.decided.append(
                Decided(record, judgement.outcome, decision, alert, feature_log, earlier is None, again)
            )

    def _delivered(self, record: Record, event: Transaction) -> bytes | None:
        """The decision that was delivered for this record, kept until it is committed: it may come again."""
        earlier = self.assignments[record.topic, record.partition].decided.get(record.offset)
        if earlier is not None and orjson.loads(earlier)["event_id"] != event.event_id:
            return None  # of a topic that was deleted and made anew: its offsets began again
        return earlier


def _count(statuses: Sequence[Status]) -> None:
    for status, count in Counter(statuses).items():
        if status in (Status.STORED, Status.STALE):
            metrics.REDELIVERED.labels(status.name).inc(count)
        elif status == Status.REPEAT:
            metrics.REPEATS.inc(count)


def _count_late(payments: Sequence[Payment], slots: NDArray[np.float64]) -> None:
    fresh = [i for i, payment in enumerate(payments) if payment.status == Status.APPLIED]
    times = np.array([payments[i].event.occurred_at for i in fresh], dtype=np.int64)
    for entity, count in late(_rows(slots, fresh), times).items():
        _late_of(entity).inc(count)


def _rows(slots: NDArray[np.float64], rows: list[int]) -> NDArray[np.float64]:
    """These rows, in their order: most often all of them."""
    return slots if len(rows) == len(slots) else slots[rows]


def _reused(event: Transaction) -> Rejected:
    return Rejected("EVENT_ID_REUSED", "this payer used the event id for another payment", event.event_id)


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
