"""What leaves the worker: decisions, alerts, feature log and dead letters, through one librdkafka producer.

`deliver` returns when the broker has acknowledged every message; only then may the inputs be acknowledged.
"""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from stream.dead_letter import DeadLetter
from stream.health import Health
from stream.kafka_client import making_client
from stream.messages import SCHEMA_VERSION
from stream.pipeline import Decided, Outcomes, Record
from stream.settings import Settings
from stream.topics import TOPICS

_PRODUCER = {
    "enable.idempotence": True,  # acks=all and no reordering, so a retry is no second message
    "message.timeout.ms": 0,  # a broker that is away is waited for, never given up
    "delivery.report.only.error": True,
    "linger.ms": 5,  # `flush` cuts it short
    "queue.buffering.max.messages": 100_000,
    "message.max.bytes": TOPICS["dead-letters"],
}


Headers = list[tuple[str, bytes]]


class Undeliverable(Exception):
    """The producer can't go on; nothing of this batch may be acknowledged."""


class Outputs:
    """Sends a batch's outcomes. Partition p of an input goes to partition p of each output."""

    def __init__(
        self, settings: Settings, worker: str, health: Health, topic_ids: Mapping[str, str] | None = None
    ) -> None:
        """`topic_ids`: of the inputs, by short name; a decision says on which topic's offset it was made."""
        self._topic, self._topic_ids = settings.topic, topic_ids or {}
        self._fixed = [
            ("schema_version", SCHEMA_VERSION),
            ("group", settings.group_id.encode()),
            ("worker", worker.encode()),
        ]
        self._health = health
        self._errors: list[KafkaError] = []
        config = {**settings.kafka_client_config(), **_PRODUCER, "error_cb": self._on_error}
        with making_client():
            self._producer = Producer(config)

    async def deliver(self, outcomes: Outcomes) -> None:
        """Send all and wait for the broker's acknowledgement. Raises Undeliverable."""
        now = str(int(time.time() * 1000)).encode()
        for known in outcomes.dead_letters:
            letter = replace(known, topic=self._topic(known.topic))
            self._send("dead-letters", letter.partition, letter.key, letter.value, _dead_headers(letter, now))
        for decided in outcomes.decided:
            self._send_decided(decided, now)
        for logged in outcomes.logged:
            self._log(logged.record, logged.feature_log, self._headers(logged.record, now))
        loop = asyncio.get_running_loop()
        while len(self._producer):
            # In a thread: waiting for the broker must not stop heartbeats and health checks.
            await loop.run_in_executor(None, self._producer.flush, 1.0)
            if len(self._producer):
                self._health.waiting("producer", "the broker does not acknowledge")
            if self._errors:
                raise Undeliverable(str(self._errors[0]))
        if self._errors:
            raise Undeliverable(str(self._errors[0]))
        self._health.answered("producer")

    def _send_decided(self, decided: Decided, now: bytes) -> None:
        record, headers = decided.record, self._headers(decided.record, now)
        if decided.fresh:
            self._send("decisions", record.partition, record.key, decided.decision, headers)
        if decided.alert:
            self._send("alerts", record.partition, record.key, decided.alert, headers)
        if decided.reapplied:
            headers = [*headers, ("reapplied", b"1")]
        self._log(record, decided.feature_log, headers)

    def _log(self, record: Record, value: bytes, headers: Headers) -> None:
        # The other outputs are of transactions alone; the feature log's records are of both inputs.
        headers = [*headers, ("source_topic", record.topic.encode())]
        self._send("feature-log", record.partition, record.key, value, headers)

    def _headers(self, record: Record, now: bytes) -> Headers:
        headers = [
            *self._fixed,
            ("source_partition", str(record.partition).encode()),
            ("source_offset", str(record.offset).encode()),
            ("processed_at", now),
        ]
        if topic_id := self._topic_ids.get(record.topic):
            headers.append(("source_topic_id", topic_id.encode()))
        if record.traceparent:
            headers.append(("traceparent", record.traceparent))
        return headers

    def _send(self, topic: str, partition: int, key: bytes | None, value: bytes | None, headers: Any) -> None:
        while True:
            try:
                self._producer.produce(
                    self._topic(topic), value, key, partition, on_delivery=self._delivered, headers=headers
                )
                return
            except BufferError:
                self._producer.poll(0.1)
            except KafkaException as error:
                raise Undeliverable(str(error)) from error

    def _delivered(self, error: KafkaError | None, _: Message) -> None:
        if error is not None:
            self._errors.append(error)

    def _on_error(self, error: KafkaError) -> None:
        if error.fatal():
            self._errors.append(error)


def _dead_headers(letter: DeadLetter, now: bytes) -> Headers:
    return [*letter.headers(), ("schema_version", SCHEMA_VERSION), ("processed_at", now)]
