"""The one place where the parts of a worker are joined."""

import asyncio
import logging
import os
import socket
import sys
import time
from pathlib import Path

import faust
import mode.loop

from features.redis_state import RedisState
from features.state import StateAway
from models.scorer import Scorer
from stream import garbage
from stream.agents import add_agent, make_app
from stream.fence import Fence
from stream.healing import Healer
from stream.health import Health
from stream.http.operations import serve_operations
from stream.kafka_log import KafkaAway, KafkaLog
from stream.logs import configure_logging
from stream.outputs import Outputs
from stream.pipeline import Pipeline
from stream.policy import Control, Policy
from stream.settings import Settings
from stream.topics import TOPICS
from stream.worker import INPUTS, Worker

log = logging.getLogger("vigia.bootstrap")

_RETRY_SECONDS, _LOOK_SECONDS = 0.5, 2.0


def run_worker(settings: Settings) -> None:
    """Run until SIGTERM or SIGINT; ends the process. Raises VigiaError for what is wrong from the start."""
    configure_logging()
    scorer = Scorer.load(settings.model)
    policy = Policy(scorer.thresholds, Control(settings.control_rate, settings.control_key or ""))
    health = Health()
    server = serve_operations(settings.http_host, settings.http_port, health)
    fields = {"model": scorer.model_id, "policy": policy.version, "http_port": server.server_port}
    log.info("starting", extra={"fields": fields})
    kafka = KafkaLog(settings)
    topic_ids = _wait_for_kafka(kafka, health)
    mode.loop.use("uvloop")
    asyncio.run(_wait_for_redis(settings, health))
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    app = make_app(settings)
    pipeline = Pipeline(RedisState(settings.redis_url, settings.state_shards), scorer, policy)
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

    @app.task  # type: ignore[untyped-decorator]
    async def watch_kafka() -> None:
        while not app.should_stop:
            await worker.look_for_kafka()
            await asyncio.sleep(_LOOK_SECONDS)

    garbage.settle()
    with Path(os.devnull).open("w") as nowhere:  # Faust's spinner would write escape codes among the JSON
        faust.Worker(
            app,
            loglevel="WARNING",
            override_logging=False,
            redirect_stdouts=False,
            quiet=True,
            loop=loop,
            stdout=nowhere,
        ).execute_from_commandline()


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
