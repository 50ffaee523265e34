"""The end of `decisions` and `dead-letters`, as it grows: every partition, in no group."""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from queue import Empty, SimpleQueue
from threading import Thread

from confluent_kafka import (
    TIMESTAMP_NOT_AVAILABLE,
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    TopicPartition,
)

from stream.http.outcome import Headers, Ours, Outcome, Place
from stream.kafka_client import headers_of, making_client
from stream.settings import Settings
from stream.stands import Place as Partition

log = logging.getLogger("vigia.door")

_POLL_SECONDS = 0.2
_LOOK_SECONDS = 2.0
_STUCK_SECONDS = 10.0


class Tail:
    """A thread that reads new outcomes and hands them to the event loop."""

    def __init__(
        self,
        settings: Settings,
        ours: Ours,
        loop: asyncio.AbstractEventLoop,
        take: Callable[[list[Outcome]], None],
        on_error: Callable[[KafkaError], None],
    ) -> None:
        self._settings, self._ours, self._loop, self._take = settings, ours, loop, take
        self._short = {settings.topic(name): name for name in ("decisions", "dead-letters")}
        config = settings.kafka_client_config() | {
            "group.id": settings.group_id,  # required; without a subscription and a commit it is never joined
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            # The broker answers a fetch as soon as there is one byte; this bounds the wait of an idle one.
            "fetch.min.bytes": 1,
            "fetch.wait.max.ms": 100,
            "queued.max.messages.kbytes": 16_384,
            "socket.nagle.disable": True,
            "reconnect.backoff.max.ms": 1000,  # by default a broker that is back is not seen for 10 s
            "error_cb": on_error,
        }
        with making_client():
            self._consumer = Consumer(config)
        self._wanted: SimpleQueue[tuple[bool, dict[Partition, int]]] = SimpleQueue()
        self._open, self._beat = True, time.monotonic()
        self._thread = Thread(target=self._run, name="tail", daemon=True)
        self._thread.start()

    def assign(self, starts: Mapping[Partition, int]) -> None:
        """Read these partitions from there on, and no others."""
        self._wanted.put((True, dict(starts)))

    def add(self, starts: Mapping[Partition, int]) -> None:
        """Read these too."""
        self._wanted.put((False, dict(starts)))

    @property
    def alive(self) -> bool:
        return self._thread.is_alive() and time.monotonic() - self._beat < _STUCK_SECONDS

    def close(self) -> None:
        """Blocks for a moment."""
        self._open = False
        self._thread.join(2.0)

    def _run(self) -> None:
        while self._open:
            self._beat = time.monotonic()
            self._obey()
            first = self._consumer.poll(_POLL_SECONDS)
            if first is None:
                continue
            messages = [
                first,
                *self._consumer.consume(1000, timeout=0),
            ]  # alone it would wait for all of them
            found = [outcome for message in messages if (outcome := self._outcome(message))]
            if found and self._open:
                self._loop.call_soon_threadsafe(self._take, found)
        self._consumer.close()

    def _obey(self) -> None:
        try:
            while True:
                anew, starts = self._wanted.get_nowait()
                self._look_up_leaders()
                places = [
                    TopicPartition(self._settings.topic(t), p, start) for (t, p), start in starts.items()
                ]
                if anew:
                    self._consumer.assign(places)
                else:
                    self._consumer.incremental_assign(places)
        except Empty:
            return

    def _look_up_leaders(self) -> None:
        """A partition that this client has not heard of yet would be an error."""
        try:
            self._consumer.list_topics(timeout=_LOOK_SECONDS)
        except KafkaException as error:
            log.warning("the tail of the log: %s", error.args[0].str())

    def _outcome(self, message: Message) -> Outcome | None:
        error = message.error()
        if error is not None:
            log.warning("the tail of the log: %s", error.str())
            return None
        return read_outcome(self._ours, self._short[message.topic() or ""], message)


def read_outcome(ours: Ours, topic: str, message: Message) -> Outcome | None:
    """The outcome that a message tells; `topic` is its short name."""
    kind, timestamp = message.timestamp()
    at = 0 if kind == TIMESTAMP_NOT_AVAILABLE else timestamp
    place = Place(topic, message.partition() or 0, message.offset() or 0)
    headers: Headers = dict(headers_of(message))
    return ours.read(place, at, message.value(), headers)
