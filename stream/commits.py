"""Faust's commits, each with the id of the topic that it was made to; none while the fence is closed.

The one place that reaches into Faust's consumer for it (docs/adr/0004). Faust commits by names and with empty
metadata; `KafkaLog.stands` reads the ids back and knows by them what a worker of a deleted topic committed.
"""

import asyncio
import logging
import time
from collections.abc import Mapping
from typing import Any

import faust
from aiokafka.conn import AIOKafkaConnection, CloseReason
from aiokafka.consumer.group_coordinator import GroupCoordinator
from aiokafka.errors import CommitFailedError, KafkaConnectionError
from aiokafka.structs import OffsetAndMetadata
from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread, Consumer, ensure_aiokafka_TP
from faust.types import TP
from mode import Service

from stream.chunks import ChunkedConsumer
from stream.fence import Fence
from stream.fetching import fetch_with_care
from stream.kafka_log import ISOLATION
from stream.settings import Settings
from stream.stands import Place, commit_metadata

log = logging.getLogger("vigia.commits")

_FETCH_BYTES, _FETCH_WAIT_MS = 8192, 5
"""Some twenty payments, or what came in 5 ms. Else each that a producer sends alone is fetched alone, which
costs the broker and both threads here more than the payment itself."""

_REFRESHING_SECONDS = 1.0

SESSION_SECONDS = 6
"""After so long without a word of it the group gives a worker's partitions to others."""
_DOUBT_SECONDS = SESSION_SECONDS - 1

_send = AIOKafkaConnection.send
_heartbeat = GroupCoordinator._do_heartbeat


def send_or_close(connection: Any, request: Any, expect_response: bool = True) -> Any:
    """aiokafka's own, which expects OSError of a connection that broke. Of one that is closed uvloop raises
    RuntimeError, which nobody there expects: it ended the task that refreshes the metadata for good."""
    try:
        return _send(connection, request, expect_response)
    except RuntimeError as closed:
        connection.close(reason=CloseReason.CONNECTION_BROKEN)
        raise KafkaConnectionError(f"the connection is closed: {closed}") from closed


class Commits:
    """What the app commits, and how."""

    def __init__(self, app: faust.App, settings: Settings, fence: Fence) -> None:
        self._app, self._topic, self.fence = app, settings.topic, fence
        self._metadata = {
            settings.topic(name): commit_metadata(topic_id) for name, topic_id in fence.ids.items()
        }
        commits = self
        self._member_at = time.monotonic()

        class FencedConsumer(ChunkedConsumer):
            def _new_consumer_thread(self) -> AIOKafkaConsumerThread:
                return _FencedThread(self, commits=commits, loop=self.loop, beacon=self.beacon)

        async def heartbeat(coordinator: Any) -> bool:
            asked = time.monotonic()
            is_member = await _heartbeat(coordinator)
            if is_member:
                self._member_at = asked
            return bool(is_member)

        app.transport.Consumer = FencedConsumer  # type: ignore[misc]
        GroupCoordinator._do_heartbeat = heartbeat
        AIOKafkaConnection.send = send_or_close
        fetch_with_care()

    def joined(self) -> None:
        """The group has just given this worker its partitions."""
        self._member_at = time.monotonic()

    @property
    def in_doubt(self) -> bool:
        """Whether others may have been given this worker's partitions and it does not know yet: it was
        frozen, or the group's broker is away. The next heartbeat tells."""
        return time.monotonic() - self._member_at > _DOUBT_SECONDS

    def with_id(self, offsets: Mapping[TP, int]) -> dict[Any, OffsetAndMetadata]:
        return {
            ensure_aiokafka_TP(tp): OffsetAndMetadata(offset, self._metadata.get(tp.topic, ""))
            for tp, offset in offsets.items()
        }

    async def rewind(self, first: Mapping[Place, int]) -> None:
        """Commit these offsets of assigned places, whatever is committed there now."""
        offsets = {TP(self._topic(topic), partition): offset for (topic, partition), offset in first.items()}
        consumer: Any = self._app.consumer
        if not await consumer._commit(offsets):
            log.warning("could not commit: a rebalance came between; whoever is assigned them does")


class _FencedThread(AIOKafkaConsumerThread):
    """Faust's own, with another `_commit`, and answers that the broker holds back until they are worth it."""

    def __init__(self, consumer: Consumer, *, commits: Commits, **kwargs: Any) -> None:
        self._commits = commits
        super().__init__(consumer, **kwargs)

    def _create_worker_consumer(self, transport: Any) -> Any:
        """Faust has no setting for these. One byte is worth an answer to it, and payments of a transaction
        that is still open, or was aborted, are payments to it."""
        consumer = super()._create_worker_consumer(transport)
        consumer._isolation_level = ISOLATION
        consumer._fetch_min_bytes, consumer._fetch_max_wait_ms = _FETCH_BYTES, _FETCH_WAIT_MS
        return consumer

    @Service.task
    async def _keep_refreshing(self) -> None:
        """aiokafka's task that refreshes its metadata ends in silence, and for good, at an error that it does
        not expect. Whoever looks for the coordinator then waits for it for ever: no heartbeat, no commit, and
        a stop that does not end. `send_or_close` is for the one error that was seen to do it."""
        async for _ in self.itertimer(_REFRESHING_SECONDS, name="refreshing"):
            client = self._ensure_consumer()._client
            task = client._sync_task
            if task is not None and task.done():
                why = "cancelled" if task.cancelled() else task.exception()
                log.warning("aiokafka stopped refreshing its metadata (%r): begun again", why)
                client._sync_task = asyncio.get_running_loop().create_task(client._md_synchronizer())

    def verify_event_path(self, now: float, tp: TP) -> None:
        """Nothing: Faust does not see the chunks that `Intake` takes from the queue by hand. From the sixth
        minute on it would say several times a second that nothing is processed."""

    async def _commit(self, offsets: Mapping[TP, int]) -> bool:
        """False: not committed, and read again by whoever is assigned it next."""
        mine = {tp: offset for tp, offset in offsets.items() if tp in self.assignment()}
        if self._commits.fence.closed or not mine:
            return False
        try:
            await self._ensure_consumer().commit(self._commits.with_id(mine))
        except CommitFailedError as error:  # the group went on without this worker, which joins it again
            log.warning("not committed: %s", error)
            return False
        except Exception as error:
            log.exception("committing fails")
            await self.crash(error)
            return False
        return True
