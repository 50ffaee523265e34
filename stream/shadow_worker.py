"""The process of `vigia shadow`: reads feature log and decisions, tells what the challenger would decide.

In a group of its own, on topics alone: it shares nothing with the workers but the broker, so it cannot slow,
change or break a decision. At least once: offsets are committed after the scores are delivered. The first
start begins at the logs' ends.
"""

import logging
import time
from collections.abc import Callable, Mapping

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition

from features.errors import VigiaError
from stream import metrics
from stream.judge import Judge
from stream.kafka_client import headers_of, making_client
from stream.messages import SCHEMA_VERSION
from stream.settings import Settings
from stream.shadow import DECISIONS, FEATURE_LOG, Read, Shadow, Shadowed

log = logging.getLogger("vigia.shadow")

TOPICS = (FEATURE_LOG, DECISIONS)
_AHEAD = {FEATURE_LOG: 5_000, DECISIONS: 20_000}
"""Records of one topic that may wait for the other."""
_BATCH, _POLL_SECONDS, _LOOK_SECONDS, _KAFKA_SECONDS = 1_000, 0.2, 1.0, 15.0


class ShadowWorker:
    """Runs until it is told to stop."""

    def __init__(self, settings: Settings, challenger: Callable[[], Judge | None]) -> None:
        """`challenger` is asked once a second for who judges now; None: nobody."""
        self._settings, self._challenger = settings, challenger
        self._names = {settings.topic(name): name for name in TOPICS}
        self._shadow = Shadow(settings.group_id)
        self._committed: dict[tuple[str, int], int] = {}
        self._paused: set[tuple[str, int]] = set()
        self._failed: KafkaError | None = None
        config = settings.kafka_client_config()
        with making_client():
            self._producer = Producer(
                {**config, "enable.idempotence": True, "message.timeout.ms": 0, "linger.ms": 5}
            )
            self._consumer = Consumer(
                {
                    **config,
                    "group.id": f"{settings.group_id}.shadow",
                    "enable.auto.commit": False,
                    "auto.offset.reset": "latest",
                    # Partition p of both topics comes to the same process.
                    "partition.assignment.strategy": "range",
                }
            )

    def run(self, stopping: Callable[[], bool]) -> None:
        """Raises VigiaError when a score can't be delivered or Kafka refuses: it is read again then."""
        # confluent-kafka gives these the consumer and the partitions.
        self._consumer.subscribe(list(self._names), on_assign=self._assigned, on_revoke=self._revoked)
        judge, looked = None, 0.0
        try:
            while not stopping():
                if time.monotonic() > looked + _LOOK_SECONDS:
                    judge, looked = self._challenger(), time.monotonic()
                self._step(judge, stopping)
        except KafkaException as error:
            raise VigiaError(f"Kafka: {error.args[0].str()}") from None
        finally:
            self._consumer.close()

    def _step(self, judge: Judge | None, stopping: Callable[[], bool]) -> None:
        reads = [r for m in self._consumer.consume(_BATCH, _POLL_SECONDS) if (r := self._read(m))]
        now = time.monotonic()
        self._shadow.take(reads, now)
        if not self._sent(self._shadow.score(judge, now), stopping):
            return
        self._commit()
        for partition in {read.partition for read in reads} | {p for _, p in self._paused}:
            self._balance(partition)

    def _read(self, message: Message) -> Read | None:
        error = message.error()
        if error is not None:
            if error.fatal():
                raise VigiaError(f"Kafka: {error.str()}")
            log.warning("Kafka: %s", error.str())
            return None
        found = headers_of(message)
        headers = {name: value for name, value in found if isinstance(value, bytes)}
        name = self._names[message.topic() or ""]
        place = message.partition() or 0, message.offset() or 0
        return Read(name, *place, message.key(), message.value() or b"", headers)

    def _sent(self, told: list[Shadowed], stopping: Callable[[], bool]) -> bool:
        """Return when the broker has them; False: it is away, and the process is to stop."""
        name, fixed = self._settings.topic("shadow-scores"), self._fixed()
        for partition, key, value, headers in told:
            self._produce(name, partition, key, value, dict([*fixed, *headers]))
        while self._producer.flush(_POLL_SECONDS):
            if stopping():
                return False
        if self._failed is not None:
            raise VigiaError(f"{name} can't be written: {self._failed.str()}; see `vigia topics`")
        return True

    def _fixed(self) -> list[tuple[str, bytes]]:
        now = str(int(time.time() * 1000)).encode()
        group = self._settings.group_id.encode()
        return [("schema_version", SCHEMA_VERSION), ("group", group), ("processed_at", now)]

    def _produce(
        self, topic: str, partition: int, key: bytes | None, value: bytes, headers: Mapping[str, bytes]
    ) -> None:
        while True:
            try:
                self._producer.produce(topic, value, key, partition, self._reported, headers=dict(headers))
                self._producer.poll(0)
                return
            except BufferError:
                self._producer.poll(_POLL_SECONDS)

    def _reported(self, error: KafkaError | None, _: Message) -> None:
        if error is None:
            return
        if error.code() == KafkaError.MSG_SIZE_TOO_LARGE:
            metrics.SHADOW.labels("too_large").inc()
        else:
            self._failed = error

    def _commit(self) -> None:
        done = {place: o for place, o in self._shadow.done().items() if self._committed.get(place) != o}
        if not done:
            return
        offsets = [TopicPartition(self._settings.topic(t), p, o) for (t, p), o in done.items()]
        try:
            self._consumer.commit(offsets=offsets, asynchronous=False)
        except KafkaException as error:  # a rebalance, or a broker that is away: they are read again
            log.warning("not committed: %s", error.args[0].str())
        else:
            self._committed |= done

    def _balance(self, partition: int) -> None:
        """Hold back the topic that is ahead of the other."""
        for topic, size in self._shadow.backlog(partition).items():
            place, at = (topic, partition), [TopicPartition(self._settings.topic(topic), partition)]
            if size > _AHEAD[topic] and place not in self._paused:
                self._consumer.pause(at)
                self._paused.add(place)
            elif size <= _AHEAD[topic] and place in self._paused:
                self._consumer.resume(at)
                self._paused.discard(place)

    def _assigned(self, consumer: Consumer, places: list[TopicPartition]) -> None:
        """Where nothing is committed yet, begin at the end, and commit that: a start before the first score
        would else begin at a later end."""
        found = consumer.committed(places, timeout=_KAFKA_SECONDS)
        fresh = [place for place in found if place.offset < 0]
        for place in fresh:
            place.offset = consumer.get_watermark_offsets(place, timeout=_KAFKA_SECONDS)[1]
        consumer.assign(found)
        if fresh:
            consumer.commit(offsets=fresh, asynchronous=False)
        self._begin(sorted({place.partition for place in found}))

    def _revoked(self, consumer: Consumer, _: list[TopicPartition]) -> None:
        consumer.unassign()
        self._begin([])

    def _begin(self, partitions: list[int]) -> None:
        self._committed, self._paused = {}, set()
        self._shadow.begin(partitions)
        log.info("reading", extra={"fields": {"partitions": len(partitions)}})
