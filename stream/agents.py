"""The Faust side: one agent that drains its queue into batches, and acknowledges by hand, in order.

Faust loses by default (DESIGN section 7): an exception in `async for` acknowledges the event, and so does a
codec error. So: raw bytes in, `noack()`, and an error that nobody can mend leaves the process before any
acknowledgement, because a graceful stop would commit. docs/adr/0004 lists the internals this leans on.
"""

import asyncio
import logging
import os
import ssl
from collections.abc import AsyncIterator, Coroutine, Mapping
from typing import Any

import faust

from features.errors import BadInput, VigiaError
from stream import metrics
from stream.commits import Commits
from stream.health import Health
from stream.kafka_log import Place, notable
from stream.pipeline import Record
from stream.record_time import in_record_time
from stream.settings import Settings
from stream.worker import INPUTS, Worker, WrongCommits

log = logging.getLogger("vigia.agents")

_SWEEP_SECONDS = 1.0
_SESSION_SECONDS = 6


def make_app(settings: Settings) -> faust.App:
    """The Faust app with the settings that DESIGN section 7 measured."""
    credentials: Any = None
    context = _ssl_context(settings)
    if settings.kafka_security_protocol.startswith("SASL"):
        credentials = faust.SASLCredentials(
            username=settings.kafka_security_username,
            password=settings.kafka_security_password,
            mechanism=settings.kafka_security_sasl_mechanism,
            ssl_context=context,
        )
    elif context:
        credentials = faust.SSLCredentials(context)
    return faust.App(
        settings.group_id,
        broker=[f"kafka://{address}" for address in settings.kafka_bootstrap.split(",")],
        broker_credentials=credentials,
        consumer_group_instance_id=settings.instance_id,
        consumer_auto_offset_reset="earliest",
        broker_session_timeout=_SESSION_SECONDS,
        broker_heartbeat_interval=2,
        broker_commit_interval=settings.commit_seconds,
        broker_commit_livelock_soft_timeout=3600,
        # Healing a day of log stops the fetching for long; a worker that hangs is known by its session.
        broker_max_poll_interval=86_400,
        broker_max_poll_records=4096,
        stream_buffer_maxsize=8192,
        stream_wait_empty=False,
        topic_allow_declare=False,
        topic_disable_leader=True,
        web_enabled=False,
        store="memory://",
    )


def _ssl_context(settings: Settings) -> ssl.SSLContext | None:
    if "SSL" not in settings.kafka_security_protocol:
        return None
    ca, cert = settings.kafka_security_ca_file, settings.kafka_security_cert_file
    try:
        context = ssl.create_default_context(cafile=str(ca) if ca else None)
        if cert:
            context.load_cert_chain(cert, settings.kafka_security_key_file)
    except ssl.SSLError as error:
        names = "VIGIA_KAFKA_SECURITY_CA_FILE, _CERT_FILE, _KEY_FILE"
        raise BadInput(f"{names}: one is not the PEM file that it should be: {error}") from None
    return context


class Intake:
    """Faust's events of the two input topics as batches of records."""

    def __init__(self, app: faust.App, settings: Settings) -> None:
        self._app, self._max = app, settings.batch_max
        self._names = {settings.topic(name): name for name in INPUTS}
        self._observed: set[Place] = set()

    async def batches(self, stream: Any) -> AsyncIterator[list[Any]]:
        """What waits in the agent's queue, at most `batch_max` events at a time."""
        queue = stream.channel.queue
        async for event in stream.noack().events():
            events = [event] if self.is_current(event) else []
            while len(events) < self._max and not queue.empty():
                waiting = queue.get_nowait()
                if self.is_current(waiting):
                    # Faust's own iterator would have done this: an untracked message is never committed.
                    waiting.message.tracked = True
                    self._app.consumer.track_message(waiting.message)
                    events.append(waiting)
            if events:
                yield events

    def is_current(self, event: Any) -> bool:
        """False for what was fetched before the last rebalance: it is fetched again by its new owner."""
        app = self._app
        return self.flowing and event.message.generation_id == app.consumer_generation_id

    def record(self, event: Any) -> Record:
        message = event.message
        replay, traceparent = notable(message.headers)
        timestamp = round((message.timestamp or 0) * 1000)
        topic = self._names[message.topic]
        return Record(
            topic,
            message.partition,
            message.offset,
            timestamp,
            message.key,
            message.value,
            replay,
            traceparent,
        )

    @property
    def flowing(self) -> bool:
        """False from the moment that a rebalance takes partitions away until it has given them."""
        return bool(self._app.flow_control.is_active())

    @property
    def generation(self) -> int:
        """Another number after each rebalance."""
        return int(self._app.consumer_generation_id)

    def assigned(self) -> list[Place]:
        tps = (tp for tp in self._app.consumer.assignment() if tp.topic in self._names)
        return sorted((self._names[tp.topic], tp.partition) for tp in tps)

    def committed(self) -> dict[Place, int]:
        """Offsets that the broker confirmed, of the assigned partitions."""
        offsets = self._committed_offsets()
        return {(self._names[tp.topic], tp.partition): offsets[tp] or 0 for tp in list(offsets)
                if tp.topic in self._names}  # fmt: skip

    def _committed_offsets(self) -> dict[Any, int | None]:
        offsets: dict[Any, int | None] = self._app.consumer._committed_offset  # type: ignore[attr-defined]
        return offsets

    def observe_lag(self, positions: Mapping[Place, int]) -> None:
        """Records behind the end of each assigned partition; `positions`: below is decided and delivered."""
        consumer, seen = self._app.consumer, set()
        for tp in consumer.assignment():
            place = (self._names.get(tp.topic, ""), tp.partition)
            end = consumer.highwater(tp) if place in positions else None
            if end is not None:
                seen.add(place)
                metrics.LAG.labels(place[0], str(place[1])).set(max(0, end - positions[place]))
        for topic, partition in self._observed - seen:  # another worker's now: it tells of them
            metrics.LAG.remove(topic, str(partition))
        self._observed = seen


