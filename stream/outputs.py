"""What leaves the worker: decisions, alerts, feature log and dead letters, through one librdkafka producer.

A batch's messages are handed over with `send`; `delivered` returns when the broker has acknowledged every
one, and only then may the inputs be acknowledged. Several batches may be on their way, in order.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, NamedTuple

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from stream import metrics
from stream.batch import Decided, Outcomes
from stream.dead_letter import TRUNCATED, DeadLetter, Rejected
from stream.health import Health
from stream.kafka_client import KafkaAway, making_client
from stream.messages import SCHEMA_VERSION, event_id_of
from stream.pipeline import dead_letter
from stream.record import Record
from stream.settings import Settings
from stream.topics import TOPICS

_PRODUCER = {
    "enable.idempotence": True,  # acks=all and no reordering, so a retry is no second message
    "message.timeout.ms": 0,  # a broker that is away is waited for, never given up
    "linger.ms": 1,  # a batch is handed over at once; longer would only be waited for
    "queue.buffering.max.messages": 100_000,
    "message.max.bytes": TOPICS["dead-letters"],
}

_POLL_SECONDS = 0.001
_TOLD_SECONDS = 1.0
_LOOK_SECONDS = 5.0
_BEGINNINGS = (64 * 1024, 0)
"""Bytes that are kept of a record which its dead letter has no room for."""
_OUTPUTS = ("decisions", "alerts", "feature-log", "dead-letters")

Headers = list[tuple[str, bytes]]


class Undeliverable(Exception):
    """The producer can't go on; nothing of this batch may be acknowledged."""


class Outgoing(NamedTuple):
    """A message, and the record that it answers; None for a dead letter."""

    topic: str
    partition: int
    key: bytes | None
    value: bytes | None
    headers: Headers
    source: Record | None = None


@dataclass
class Delivery:
    """The messages of one batch on their way."""

    producer: Producer
    left: int = 0
    """Handed over and not yet reported."""
    refused: list[Outgoing] = field(default_factory=list)
    """Too large for their topic, or sent in one request with one that was."""
    error: KafkaError | None = None

    def reported(self, sent: Outgoing, error: KafkaError | None, _: Message) -> None:
        """librdkafka's delivery report."""
        self.left -= 1
        if error is None:
            return
        if error.code() == KafkaError.MSG_SIZE_TOO_LARGE:
            self.refused.append(sent)
        else:
            self.error = error


