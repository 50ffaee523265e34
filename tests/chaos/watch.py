"""What is seen from outside meanwhile: decisions as they come, what is committed, who says to be ready."""

import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from threading import Event, Thread
from typing import Any, NamedTuple

from confluent_kafka import Consumer, KafkaException, Message, TopicPartition

from deploy.local.process import wait_until
from stream.kafka_client import making_client

from ..world import World
from .recovery import Arrival

_EVERY = 0.25


class Committed(NamedTuple):
    """What the group had committed of `transactions` at a time (the wall's, in ms), by partition."""

    at: float
    offsets: dict[int, int]


class Probe(NamedTuple):
    """What /readyz of a worker said at a (monotonic) time: its status, 0 without an answer."""

    at: float
    worker: int
    status: int


class Watch:
    """Threads that look until `end`."""

    def __init__(self, world: World) -> None:
        self._world, self._over = world, Event()
        self.arrivals: dict[int, list[Arrival]] = defaultdict(list)
        """By partition of `decisions`."""
        self.commits: list[Committed] = []
        self.probes: list[Probe] = []
        with making_client():
            self._decisions, self._group = (
                Consumer(self._config("chaos")),
                Consumer(self._config(world.group)),
            )
        self._decisions.subscribe([world.prefix + "decisions"])
        self._threads = [Thread(target=work, daemon=True) for work in (self._arrive, self._look)]
        for thread in self._threads:
            thread.start()

    def probe(self, number: int, ready: Callable[[], int]) -> None:
        """Ask a worker from now on."""

        def work() -> None:
            while not self._over.wait(_EVERY):
                self.probes.append(Probe(time.monotonic(), number, ready()))

        thread = Thread(target=work, daemon=True)
        self._threads.append(thread)
        thread.start()

    def committed(self) -> dict[int, int] | None:
        """What is committed of `transactions`; None while the broker does not tell."""
        name = self._world.prefix + "transactions"
        places = [TopicPartition(name, p) for p in range(self._world.partitions)]
        try:
            return {p.partition: max(p.offset, 0) for p in self._group.committed(places, timeout=2)}
        except KafkaException:
            return None

    def ends(self, topic: str = "transactions") -> dict[int, int]:
        """Where each partition ends now. A broker that just came back may know none of them for a moment."""
        name, found = self._world.prefix + topic, dict[int, int]()

        def told() -> bool:
            with suppress(KafkaException):
                for p in range(self._world.partitions):
                    _, found[p] = self._group.get_watermark_offsets(TopicPartition(name, p), timeout=10)
                return True
            return False

        assert wait_until(told, 30, every=0.2), f"where {name} ends is not told"
        return found

    def statuses(self, began: float, ended: float) -> dict[int, set[int]]:
        """Worker → what its /readyz said between two times."""
        found: dict[int, set[int]] = defaultdict(set)
        for probe in self.probes:
            if began <= probe.at <= ended:
                found[probe.worker].add(probe.status)
        return found

    def end(self) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()
        self._decisions.close()
        self._group.close()

    def _config(self, group: str) -> dict[str, object]:
        return {
            **self._world.settings.kafka_client_config(),
            "group.id": group,
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            "fetch.wait.max.ms": 20,
            "reconnect.backoff.max.ms": 200,
            "topic.metadata.refresh.interval.ms": 1000,
        }

    def _arrive(self) -> None:
        while not self._over.is_set():
            messages = self._decisions.consume(1000, timeout=0.02)
            now = time.monotonic()
            latest: dict[int, int] = {}
            for message in messages:
                if message.error() is None:
                    latest[message.partition() or 0] = int(_header(message, "source_offset"))
            for partition, offset in latest.items():
                self.arrivals[partition].append(Arrival(now, offset))

    def _look(self) -> None:
        while not self._over.wait(_EVERY):
            offsets = self.committed()
            if offsets is not None:
                self.commits.append(Committed(time.time() * 1000, offsets))


def _header(message: Message, name: str) -> Any:
    return next(value for key, value in message.headers() or [] if key == name)
