"""What every confluent-kafka client of ours is made in, and what several ask for."""

from collections.abc import Iterator
from contextlib import contextmanager

from confluent_kafka import KafkaException
from confluent_kafka.admin import OffsetSpec  # type: ignore[attr-defined]

from features.errors import BadInput

END = OffsetSpec.latest()  # type: ignore[no-untyped-call]
"""For `AdminClient.list_offsets`: where a partition ends."""


@contextmanager
def making_client() -> Iterator[None]:
    """Around a client's constructor, which refuses settings that it cannot use. Raises BadInput."""
    try:
        yield
    except KafkaException as error:
        raise BadInput(
            f"VIGIA_KAFKA_SECURITY_*: no Kafka client can be made with these settings: {error.args[0].str()}"
        ) from None
