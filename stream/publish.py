"""Publishing on a schedule: every message is sent when it is due, whether or not the last one arrived.

The one place where the commands that feed the topics name confluent-kafka.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from features.errors import VigiaError
from stream.kafka_client import making_client

BROKER_TIMEOUT_S = 10.0
PROGRESS_EVERY_S = 0.25
# Shorter waits than this are not worth a system call: a message may leave so much before it is due.
EARLY_S = 0.001

PRODUCER = {
    # Java's partitioner, so that a payer's events land where every other producer puts them.
    "partitioner": "murmur2_random",
    "enable.idempotence": True,
    "linger.ms": 2,
    "queue.buffering.max.messages": 200_000,
    # The broker's topic decides what is too large, not this client: a dead letter that is replayed may be.
    "message.max.bytes": 8 * 1024 * 1024,
    # Silent: what librdkafka retries by itself is no news, and what fails is told in the report.
    "log_level": 2,
}


Headers = list[tuple[str, str | bytes | None]]


class Outgoing(NamedTuple):
    """One record: the topic's full name, key, value, headers."""

    topic: str
    key: bytes | None
    value: bytes
    headers: Headers | None = None


@dataclass(frozen=True)
class PublishReport:
    """What became of the messages."""

    sent: int
    """Acknowledged by the broker."""
    failed: int
    seconds: float
    """From the first message to the last acknowledgement."""
    error: str | None = None
    """Why the first of the failed ones failed."""


def publish(
    messages: Iterable[tuple[str, bytes | None, bytes, Headers | None]],
    *,
    config: Mapping[str, Any],
    rate: float | None = None,
    on_progress: Callable[[int], None] | None = None,
    on_send: Callable[[int], None] | None = None,
) -> PublishReport:
    """Send all, in order, `rate` a second (None: as fast as the broker takes them); wait for every answer.

    `config` is librdkafka's, and goes before `PRODUCER`.
    Open loop: message i is due i/rate seconds after the first, and a late one does not move those behind it.
    `on_progress` is told how many were handed over, now and then and at the end; `on_send` is told the index
    of each message right before. Raises VigiaError when no broker answers or a topic does not exist.
    """
    sender = _Sender(config)
    start = last_told = time.monotonic()
    handed = 0
    for message in messages:
        if rate is not None:
            sender.wait_until(start + handed / rate)
        if on_send is not None:
            on_send(handed)
        sender.send(Outgoing(*message))
        handed += 1
        if on_progress is not None and time.monotonic() - last_told > PROGRESS_EVERY_S:
            on_progress(handed)
            last_told = time.monotonic()
    sender.finish()
    if on_progress is not None:
        on_progress(handed)
    return PublishReport(sender.sent, sender.failed, time.monotonic() - start, sender.error)


class _Sender:
    """A producer that counts what was acknowledged and knows which topics there are."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        self.sent = self.failed = 0
        self.error: str | None = None
        with making_client():
            self._producer = Producer({**PRODUCER, **config})
        self._topics = _existing_topics(self._producer, str(config.get("bootstrap.servers", "")))

    def wait_until(self, due: float) -> None:
        """Serve the answers until the monotonic clock says `due`."""
        while (left := due - time.monotonic()) > EARLY_S:
            self._producer.poll(0)
            time.sleep(min(left, 0.05))

    def send(self, message: Outgoing) -> None:
        """Hand over one message; waits while librdkafka's queue is full."""
        if message.topic not in self._topics:
            raise VigiaError(f"topic {message.topic} does not exist: run vigia topics first")
        while True:
            try:
                self._producer.produce(
                    message.topic,
                    key=message.key,
                    value=message.value,
                    headers=message.headers,
                    on_delivery=self._answered,
                )
            except BufferError:
                self._producer.poll(0.05)
            except KafkaException as error:
                self._fail(error.args[0])
                return
            else:
                self._producer.poll(0)
                return

    def finish(self) -> None:
        """Wait until each message was acknowledged or given up (librdkafka's delivery timeout)."""
        while self._producer.flush(1.0):
            pass

    def _answered(self, error: KafkaError | None, _: Message) -> None:
        if error is None:
            self.sent += 1
        else:
            self._fail(error)

    def _fail(self, error: KafkaError) -> None:
        self.failed += 1
        self.error = self.error or error.str()


def _existing_topics(producer: Producer, bootstrap: str) -> set[str]:
    try:
        return set(producer.list_topics(timeout=BROKER_TIMEOUT_S).topics)
    except KafkaException as error:
        raise VigiaError(
            f"no Kafka broker answers at {bootstrap} ({error.args[0].str()}): "
            "start one with `vigia up`, or set VIGIA_KAFKA_BOOTSTRAP"
        ) from error