def add_agent(app: faust.App, settings: Settings, worker: Worker, health: Health) -> None:
    """Subscribe one agent to both input topics."""
    commits = Commits(app, settings, worker.fence)
    topic = app.topic(
        *(settings.topic(name) for name in INPUTS),
        key_type=bytes,
        value_type=bytes,
        key_serializer="raw",
        value_serializer="raw",
        allow_empty=True,
    )
    turns = Turns(Intake(app, settings), worker, health, commits)

    @app.on_partitions_revoked.connect
    async def leaving(*_: object, **__: object) -> None:
        await turns.give_up()

    @app.on_partitions_assigned.connect
    async def joined(*_: object, **__: object) -> None:
        turns.forget()
        # Not awaited: healing may take longer than a rebalance may.
        turns.attaching = asyncio.create_task(_or_leave(turns.attach()))

    @app.agent(topic, concurrency=1, name="vigia")
    async def decide(stream: Any) -> None:
        await _or_leave(turns.take(stream))

    @app.task  # type: ignore[untyped-decorator]
    async def sweep() -> None:
        while not app.should_stop:
            await asyncio.sleep(_SWEEP_SECONDS)
            await _or_leave(turns.sweep())


async def _or_leave(work: Coroutine[Any, Any, None]) -> None:
    """Leave the process at an error that nobody can mend, before anything is acknowledged."""
    try:
        await work
    except asyncio.CancelledError:
        raise
    except BaseException as error:
        told = error if isinstance(error, VigiaError) else "leaving before anything is acknowledged"
        log.critical("cannot go on: %s", told, exc_info=not isinstance(error, VigiaError))
        logging.shutdown()
        os._exit(1)


class Turns:
    """One thing at a time: taking over partitions, deciding a batch and acknowledging it, or a sweep."""

    def __init__(self, intake: Intake, worker: Worker, health: Health, commits: Commits) -> None:
        self._intake, self._worker, self._health, self._commits = intake, worker, health, commits
        self._lock = asyncio.Lock()
        self._attached = -1
        self._rebalances = 0
        self.attaching: asyncio.Task[None] | None = None

    def forget(self) -> None:
        """What was attached is not; a group that begins anew counts its generations from 1 again."""
        self._attached = -1
        self._rebalances += 1

    async def give_up(self) -> None:
        """Before the partitions go to another worker, which reads back what was decided: return when a
        delivery in flight is finished, or after the session timeout."""
        self.forget()
        if not await self._worker.delivered(_SESSION_SECONDS):
            log.warning("a delivery is still in flight; another worker may decide the same events")

    async def attach(self) -> None:
        async with self._lock:
            await self._attach({})

    async def take(self, stream: Any) -> None:
        async for events in self._intake.batches(stream):
            async with self._lock:
                await self._take(events)

    async def sweep(self) -> None:
        """What an idle worker does now and then; a batch under way does as much."""
        if self._lock.locked():
            return
        async with self._lock:
            self._worker.fence.obey()
            if self._attached == self._intake.generation and self._intake.flowing:
                self._worker.committed(self._intake.committed())
                await self._worker.sweep()
                self._intake.observe_lag(self._worker.positions())

    async def _take(self, events: list[Any]) -> None:
        intake, worker = self._intake, self._worker
        first: dict[Place, int] = {}
        records = in_record_time([intake.record(event) for event in events])
        for record in records:
            place = record.topic, record.partition
            first[place] = min(record.offset, first.get(place, record.offset))
        if worker.was_past(first):  # Kafka went back to what is committed
            self._attached = -1
        await self._attach(first)
        rebalances = self._rebalances

        def is_current() -> bool:
            return self._rebalances == rebalances and all(map(intake.is_current, events))

        if not is_current():  # fetched before a rebalance: its owner fetches it again
            return
        worker.committed(intake.committed())
        if await worker.handle(records, is_current) is None:
            self._attached = -1
            return
        await worker.fence.passed()  # closed: these may be records of a topic that is no more
        for event in events:
            event.ack()
        intake.observe_lag(worker.positions())

    async def _attach(self, first: dict[Place, int]) -> None:
        """Take over what the last rebalance assigned, if that was not done yet."""
        while self._attached != self._intake.generation:
            generation, rebalances = self._intake.generation, self._rebalances
            try:
                await self._worker.attach(self._intake.assigned(), first)
            except WrongCommits as wrong:
                # Faust began to read where these commits said: it begins again where the topic does.
                await self._commits.rewind(wrong.first)
                self._worker.fence.close(str(wrong))
                self._worker.fence.obey()
            if self._rebalances == rebalances:
                self._attached = generation
        self._health.start()