class Outputs:
    """Sends batches' outcomes. Partition p of an input goes to partition p of each output."""

    def __init__(
        self, settings: Settings, worker: str, health: Health, topic_ids: Mapping[str, str] | None = None
    ) -> None:
        """`topic_ids`: of the inputs, by short name; a decision says on which topic's offset it was made."""
        self._topic, self._topic_ids = settings.topic, topic_ids or {}
        self._deadline = round(settings.decision_deadline * 1000)
        self._group = settings.group_id.encode()
        self._fixed = [
            ("schema_version", SCHEMA_VERSION),
            ("group", self._group),
            ("worker", worker.encode()),
        ]
        self._health = health
        self._fatal: KafkaError | None = None
        self._config = {**settings.kafka_client_config(), **_PRODUCER, "error_cb": self._on_error}
        self._producer = self._make_producer()
        self._single: Producer | None = None
        """Sends one message a request."""
        self._partitions = 0
        """As many of each output are known to the producers."""

    def _make_producer(self, more: Mapping[str, Any] | None = None) -> Producer:
        with making_client():
            return Producer({**self._config, **(more or {})})

    def look_for(self, partitions: int) -> None:
        """Return when the producers know so many partitions of every output. Blocks; raises KafkaAway.

        By themselves they look for added ones every five minutes.
        """
        if partitions <= self._partitions:
            return
        for producer in filter(None, (self._producer, self._single)):
            for topic in map(self._topic, _OUTPUTS):
                try:
                    found = len(producer.list_topics(topic, timeout=_LOOK_SECONDS).topics[topic].partitions)
                except KafkaException as error:
                    raise KafkaAway(f"no broker tells of {topic} ({error.args[0].str()})") from None
                if found < partitions:
                    raise KafkaAway(
                        f"{topic} has {found} partitions and the inputs have {partitions}: add the others"
                    )
        self._partitions = partitions

    async def deliver(self, outcomes: Outcomes) -> None:
        """Send all and wait for the broker's acknowledgement. Raises Undeliverable."""
        await self.delivered(self.send(outcomes))

    def send(self, outcomes: Outcomes) -> Delivery:
        """Hand over all. Raises Undeliverable."""
        now = int(time.time() * 1000)
        messages = [self._dead_letter(letter, now) for letter in outcomes.dead_letters]
        for decided in outcomes.decided:
            self._add_decided(decided, now, messages)
        for logged in outcomes.logged:
            headers = self._headers(logged.record, now)
            messages.append(self._log(logged.record, logged.feature_log, headers))
        return self._hand_over(messages, self._producer)

    async def delivered(self, delivery: Delivery) -> None:
        """Return when the broker has all of it. Raises Undeliverable.

        What was refused as too large is sent again alone, for it may only have shared a request with a larger
        one; what is refused alone becomes its record's dead letter.
        """
        await self._reports(delivery)
        letters: dict[Record, DeadLetter] = {}
        refused = await self._refused_alone(delivery.refused)
        await self._send_beginnings([message for message in refused if message.source is None])
        for message in refused:
            if message.source is not None:
                letters.setdefault(message.source, _too_large(message, message.source))
        if letters:
            await self.deliver(Outcomes(dead_letters=list(letters.values())))
            for letter in letters.values():
                metrics.DEAD_LETTERS.labels(letter.code).inc()

    async def _send_beginnings(self, letters: Sequence[Outgoing]) -> None:
        """Of dead letters that are refused whole: a compressed record may be larger than any topic takes."""
        for size in _BEGINNINGS:
            letters = await self._refused_alone([_beginning(letter, size) for letter in letters])
        if letters:
            raise Undeliverable(f"{letters[0].topic} refuses a dead letter without its bytes as too large")

    async def _refused_alone(self, messages: Sequence[Outgoing]) -> list[Outgoing]:
        """Send them again, each in a request of its own."""
        if not messages:
            return []
        self._single = self._single or self._make_producer({"batch.num.messages": 1})
        alone = self._hand_over(messages, self._single)
        await self._reports(alone)
        return alone.refused

    async def _reports(self, delivery: Delivery) -> None:
        # Polled from here: a thread of its own would have to wait for the interpreter at each report.
        loop = asyncio.get_running_loop()
        began = loop.time()
        while True:
            delivery.producer.poll(0)
            if error := delivery.error or self._fatal:
                raise Undeliverable(str(error))
            if not delivery.left:
                break
            if loop.time() - began > _TOLD_SECONDS:
                self._health.waiting("producer", "the broker does not acknowledge")
            await asyncio.sleep(_POLL_SECONDS)
        self._health.answered("producer")

    def _add_decided(self, decided: Decided, now: int, messages: list[Outgoing]) -> None:
        record, headers = decided.record, self._headers(decided.record, now)
        if decided.fresh:
            waited = now - record.timestamp
            told = headers
            if waited > self._deadline:
                told = [*headers, ("late", str(waited).encode())]
                metrics.LATE_DECISIONS.inc()
            messages.append(
                Outgoing("decisions", record.partition, record.key, decided.decision, told, record)
            )
        if decided.alert:
            messages.append(Outgoing("alerts", record.partition, record.key, decided.alert, headers, record))
        if decided.reapplied:
            headers = [*headers, ("reapplied", b"1")]
        messages.append(self._log(record, decided.feature_log, headers))

    def _log(self, record: Record, value: bytes, headers: Headers) -> Outgoing:
        # The other outputs are of transactions alone; the feature log's records are of both inputs.
        headers = [*headers, ("source_topic", record.topic.encode())]
        return Outgoing("feature-log", record.partition, record.key, value, headers, record)

    def _dead_letter(self, known: DeadLetter, now: int) -> Outgoing:
        letter = replace(known, topic=self._topic(known.topic))
        headers = dead_headers(letter, self._group, str(now).encode())
        return Outgoing("dead-letters", letter.partition, letter.key, letter.value, headers)

    def _headers(self, record: Record, now: int) -> Headers:
        headers = [
            *self._fixed,
            ("source_partition", str(record.partition).encode()),
            ("source_offset", str(record.offset).encode()),
            ("processed_at", str(now).encode()),
        ]
        if topic_id := self._topic_ids.get(record.topic):
            headers.append(("source_topic_id", topic_id.encode()))
        if record.traceparent:
            headers.append(("traceparent", record.traceparent))
        return headers

    def _hand_over(self, messages: Sequence[Outgoing], producer: Producer) -> Delivery:
        delivery = Delivery(producer)
        for message in messages:
            try:
                self._produce(message, delivery)
            except BufferError:  # never: four batches of 1,000 are far less, in messages and in bytes
                raise Undeliverable("the producer's queue is full") from None
            except KafkaException as error:
                if error.args[0].code() != KafkaError.MSG_SIZE_TOO_LARGE:
                    raise Undeliverable(str(error)) from error
                delivery.refused.append(message)
        return delivery

    def _produce(self, message: Outgoing, delivery: Delivery) -> None:
        topic, partition, key, value, headers, _ = message
        delivery.producer.produce(
            self._topic(topic), value, key, partition, partial(delivery.reported, message),
            headers=headers,  # type: ignore[arg-type]  # a list of pairs is one of the types it takes
        )  # fmt: skip
        delivery.left += 1

    def _on_error(self, error: KafkaError) -> None:
        if error.fatal():
            self._fatal = error


def _beginning(letter: Outgoing, size: int) -> Outgoing:
    """The dead letter with so many bytes of its record, and how many that has."""
    value, key, headers = letter.value or b"", letter.key, letter.headers
    if not any(name == TRUNCATED for name, _ in headers):
        headers = [*headers, (TRUNCATED, str(len(value)).encode())]
    return letter._replace(value=value[:size], key=key if key and len(key) <= size else None, headers=headers)


def _too_large(message: Outgoing, source: Record) -> DeadLetter:
    size = len(message.value or b"")
    text = f"{message.topic} refuses its {size} bytes as too large"
    return dead_letter(source, Rejected("OUTPUT_TOO_LARGE", text, event_id_of(source.value or b"")))


def dead_headers(letter: DeadLetter, group: bytes, now: bytes) -> Headers:
    return [*letter.headers(), ("schema_version", SCHEMA_VERSION), ("group", group), ("processed_at", now)]
