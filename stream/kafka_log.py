"""Kafka's log as the truth to read again: where a group stands, ranges of a partition, what was decided.

Blocking calls of confluent-kafka; the worker makes them in a thread.
"""

from collections.abc import Iterator
from typing import Any

from confluent_kafka import (
    TIMESTAMP_NOT_AVAILABLE,
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient

from features.errors import VigiaError
from stream.pipeline import Record
from stream.settings import Settings

_TIMEOUT = 10.0
_CONSUME, _CONSUME_SECONDS = 500, 0.05
_READ_BACK = 2_000
"""Decisions read back at a time: more than a worker has in flight between two commits."""


class KafkaAway(VigiaError):
    """No broker answers; wait and ask again."""


class TopicsMissing(VigiaError):
    """The topics are not there, or not as the worker needs them."""


class KafkaLog:
    """Reads beside the worker's own consumer; joins no group."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._config = settings.kafka_client_config()
        self._admin = AdminClient(self._config)
        self._consumer = Consumer(
            {
                **self._config,
                "group.id": settings.group_id,
                "enable.auto.commit": False,
                "enable.partition.eof": True,
                "auto.offset.reset": "earliest",
                "fetch.wait.max.ms": 50,
                "isolation.level": "read_uncommitted",  # as the worker's own consumer reads
            },
        )

    def describe(self, names: tuple[str, ...]) -> tuple[dict[str, str], int]:
        """Topic ids by short name, and how many partitions all have. Raises KafkaAway, TopicsMissing."""
        full = {self._settings.topic(name): name for name in names}
        try:
            futures = self._admin.describe_topics(TopicCollection(list(full)), request_timeout=_TIMEOUT)
            described = {full[name]: future.result() for name, future in futures.items()}
        except KafkaException as error:
            if error.args[0].code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
                missing = ", ".join(sorted(set(full) - set(self._admin.list_topics(timeout=_TIMEOUT).topics)))
                raise TopicsMissing(f"there is no topic {missing}: run `vigia topics`") from None
            raise KafkaAway(f"Kafka at {self._config['bootstrap.servers']}: {error.args[0].str()}") from None
        counts = {name: len(topic.partitions) for name, topic in described.items()}
        if len(set(counts.values())) != 1:
            raise TopicsMissing(f"all topics need the same number of partitions, they have {counts}")
        return {name: str(topic.topic_id) for name, topic in described.items()}, min(counts.values())

    def require_broker(self) -> None:
        """Raises KafkaAway unless a broker answers within two seconds. Safe beside every other call."""
        try:
            self._admin.list_topics(topic=self._settings.topic("transactions"), timeout=2)
        except KafkaException as error:
            raise KafkaAway(f"no broker answers at {self._settings.kafka_bootstrap}") from error

    def committed(self, places: list[tuple[str, int]]) -> dict[tuple[str, int], tuple[int, int, int]]:
        """(committed offset, or the log's start if there is none; start; end) of each topic and partition."""
        partitions = [TopicPartition(self._settings.topic(topic), p) for topic, p in places]
        try:
            answers = self._consumer.committed(partitions, timeout=_TIMEOUT)
            found = {}
            for place, answer in zip(places, answers, strict=True):
                start, end = self._consumer.get_watermark_offsets(answer, timeout=_TIMEOUT)
                found[place] = (max(answer.offset, start) if answer.offset >= 0 else start, start, end)
        except KafkaException as error:
            raise KafkaAway(f"Kafka does not answer: {error.args[0].str()}") from None
        return found

    def records(self, topic: str, partition: int, start: int, stop: int, size: int) -> Iterator[list[Record]]:
        """[start, stop) of a partition in lists of at most `size`. Raises KafkaAway."""
        batch: list[Record] = []
        for message in self.messages(topic, partition, start, stop):
            batch.append(record(topic, message))
            if len(batch) == size:
                yield batch
                batch = []
        if batch:
            yield batch

    def decided(self, partition: int, committed: int) -> dict[int, bytes]:
        """Source offset → payload of this group's decisions on offsets that are not committed."""
        name = self._settings.topic("decisions")
        try:
            start, end = self._consumer.get_watermark_offsets(
                TopicPartition(name, partition), timeout=_TIMEOUT
            )
        except KafkaException as error:
            raise KafkaAway(f"Kafka does not answer: {error.args[0].str()}") from None
        found: dict[int, bytes] = {}
        group = self._settings.group_id.encode()
        while end > start:
            low, oldest = max(start, end - _READ_BACK), None
            for message in self.messages("decisions", partition, low, end):
                headers = dict(message.headers() or [])
                # Another group's decisions (a shadow worker's, say) are not ours to keep to.
                if headers.get("group") != group:
                    continue
                offset = int(headers["source_offset"] or 0)
                oldest = offset if oldest is None else min(oldest, offset)
                if offset >= committed:
                    found.setdefault(offset, message.value() or b"")
            if oldest is not None and oldest < committed:
                break
            end = low
        return found

    def close(self) -> None:
        self._consumer.close()

    def extents(self, topic: str, since: int | None = None) -> dict[int, tuple[int, int]]:
        """(first offset, end) of each partition; `since`: the first one recorded then or later, in ms.

        Raises KafkaAway, TopicsMissing.
        """
        name = self._settings.topic(topic)
        try:
            found = self._consumer.list_topics(name, timeout=_TIMEOUT).topics[name]
            if found.error is not None:
                raise TopicsMissing(f"topic {name} does not exist: run `vigia topics`")
            extents = {p: self._watermarks(name, p) for p in found.partitions}
            if since is None:
                return extents
            asked = [TopicPartition(name, p, since) for p in extents]
            starts = self._consumer.offsets_for_times(asked, timeout=_TIMEOUT)
        except KafkaException as error:
            raise KafkaAway(
                f"Kafka at {self._config['bootstrap.servers']} does not answer ({error.args[0].str()}): "
                "run `vigia up`, or set VIGIA_KAFKA_BOOTSTRAP"
            ) from None
        ends = {partition: end for partition, (_, end) in extents.items()}
        # An offset below 0 says that nothing is as late as that.
        return {
            s.partition: (s.offset if s.offset >= 0 else ends[s.partition], ends[s.partition]) for s in starts
        }

    def _watermarks(self, name: str, partition: int) -> tuple[int, int]:
        low, high = self._consumer.get_watermark_offsets(TopicPartition(name, partition), timeout=_TIMEOUT)
        return low, high

    def messages(self, topic: str, partition: int, start: int, stop: int) -> Iterator[Message]:
        """The messages of [start, stop) of a partition. Raises KafkaAway."""
        if start >= stop:
            return
        self._consumer.assign([TopicPartition(self._settings.topic(topic), partition, start)])
        try:
            position, silent = start, 0
            while position < stop:
                # `consume` alone would wait its whole time for 1000 messages.
                first = self._consumer.poll(1.0)
                messages = [] if first is None else [first, *self._consumer.consume(1000, timeout=0)]
                silent = 0 if messages else silent + 1
                if silent > _TIMEOUT:
                    raise KafkaAway(f"Kafka stopped answering at {topic}[{partition}] offset {position}")
                for message in messages:
                    if error := message.error():
                        if error.code() == KafkaError._PARTITION_EOF:
                            return
                        raise KafkaAway(f"Kafka does not answer: {error.str()}")
                    if (offset := message.offset() or 0) >= stop:
                        return
                    position = offset + 1
                    yield message
        finally:
            self._consumer.unassign()


def record(topic: str, message: Message) -> Record:
    """A confluent-kafka message as ours; the same fields as the worker's own consumer gives."""
    kind, timestamp = message.timestamp()
    return Record(
        topic,
        message.partition() or 0,
        message.offset() or 0,
        0 if kind == TIMESTAMP_NOT_AVAILABLE else timestamp,
        message.key(),
        message.value(),
        *notable(message.headers() or []),
    )


def notable(headers: Any) -> tuple[bool, bytes | None]:
    """(whether it is a replay, its traceparent) of a record's headers."""
    if not headers:
        return False, None
    found = dict(headers)
    traceparent = found.get("traceparent")  # W3C's has 55 characters; no output has room for any length
    return "replay" in found, traceparent if traceparent and len(traceparent) <= 256 else None
