"""What every confluent-kafka client of ours is made in, what several ask for, and how it fails."""

from collections.abc import Iterator
from contextlib import contextmanager
from operator import methodcaller

from confluent_kafka import KafkaException, Message
from confluent_kafka.admin import OffsetSpec  # type: ignore[attr-defined]

from features.errors import BadInput, VigiaError
from stream.settings import Settings

END = OffsetSpec.latest()  # type: ignore[no-untyped-call]
"""For `AdminClient.list_offsets`: where a partition ends."""


class KafkaAway(VigiaError):
    """No broker answers; wait and ask again."""


class TopicsMissing(VigiaError):
    """The topics are not there, or not as the worker needs them."""


def away(settings: Settings, error: KafkaException) -> KafkaAway:
    """What a call that failed so is told as."""
    return KafkaAway(
        f"Kafka at {settings.kafka_bootstrap} does not answer ({error.args[0].str()}): "
        "run `vigia up`, or set VIGIA_KAFKA_BOOTSTRAP"
    )


@contextmanager
def making_client() -> Iterator[None]:
    """Around a client's constructor, which refuses settings that it cannot use. Raises BadInput."""
    try:
        yield
    except KafkaException as error:
        raise BadInput(
            f"VIGIA_KAFKA_SECURITY_*: no Kafka client can be made with these settings: {error.args[0].str()}"
        ) from None


_headers = methodcaller("headers")


def headers_of(message: Message) -> list[tuple[str, bytes | None]]:
    """None if a name is not UTF-8: the library cannot read it. Ask once; it gives a null the second time.

    Asked through an object that looks at the answer: the method gives one though it has raised, and Python
    runs a method that is called often without looking, so that the error would come out anywhere.
    """
    try:
        return _headers(message) or []
    except (SystemError, UnicodeDecodeError):
        return []
