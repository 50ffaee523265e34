"""Who reads the topics as a consumer group."""

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from features.errors import VigiaError
from stream.kafka_client import KafkaAway
from stream.settings import Settings

_TIMEOUT = 10.0


def members(settings: Settings) -> int:
    """How many workers are in the group now; a killed one stays for its session (6 s). Raises KafkaAway."""
    admin = AdminClient(settings.kafka_client_config())
    group = settings.group_id
    try:
        found = admin.describe_consumer_groups([group], request_timeout=_TIMEOUT)[group].result()
    except KafkaException as error:
        raise KafkaAway(f"Kafka at {settings.kafka_bootstrap}: {error.args[0].str()}") from None
    return len(found.members)


def require_no_worker(settings: Settings) -> None:
    """Raises VigiaError while any is there."""
    if n := members(settings):
        raise VigiaError(
            f"{n} workers of group {settings.group_id!r} are running: stop them first, for what they apply "
            "meanwhile would be lost"
        )
