"""What every confluent-kafka client of ours is made in."""

from collections.abc import Iterator
from contextlib import contextmanager

from confluent_kafka import KafkaException

from features.errors import BadInput


@contextmanager
def making_client() -> Iterator[None]:
    """Around a client's constructor, which refuses settings that it cannot use. Raises BadInput."""
    try:
        yield
    except KafkaException as error:
        raise BadInput(
            f"VIGIA_KAFKA_SECURITY_*: no Kafka client can be made with these settings: {error.args[0].str()}"
        ) from None
