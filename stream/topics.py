"""The topics: one line each. `vigia topics` makes them; doing it again changes nothing."""

import time
from collections.abc import Mapping

from confluent_kafka import KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]

from features.errors import VigiaError
from stream.kafka_client import END, away, making_client
from stream.settings import Settings

_MIB = 1024 * 1024

TOPICS = {
    # name → largest message. Inputs may be larger than any payment order, so that what is too large arrives
    # and becomes a dead letter; a dead letter carries the original bytes and its headers.
    "transactions": 2 * _MIB,
    "fraud-reports": 2 * _MIB,
    "decisions": _MIB,
    "alerts": _MIB,
    "dead-letters": 4 * _MIB,
    "feature-log": _MIB,
    "shadow-scores": _MIB,
}

DEFAULT_PARTITIONS = 4
_TIMEOUT = 15.0
_LOOK_SECONDS = 0.05


def create_topics(settings: Settings, partitions: int | None, replication: int) -> dict[str, str]:
    """Full name → "created" or "exists". Raises VigiaError: no broker, or another number of partitions."""
    with making_client():
        admin = AdminClient(settings.kafka_client_config())
    existing = _partition_counts(admin, settings)
    names = {settings.topic(name): limit for name, limit in TOPICS.items()}
    if partitions is None:
        partitions = next((count for name, count in existing.items() if name in names), DEFAULT_PARTITIONS)
    for name, count in existing.items():
        if name in names and count != partitions:
            raise VigiaError(
                f"topic {name} has {count} partitions, not {partitions}: use --partitions {count}, or "
                "remove it; adding partitions would move payers to others and split their order"
            )
    retention = str(int(settings.topic_retention_days * 86_400_000))
    new = [
        NewTopic(
            name,
            num_partitions=partitions,
            replication_factor=replication,
            config={"retention.ms": retention, "max.message.bytes": str(limit)},
        )
        for name, limit in names.items()
        if name not in existing
    ]
    if new:
        for name, future in admin.create_topics(new, operation_timeout=_TIMEOUT).items():
            _created(name, future)
        _await(admin, settings, names)
    return {name: "exists" if name in existing else "created" for name in names}


def _await(admin: AdminClient, settings: Settings, names: Mapping[str, object]) -> None:
    """Return when all can be written and read: it takes a moment longer than creating them."""
    until = time.monotonic() + _TIMEOUT
    while missing := set(names) - _led(admin, settings, names):
        if time.monotonic() > until:
            raise VigiaError(
                f"created, but the broker does not tell of {', '.join(sorted(missing))}: try again"
            )
        time.sleep(_LOOK_SECONDS)


def _led(admin: AdminClient, settings: Settings, names: Mapping[str, object]) -> set[str]:
    """Those whose every partition has a leader that knows that it is one."""
    counts = _partition_counts(admin, settings)
    places = [TopicPartition(name, p) for name in names for p in range(counts.get(name, 0))]
    answers = admin.list_offsets(dict.fromkeys(places, END), request_timeout=_TIMEOUT) if places else {}
    refused = {place.topic for place, answer in answers.items() if answer.exception()}
    return set(names) & set(counts) - refused


def _created(name: str, future: object) -> None:
    try:
        future.result()  # type: ignore[attr-defined]
    except KafkaException as error:
        if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
            raise VigiaError(f"topic {name} can't be created: {error.args[0].str()}") from None


def _partition_counts(admin: AdminClient, settings: Settings) -> dict[str, int]:
    try:
        topics = admin.list_topics(timeout=_TIMEOUT).topics
    except KafkaException as error:
        raise away(settings, error) from None
    return {name: len(topic.partitions) for name, topic in topics.items()}
