"""Kafka's log as the truth to read again: where a group stands, ranges of a partition, what was decided.

Blocking calls of confluent-kafka; the worker makes them in a thread.
"""

from collections.abc import Generator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import closing
from itertools import islice
from threading import Lock
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

from stream.kafka_client import KafkaAway, TopicsMissing, away, headers_of, making_client
from stream.record import Record
from stream.settings import Settings
from stream.stands import Place, Stand, Tails, committed_to

_TIMEOUT = 10.0
_LOOK_TIMEOUT = 2.0
_READ_BACK = 5_000
"""Decisions read back at a time: more than the batches that a worker has on their way."""

_FOREIGN = 20_000
"""So many decisions on a deleted topic and it is certain that none on the present one lies before them: more
than the batch that a worker may still deliver when it learns of the deletion."""

ISOLATION = "read_committed"
"""Of whoever reads the inputs: an order of a transaction that was aborted was never given."""


class KafkaLog:
    """Reads beside the worker's own consumer; joins no group."""

    def __init__(self, settings: Settings, wait_ms: int = 50) -> None:
        """`wait_ms`: a read that follows one of the log's very end waits so long at most."""
        self._settings = settings
        client = settings.kafka_client_config()
        with making_client():
            self._admin = AdminClient(client)
        self._tails = Tails()
        self._reading = Lock()
        """One reads with the consumer at a time: a heal that was given up may still have a read under way."""
        config = {
            **client,
            "group.id": settings.group_id,
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "auto.offset.reset": "earliest",
            "fetch.wait.max.ms": wait_ms,
            "isolation.level": ISOLATION,
        }
        with making_client():
            self._consumer = Consumer(config)

    def describe(self, names: tuple[str, ...]) -> tuple[dict[str, str], int]:
        """Topic ids by short name, and how many partitions all have. Raises KafkaAway, TopicsMissing."""
        full = {self._settings.topic(name): name for name in names}
        try:
            futures = self._admin.describe_topics(TopicCollection(list(full)), request_timeout=_TIMEOUT)
            described = {full[name]: future.result() for name, future in futures.items()}
        except KafkaException as error:
            if error.args[0].code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
                missing = ", ".join(sorted(set(full) - self._existing()))
                raise TopicsMissing(f"there is no topic {missing}: run `vigia topics`") from None
            raise away(self._settings, error) from None
        counts = {name: len(topic.partitions) for name, topic in described.items()}
        if len(set(counts.values())) != 1:
            raise TopicsMissing(f"all topics need the same number of partitions, they have {counts}")
        return {name: str(topic.topic_id) for name, topic in described.items()}, min(counts.values())

    def _existing(self) -> set[str]:
        try:
            return set(self._admin.list_topics(timeout=_TIMEOUT).topics)
        except KafkaException as error:
            raise away(self._settings, error) from None

    def topic_ids(self, names: Sequence[str]) -> dict[str, str | None]:
        """Topic ids by short name as the brokers know them now; None for one that is not there.

        Raises KafkaAway unless a broker answers within two seconds. Safe beside every other call.
        """
        full = {self._settings.topic(name): name for name in names}
        try:
            futures = self._admin.describe_topics(TopicCollection(list(full)), request_timeout=_LOOK_TIMEOUT)
            return {full[name]: _topic_id(future) for name, future in futures.items()}
        except KafkaException as error:
            raise away(self._settings, error) from None

    def stands(self, ids: Mapping[Place, str | None]) -> dict[Place, Stand]:
        """Where the group stands in each place; `ids`: the topic's id, None not to ask. Raises KafkaAway."""
        try:
            asked = [TopicPartition(self._settings.topic(topic), p) for topic, p in ids]
            with self._reading:
                answers = self._consumer.committed(asked, timeout=_TIMEOUT)
                return {
                    place: self._stand(answer, topic_id)
                    for (place, topic_id), answer in zip(ids.items(), answers, strict=True)
                }
        except KafkaException as error:
            raise away(self._settings, error) from None

    def _stand(self, committed: TopicPartition, topic_id: str | None) -> Stand:
        """A commit says in its metadata to which topic it was made: offsets go by names, but a topic that is
        deleted and made anew keeps its name, and a worker of the old one may still commit."""
        start, end = self._watermarks(committed.topic, committed.partition)
        if committed.offset < 0:
            return Stand(start, start, end)
        made_to = committed_to(committed)
        if topic_id and (made_to != topic_id if made_to else committed.offset > end):
            return Stand(start, start, end, foreign=True)
        self._tails.check((committed.topic, committed.partition), end, committed.offset, "committed")
        return Stand(max(committed.offset, start), start, end)

    def records(self, topic: str, partition: int, start: int, stop: int, size: int) -> list[Record]:
        """The first records of [start, stop), at most `size`; none: there are no more. Raises KafkaAway."""
        with self._reading, closing(self.messages(topic, partition, start, stop)) as messages:
            return [record(topic, message) for message in islice(messages, size)]

    def decided(self, partition: int, committed: int, topic_id: str) -> dict[int, bytes]:
        """Source offset → payload of this group's decisions on that topic's offsets that are not committed.

        Raises KafkaAway.
        """
        with self._reading:
            return self._decided(partition, committed, topic_id)

    def _decided(self, partition: int, committed: int, topic_id: str) -> dict[int, bytes]:
        try:
            start, end = self._watermarks(self._settings.topic("decisions"), partition)
        except KafkaException as error:
            raise away(self._settings, error) from None
        found: dict[int, bytes] = {}
        foreign = 0
        while end > start:
            low, newest = max(start, end - _READ_BACK), None
            for message in self.messages("decisions", partition, low, end):
                headers: dict[str, Any] = dict(headers_of(message))
                # Another group's decisions are not ours to keep to.
                if headers.get("group") != self._settings.group_id.encode():
                    continue
                if headers.get("source_topic_id", topic_id.encode()) != topic_id.encode():
                    foreign += 1
                    continue
                offset = int(headers["source_offset"] or 0)
                newest = offset if newest is None else max(newest, offset)
                if offset >= committed:
                    found.setdefault(offset, message.value() or b"")
            # Decisions on a topic of that name that was deleted lie before those on the one that is there.
            # A frozen worker's late ones lie among newer ones, so all that is read must be committed.
            if foreign > _FOREIGN or (newest is not None and newest < committed):
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
            raise away(self._settings, error) from None
        ends = {partition: end for partition, (_, end) in extents.items()}
        # An offset below 0 says that nothing is as late as that.
        return {
            s.partition: (s.offset if s.offset >= 0 else ends[s.partition], ends[s.partition]) for s in starts
        }

    def _watermarks(self, name: str, partition: int) -> tuple[int, int]:
        try:
            low, high = self._consumer.get_watermark_offsets(
                TopicPartition(name, partition), timeout=_TIMEOUT
            )
        except KafkaException as error:
            if error.args[0].code() == KafkaError._UNKNOWN_PARTITION:
                # One that was added: by itself the client looks for such every five minutes.
                self._consumer.list_topics(name, timeout=_TIMEOUT)
            raise
        return low, high

    def messages(self, topic: str, partition: int, start: int, stop: int) -> Generator[Message, None, None]:
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
                    position = _next_offset(message)
                    if message.error() is None:
                        if position > stop:
                            return
                        yield message
        finally:
            self._consumer.unassign()


def _next_offset(message: Message) -> int:
    """Where the reader is after it. Markers and what compaction took are passed over without a message, but
    the end of the partition is told with its offset. Raises KafkaAway."""
    error, offset = message.error(), message.offset() or 0
    if error is None:
        return offset + 1
    if error.code() == KafkaError._PARTITION_EOF:
        return offset
    raise KafkaAway(f"Kafka does not answer: {error.str()}")


def _topic_id(future: Future[Any]) -> str | None:
    try:
        return str(future.result().topic_id)
    except KafkaException as error:
        if error.args[0].code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
            return None
        raise


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
        *notable(headers_of(message)),
    )


def notable(headers: Any) -> tuple[bool, bytes | None]:
    """(whether it is a replay, its traceparent) of a record's headers."""
    if not headers:
        return False, None
    found = dict(headers)
    traceparent = found.get("traceparent")  # W3C's has 55 characters; no output has room for any length
    return "replay" in found, traceparent if traceparent and len(traceparent) <= 256 else None
