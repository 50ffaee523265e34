"""What the door needs, as it is now: the topics with their ids and partitions, and Redis's answer."""

import asyncio
from contextlib import suppress
from typing import Any, NamedTuple

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient

from features import redis_client
from features.state import StateAway
from stream.http.outcome import OUTCOMES
from stream.kafka_client import KafkaAway, making_client
from stream.record import TRANSACTIONS
from stream.settings import Settings

_NAMES = (TRANSACTIONS, *OUTCOMES)
_KAFKA_SECONDS, _REDIS_SECONDS = 2.0, 1.0


class Topic(NamedTuple):
    topic_id: str
    partitions: int


class Cluster:
    """The brokers' word on the door's topics."""

    def __init__(self, settings: Settings) -> None:
        self._names = {settings.topic(name): name for name in _NAMES}
        self._bootstrap = settings.kafka_bootstrap
        with making_client():
            self._admin = AdminClient(settings.kafka_client_config() | {"reconnect.backoff.max.ms": 1000})

    def look(self) -> dict[str, Topic]:
        """Topics by short name. Raises KafkaAway, also for a topic that is not there. Blocks."""
        try:
            asked = TopicCollection(list(self._names))
            futures = self._admin.describe_topics(asked, request_timeout=_KAFKA_SECONDS)
            found = {self._names[name]: future.result() for name, future in futures.items()}
        except KafkaException as error:
            if error.args[0].code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
                raise KafkaAway(f"not all of {', '.join(self._names)} exist: run `vigia topics`") from None
            told = error.args[0].str()
            raise KafkaAway(f"Kafka at {self._bootstrap} does not answer ({told})") from None
        return {name: Topic(str(topic.topic_id), len(topic.partitions)) for name, topic in found.items()}


class RedisPulse:
    """Whether Redis answers. The door keeps nothing there; without it no worker can decide."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._client: Any = None

    async def look(self) -> None:
        """Raises StateAway unless every server answers within a second."""
        try:
            async with asyncio.timeout(_REDIS_SECONDS):
                await self._ping()
        except TimeoutError:
            await self._forget()
            raise StateAway(f"Redis does not answer within {_REDIS_SECONDS:g} s") from None

    async def _forget(self) -> None:
        """A cluster's client that was cut short would ask the same node again, though another took over."""
        client, self._client = self._client, None
        if client is None:
            return
        with suppress(Exception):
            async with asyncio.timeout(_REDIS_SECONDS):
                await client.aclose()

    async def _ping(self) -> None:
        if self._client is None:
            self._client = await redis_client.dial(self._url)
        where = {"target_nodes": "primaries"} if redis_client.is_cluster(self._client) else {}
        await redis_client.answer(self._client.ping(**where))

    async def close(self) -> None:
        if self._client is not None:
            await self._client.aclose()
