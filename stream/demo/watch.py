"""Reads decisions, alerts and dead letters in a thread, from the beginning, into a Tally."""

import threading
from typing import Any

from confluent_kafka import Consumer, KafkaException, Message, TopicPartition

from features.errors import VigiaError
from stream.demo.tally import Source, Tally
from stream.kafka_client import headers_of
from stream.settings import Settings
from stream.worker import INPUTS

OUTPUTS = ("decisions", "alerts", "dead-letters")
_TIMEOUT = 10.0


class Watch:
    """Joins no group: partitions are assigned by hand, so that nothing waits for a rebalance."""

    def __init__(self, settings: Settings, partitions: int, tally: Tally) -> None:
        self.partitions = partitions
        self.count = 0
        """Messages read."""
        self._names = {settings.topic(name): name for name in OUTPUTS}
        self._places = [TopicPartition(name, p, 0) for name in self._names for p in range(partitions)]
        self._next = {(place.topic, place.partition): 0 for place in self._places}
        self._inputs = {settings.topic(name): name for name in INPUTS}
        self._tally = tally
        self._stop = threading.Event()
        self._error: str | None = None
        config = {
            **settings.kafka_client_config(),
            "group.id": "vigia-demo-watch",
            "enable.auto.commit": False,
        }
        self._consumer = Consumer(config)
        # A consumer serves one thread at a time: a question to the polling one would wait for ever.
        self._asking = Consumer(config)
        self._consumer.assign(self._places)
        self._thread = threading.Thread(target=self._read, name="watch", daemon=True)

    def __enter__(self) -> "Watch":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._consumer.close()
        self._asking.close()

    def has_read_all(self) -> bool:
        """Whether all that the topics hold now has been read. Raises VigiaError when reading failed."""
        if self._error:
            raise VigiaError(f"the outputs cannot be read: {self._error}")
        return all(self._next[p.topic, p.partition] >= self._end(p) for p in self._places)

    def _end(self, place: TopicPartition) -> int:
        try:
            _, end = self._asking.get_watermark_offsets(place, timeout=_TIMEOUT)
        except KafkaException as error:
            raise VigiaError(f"Kafka does not answer: {error.args[0].str()}") from None
        return int(end)

    def _read(self) -> None:
        while not self._stop.is_set() and not self._error:
            message = self._consumer.poll(0.1)
            if message is not None:
                self._take(message)

    def _take(self, message: Message) -> None:
        self.count += 1
        if error := message.error():
            self._error = error.str() if not error.retriable() else None
            return
        topic, headers = message.topic() or "", dict(headers_of(message))
        value = message.value() or b""
        if self._names[topic] == "decisions":
            self._tally.decision(value, _source(headers, "transactions"))
        elif self._names[topic] == "alerts":
            self._tally.alert(value)
        else:
            source = _source(headers, self._inputs[_text(headers["source_topic"])])
            self._tally.dead_letter(source, _text(headers["error_code"]))
        self._next[topic, message.partition() or 0] = (message.offset() or 0) + 1


def _source(headers: dict[str, Any], topic: str) -> Source:
    return topic, int(headers["source_partition"]), int(headers["source_offset"])


def _text(header: str | bytes | None) -> str:
    return header.decode() if isinstance(header, bytes) else header or ""
