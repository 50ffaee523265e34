"""The Faust side: one agent over both input topics, acknowledged by hand, in order.

Faust loses by default (DESIGN section 7): an exception in `async for` acknowledges the event, and so does a
codec error. So: raw bytes in, `noack()`, and an error that nobody can mend leaves the process before any
acknowledgement, because a graceful stop would commit. docs/adr/0004 lists the internals this leans on.
"""

import asyncio
import ssl
import tempfile
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import faust

from features.errors import BadInput
from stream.chunks import WAITING, chunk_size, in_chunks
from stream.commits import SESSION_SECONDS, Commits
from stream.health import Health
from stream.intake import Intake
from stream.leaving import leave_after, or_leave
from stream.settings import Settings
from stream.turns import Turns
from stream.worker import INPUTS, Worker

_SWEEP_SECONDS = 1.0

_STOP_SECONDS = 10.0
"""What Faust's part of a stop may take, after the deliveries in flight: most often less than two."""


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
        broker_session_timeout=SESSION_SECONDS,
        # By their next one the others learn that a worker's session ended: of the 10 s that its partitions
        # may stand still, the session has 6.
        broker_heartbeat_interval=1,
        broker_commit_interval=settings.commit_seconds,
        broker_commit_livelock_soft_timeout=3600,
        # Healing a day of log stops the fetching for long; a worker that hangs is known by its session.
        broker_max_poll_interval=86_400,
        # Little of each partition and all of them at a time, so that they go on side by side.
        consumer_max_fetch_size=256 * 1024,
        broker_max_poll_records=100_000,
        # A partition that is added is read within seconds; the client's default is five minutes.
        consumer_metadata_max_age_ms=10_000,
        ConsumerScheduler=in_chunks(chunk_size(settings.batch_max)),
        stream_buffer_maxsize=2 * WAITING,  # chunks: never reached, for Faust stalls a second when it is
        stream_wait_empty=False,
        topic_allow_declare=False,
        topic_disable_leader=True,
        web_enabled=False,
        datadir=Path(tempfile.gettempdir()) / "vigia-faust",  # made though nothing is kept there
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
        commits.joined()
        turns.forget()
        # Not awaited: healing may take longer than a rebalance may.
        turns.start(turns.attach())

    @app.on_before_shutdown.connect
    async def stopping(*_: object, **__: object) -> None:
        # While it is still in the group: whoever takes over reads back what was decided.
        await turns.finish()
        leave_after(_STOP_SECONDS)

    @app.agent(topic, concurrency=1, name="vigia")
    async def decide(stream: Any) -> None:
        await or_leave(turns.take(stream))

    @app.task  # type: ignore[untyped-decorator]
    async def sweep() -> None:
        await again_and_again(app, _SWEEP_SECONDS, turns.sweep)

    @app.task  # type: ignore[untyped-decorator]
    async def tell_lag() -> None:  # apart from the sweep, which waits where Redis is away
        await again_and_again(app, _SWEEP_SECONDS, turns.tell_lag)


async def again_and_again(
    app: faust.App, seconds: float, work: Callable[[], Coroutine[Any, Any, None]]
) -> None:
    """Until the app stops, with a pause before each; the process ends at its error."""
    while not app.should_stop:
        await asyncio.sleep(seconds)
        await or_leave(work())
