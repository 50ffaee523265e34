"""The one place where the parts of a worker are joined."""

import asyncio
import logging
import os
import signal
import socket
import sys
import time
from pathlib import Path
from threading import Event
from typing import NoReturn

import faust
import mode.loop

from features.redis_state import RedisState
from features.state import StateAway
from models.scorer import Scorer
from stream import garbage
from stream.agents import add_agent, again_and_again, make_app
from stream.fence import Fence
from stream.healing import Healer
from stream.health import Health
from stream.http.operations import serve_operations
from stream.judge import Judge
from stream.kafka_client import KafkaAway
from stream.kafka_log import KafkaLog
from stream.leaving import leave
from stream.logs import configure_logging
from stream.model_source import Followed, ModelSource, PlainFolder, place_of, warmed
from stream.outputs import Outputs
from stream.patience import in_thread
from stream.pipeline import Pipeline
from stream.policy import Control, Policy
from stream.settings import Settings
from stream.shadow_worker import ShadowWorker
from stream.topics import TOPICS
from stream.worker import INPUTS, Worker

log = logging.getLogger("vigia.bootstrap")

_RETRY_SECONDS, _LOOK_SECONDS, _MODEL_SECONDS = 0.5, 2.0, 1.0
_CHALLENGER_SECONDS, _CHALLENGER_LOOK_SECONDS = 30.0, 0.2


def run_worker(settings: Settings) -> NoReturn:
    """Run until SIGTERM or SIGINT; ends the process. Raises VigiaError for what is wrong from the start."""
    configure_logging()
    health = Health()
    server = serve_operations(settings.http_host, settings.http_port, health)
    source = _source(settings, place_of(settings.model, settings.model_cache))
    judge = source.first(health)
    fields = {"versions": judge.versions, "http_port": server.server_port}
    log.info("starting", extra={"fields": fields})
    kafka = KafkaLog(settings)
    topic_ids = _wait_for_kafka(kafka, health)
    mode.loop.use("uvloop")
    asyncio.run(_wait_for_redis(settings, health))
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    app = make_app(settings)
    pipeline = Pipeline(RedisState(settings.redis_url, settings.state_shards), judge)
    fence = Fence({name: topic_ids[name] for name in INPUTS}, health, _begin_anew)
    worker = Worker(
        pipeline,
        Outputs(settings, f"{socket.gethostname()}-{os.getpid()}", health, topic_ids),
        kafka,
        health,
        fence,
        Healer(pipeline, kafka, health, fence, settings.state_on_empty),
        group=settings.group_id,
    )
    add_agent(app, settings, worker, health)

    async def look_for_model() -> None:
        if (judge := await in_thread(source.look)) is not None:
            pipeline.judge = judge

    @app.task  # type: ignore[untyped-decorator]
    async def watch_kafka() -> None:
        await again_and_again(app, _LOOK_SECONDS, worker.look_for_kafka)

    @app.task  # type: ignore[untyped-decorator]
    async def follow_model() -> None:
        await again_and_again(app, _MODEL_SECONDS, look_for_model)

    garbage.settle()
    with Path(os.devnull).open("w") as nowhere:  # Faust's spinner would write escape codes among the JSON
        main = faust.Worker(
            app,
            loglevel="WARNING",
            override_logging=False,
            redirect_stdouts=False,
            quiet=True,
            loop=loop,
            stdout=nowhere,
        )
        try:
            main.execute_from_commandline()
        except SystemExit as ended:  # as a stop ends
            leave(int(ended.code or 0))


def run_shadow(settings: Settings, model: Path) -> NoReturn:
    """Score in the shadow until SIGTERM or SIGINT; ends the process. Raises VigiaError."""
    configure_logging()
    stopping = Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    health = Health()
    place = place_of(model, settings.model_cache)
    # Every REVIEW of its is told as one: to draw a control group is for decisions.
    source = _source(settings.model_copy(update={"control_rate": 0.0}), place)
    server = serve_operations(settings.http_host, settings.http_port, health)
    log.info("starting", extra={"fields": {"model": str(model), "http_port": server.server_port}})
    judge = source.first(health) if isinstance(place, PlainFolder) else None

    def challenger() -> Judge | None:
        nonlocal judge
        judge = source.look() or judge
        return judge if isinstance(place, PlainFolder) or place.is_named() else None

    until = time.monotonic() + _CHALLENGER_SECONDS  # what is in the topics may wait for it to be loaded
    while judge is None and isinstance(place, Followed) and not stopping.is_set():
        judge = source.look()
        if judge is None and (place.is_hopeless() or time.monotonic() > until):
            break
        stopping.wait(_CHALLENGER_LOOK_SECONDS)
    worker = ShadowWorker(settings, challenger)
    health.start()
    worker.run(stopping.is_set)
    leave(0)


def _source(settings: Settings, place: PlainFolder | Followed) -> ModelSource[Judge]:
    control = Control(settings.control_rate, settings.control_key or "")

    def made(scorer: Scorer) -> Judge:
        return warmed(Judge(scorer, Policy(scorer.thresholds, control)), scorer)

    return ModelSource(place, made)


def _begin_anew() -> None:
    """This command again, in this process's place: nothing of what it knew is left."""
    logging.shutdown()
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


def _wait_for_kafka(kafka: KafkaLog, health: Health) -> dict[str, str]:
    """Ids of the topics, as soon as a broker answers. Raises TopicsMissing."""
    while True:
        try:
            ids, _ = kafka.describe(tuple(TOPICS))
        except KafkaAway as away:
            health.waiting("kafka", str(away))
            time.sleep(_RETRY_SECONDS)
        else:
            health.answered("kafka")
            return ids


async def _wait_for_redis(settings: Settings, health: Health) -> None:
    """Return when Redis answers and evicts nothing. Raises StateError."""
    while True:
        try:
            await (await RedisState.connect(settings.redis_url, settings.state_shards)).close()
        except StateAway as away:
            health.waiting("redis", str(away))
            await asyncio.sleep(_RETRY_SECONDS)
        else:
            health.answered("redis")
            return
