"""The door with all that it needs running beside it: the watch on Kafka and Redis, the index, the tail."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable

from confluent_kafka import KafkaError

from features.state import StateAway, StateError
from features.transaction import Transaction
from stream.health import Health
from stream.http.cluster import Cluster, RedisPulse, Topic
from stream.http.door import Door, Order
from stream.http.history import History
from stream.http.index import KEEP_MS, Index
from stream.http.outcome import OUTCOMES, Ours, Outcome, Place, Source
from stream.http.producer import OrderProducer
from stream.http.tail import Tail
from stream.kafka_client import KafkaAway, TopicsMissing
from stream.patience import in_thread
from stream.record import TRANSACTIONS
from stream.settings import Settings

log = logging.getLogger("vigia.door")

_LOOK_SECONDS, _PING_SECONDS, _SWEEP_SECONDS = 1.0, 0.5, 1.0

Topics = dict[str, Topic]


class DoorService:
    """Starts at once and says in `health` until when no decision can be asked for."""

    def __init__(self, settings: Settings) -> None:
        """Must be made on the event loop. Raises BadInput when no Kafka client can be made."""
        loop = asyncio.get_running_loop()
        ours = Ours(settings.group_id, settings.topic(TRANSACTIONS))
        self.health = Health()
        self.door = Door(self, Index(), self.health, settings.decision_deadline)
        self._cluster, self._redis = Cluster(settings), RedisPulse(settings.redis_url)
        self._history = History(settings, ours)
        self._loop, self._fatal = loop, False
        self._producer = OrderProducer(
            settings, loop, self.door.delivered, self.door.undelivered, self._on_producer_error
        )
        self._tail = Tail(settings, ours, loop, self.door.take, self._on_tail_error)
        self._topics: Topics = {}
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        looks = ((self._watch_kafka, _LOOK_SECONDS), (self._watch_redis, _PING_SECONDS))
        self._tasks = [asyncio.create_task(_again(look, seconds)) for look, seconds in looks]
        self._tasks.append(asyncio.create_task(_again(self._sweep, _SWEEP_SECONDS)))

    async def stop(self) -> None:
        """After the last request: send what is left to send, and close."""
        for task in self._tasks:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        await in_thread(self._producer.close)
        await in_thread(self._tail.close)
        self._history.close()
        await self._redis.close()

    @property
    def alive(self) -> bool:
        """False when only a new process helps."""
        return not self._fatal and self._producer.alive and self._tail.alive

    # What the door asks of the log.

    def send(self, order: Order) -> None:
        self._producer.send(order)

    async def outcome(self, place: Place) -> Outcome | None:
        return await self._history.outcome(place)

    async def order(self, source: Source) -> Transaction | None:
        return await self._history.order(source)

    # What is watched.

    async def _sweep(self) -> None:
        self.door.sweep()

    async def _watch_redis(self) -> None:
        try:
            await self._redis.look()
        except (StateAway, StateError) as away:
            self.health.waiting("redis", str(away))
        else:
            self.health.answered("redis")

    async def _watch_kafka(self) -> None:
        try:
            topics = await in_thread(self._cluster.look)
            await self._follow(topics)
        except (KafkaAway, TopicsMissing) as away:
            self.health.waiting("kafka", str(away))
        else:
            self.health.answered("kafka")

    async def _follow(self, topics: Topics) -> None:
        """Read the topics as they are: all anew when one is another than it was, and partitions that came."""
        known = self._topics
        if _ids(topics) != _ids(known):
            if known:
                log.warning("a topic was deleted and made anew: the index is read again")
                self.door.give_up("a topic was deleted and made anew")
            await self._begin(topics)
        elif added := {
            (name, partition): 0
            for name in OUTCOMES
            for partition in range(known[name].partitions, topics[name].partitions)
        }:
            await self._history.look_up_leaders()
            self._tail.add(added)
        self._topics = topics

    async def _begin(self, topics: Topics) -> None:
        if self.health.started:
            self.health.waiting("index", "the outcomes of the last 15 minutes are being read")
        self._producer.topic_id = self._history.topic_id = topics[TRANSACTIONS].topic_id
        began = time.monotonic()
        ends = await self._history.load(int(time.time() * 1000) - KEEP_MS, self.door.take)
        self._tail.assign(ends)
        self.health.answered("index")
        await self._watch_redis()
        self.health.start()
        log.info("the index is loaded", extra={"fields": {"seconds": round(time.monotonic() - began, 2)}})

    # Called in the clients' threads.

    def _on_producer_error(self, error: KafkaError) -> None:
        # Only what is fatal: a connection that idles is closed, and that is not an absent broker.
        if error.fatal():
            log.critical("the producer cannot go on: %s", error.str())
            self._fatal = True
            self._loop.call_soon_threadsafe(self.health.waiting, "producer", error.str())

    def _on_tail_error(self, error: KafkaError) -> None:
        if error.code() == KafkaError._ALL_BROKERS_DOWN:
            self._loop.call_soon_threadsafe(self.health.waiting, "kafka", error.str())


def _ids(topics: Topics) -> dict[str, str]:
    return {name: topic.topic_id for name, topic in topics.items()}


async def _again(look: Callable[[], Awaitable[None]], seconds: float) -> None:
    while True:
        try:
            await look()
        except Exception:
            log.exception("a look failed")
        await asyncio.sleep(seconds)
