"""Apache Kafka, one node that is broker and controller, from its jars alone."""

import base64
import subprocess
import uuid
from collections.abc import Callable
from pathlib import Path

from confluent_kafka import KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]

from deploy.errors import ServiceError
from deploy.local.class_archive import ClassArchive
from deploy.local.java import cache_folder, classpath, java
from deploy.local.ports import HOST, free_port, is_free, require_free
from deploy.local.service import Service, await_answer, last_words, launch, log_file, make_folder

NAME = "Kafka"
_JVM = ["-Xmx512m", "-XX:+UseSerialGC", "-Djava.awt.headless=true"]
_ANSWER_SECONDS = 3.0
_FOR_MINUTES = "-XX:TieredStopAtLevel=1"
"""Without the second compiler, whose work on a broker's code takes a core for half a minute."""
_LOGGING = [
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
    "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd HH:mm:ss",
]
_SETTINGS = """\
process.roles=broker,controller
node.id=1
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
inter.broker.listener.name=PLAINTEXT
# one node: a second copy has nowhere to be
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
# few internal partitions: each costs time at every start
offsets.topic.num.partitions=4
transaction.state.log.num.partitions=4
share.coordinator.state.topic.num.partitions=4
group.initial.rebalance.delay.ms=0
auto.create.topics.enable=false
# after kill -9 a broker is let in again once its former self has been silent for this long (default 9 s)
broker.session.timeout.ms=5000
broker.heartbeat.interval.ms=1000
# room for a dead letter: its topic takes 4 MiB a message, the inputs 2, all else Kafka's own limit of 1
replica.fetch.max.bytes=8388608
socket.request.max.bytes=104857600
# the default buffer of 128 MiB would be a quarter of this heap
log.cleaner.dedupe.buffer.size=16777216
"""


def start_kafka(
    folder: Path,
    port: int | None = None,
    *,
    lasting: bool = False,
    say: Callable[[str], None] = lambda _: None,
) -> Service:
    """Kafka on 127.0.0.1:``port`` (a free one if None) with its data in ``folder``; returns when it answers
    for all that it holds.

    A folder that has data goes on with them. ``lasting``: it works for longer than some minutes, then each
    record costs it a third less, and the first half minute more. Raises ServiceError.
    """
    folder = make_folder(folder)
    port = free_port() if port is None else port
    require_free(port, NAME, "--kafka-port")
    config = folder / "server.properties"
    config.write_text(render_config(folder, port, _controller_port(config, port)))
    program, jars, loaded = java(), classpath(say), folder / "classes.txt"
    archive = ClassArchive(cache_folder(), program, jars)
    options = [*_JVM, *([] if lasting else [_FOR_MINUTES]), *_LOGGING, "-cp", jars]
    if not (folder / "data" / "meta.properties").exists():
        _format([program, *archive.options(), *options], config, folder)
    run = [program, *archive.options(loaded), *options, "kafka.Kafka", str(config)]
    service = launch(NAME, run, folder, f"{HOST}:{port}", port)
    await_answer(service, _leads, seconds=90)
    try:
        archive.make(loaded, _JVM, say)
    except BaseException:  # Ctrl-C meanwhile leaves nothing behind
        service.stop()
        raise
    return service


def answers(address: str) -> bool:
    """True if the broker at ``address`` answers a metadata request and counts itself in."""
    try:
        return not _nobody_at(address) and bool(_client(address).list_topics(timeout=_ANSWER_SECONDS).brokers)
    except KafkaException:
        return False


def _leads(address: str) -> bool:
    """Whether it answers for each partition that it holds: after a start it counts itself in a moment before
    it knows that it leads them."""
    if _nobody_at(address):
        return False
    client, latest = _client(address), OffsetSpec.latest()  # type: ignore[no-untyped-call]
    try:
        told = client.list_topics(timeout=_ANSWER_SECONDS)
        asked = {TopicPartition(name, p): latest for name, t in told.topics.items() for p in t.partitions}
        ends = client.list_offsets(asked, request_timeout=_ANSWER_SECONDS) if asked else {}
    except KafkaException:
        return False
    return bool(told.brokers) and all(end.exception() is None for end in ends.values())


def _nobody_at(address: str) -> bool:
    """Cheaper than a client that finds nobody there."""
    return is_free(int(address.rpartition(":")[2]))


def _client(address: str) -> AdminClient:
    timeout = int(_ANSWER_SECONDS * 1000)
    return AdminClient({"bootstrap.servers": address, "log_level": 0, "socket.timeout.ms": timeout})


def render_config(folder: Path, port: int, controller_port: int) -> str:
    """The text of server.properties."""
    return (
        f"listeners=PLAINTEXT://{HOST}:{port},CONTROLLER://{HOST}:{controller_port}\n"
        f"advertised.listeners=PLAINTEXT://{HOST}:{port},CONTROLLER://{HOST}:{controller_port}\n"
        f"controller.quorum.bootstrap.servers={HOST}:{controller_port}\n"
        f"log.dirs={folder / 'data'}\n" + _SETTINGS
    )


def _controller_port(config: Path, port: int) -> int:
    """The port of the last start if it is free, so that the node finds itself where its data say it is."""
    text = config.read_text() if config.exists() else ""
    for line in text.splitlines():
        name, _, value = line.partition("=")
        if name == "controller.quorum.bootstrap.servers":
            before = int(value.rpartition(":")[2])
            if before != port and is_free(before):
                return before
    return free_port()


def _format(run: list[str], config: Path, folder: Path) -> None:
    # the leading letter: an id that began with a dash would be read as an option
    cluster = "v" + base64.urlsafe_b64encode(uuid.uuid4().bytes).decode()[:21]
    command = [*run, "kafka.tools.StorageTool", "format", "--standalone", "-t", cluster, "-c", str(config)]
    log = log_file(folder, NAME)
    with log.open("ab") as output:
        answer = subprocess.run(command, stdout=output, stderr=output, check=False)
    if answer.returncode:
        raise ServiceError(
            f"Kafka's data folder {folder / 'data'} could not be prepared ({last_words(log)}); "
            "`vigia down --erase` empties it"
        )
