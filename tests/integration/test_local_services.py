"""`vigia up`, `down` and `status` on a real Kafka and Redis."""

import json
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
import typer
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic, OffsetSpec  # type: ignore[attr-defined]
from typer.testing import CliRunner

from deploy.local import ServiceError, Services, down, private_redis, project_folder, start_kafka, status, up
from deploy.local.ports import free_port
from deploy.local.service import find
from stream.cli.services import register

pytestmark = [pytest.mark.kafka, pytest.mark.redis]

BIG = 4 * 1024 * 1024
ROOM = BIG + 64 * 1024


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A project folder of its own, whose services are ended at the end."""
    folder = tmp_path_factory.mktemp("project")
    yield folder
    down(folder / ".vigia", erase=True)


@pytest.fixture
def services(project: Path) -> Services:
    """Both up, on ports that no other test and no other person uses by habit."""
    root = project / ".vigia"
    if status(root)["kafka"].address:
        return up(root)
    return up(root, kafka_port=free_port(), redis_port=free_port())


def run(project: Path, *arguments: str) -> tuple[int, str]:
    """Exit code and standard output of one command, given in the project's folder."""
    app = typer.Typer()
    register(app)
    before = Path.cwd()
    os.chdir(project)
    try:
        result = CliRunner().invoke(app, arguments)
    finally:
        os.chdir(before)
    return result.exit_code, result.stdout


def pids(project: Path) -> dict[str, int | None]:
    return {name: one.pid for name, one in status(project / ".vigia").items()}


def create(services: Services, topic: NewTopic) -> None:
    admin = AdminClient({"bootstrap.servers": services.kafka, "log_level": 0})
    admin.create_topics([topic])[topic.topic].result(30)


def put(services: Services, topic: str, value: bytes) -> None:
    """One message in a new topic, and one key in Redis."""
    create(services, NewTopic(topic, 1, 1, config={"max.message.bytes": str(ROOM)}))
    failures: list[object] = []
    producer = Producer({"bootstrap.servers": services.kafka, "message.max.bytes": ROOM, "log_level": 0})
    producer.produce(topic, value, on_delivery=lambda error, _: failures.append(error) if error else None)
    assert producer.flush(30) == 0
    assert not failures
    with redis.Redis.from_url(services.redis) as client:
        client.set(topic, "kept")


def assert_kept(services: Services, topic: str, value: bytes) -> None:
    consumer = Consumer({"bootstrap.servers": services.kafka, "group.id": "reader", "log_level": 0})
    try:
        consumer.assign([TopicPartition(topic, 0, 0)])
        message = consumer.poll(30)
        assert message is not None
        assert message.error() is None
        assert message.value() == value
    finally:
        consumer.close()
    with redis.Redis.from_url(services.redis) as client:
        assert client.get(topic) == b"kept"


def test_up_twice_is_a_no_op_and_two_at_once_are_one(project: Path, services: Services) -> None:
    before = pids(project)
    found: list[Services] = []
    threads = [threading.Thread(target=lambda: found.append(up(project / ".vigia"))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert found == [services, services]
    assert pids(project) == before


def test_json_is_one_object_with_both_addresses(project: Path, services: Services) -> None:
    expected = {"kafka": services.kafka, "redis": services.redis}
    assert services.kafka.startswith("127.0.0.1:")
    assert services.redis.startswith("redis://127.0.0.1:")
    for command in ("up", "status"):
        code, out = run(project, command, "--json")
        assert code == 0
        assert out.count("\n") == 1
        assert json.loads(out) == expected


def test_status_fails_when_one_is_away_and_up_restores_that_one(project: Path, services: Services) -> None:
    put(services, "redis-killed", b"x")
    before = pids(project)
    assert before["redis"] is not None
    os.kill(before["redis"], signal.SIGKILL)
    code, out = run(project, "status", "--json")
    assert (code, json.loads(out)) == (1, {"kafka": services.kafka, "redis": None})
    assert up(project / ".vigia") == services
    after = pids(project)
    assert after["kafka"] == before["kafka"]
    assert after["redis"] not in (None, before["redis"])
    assert_kept(services, "redis-killed", b"x")


def test_a_killed_kafka_comes_back_with_what_it_acknowledged(project: Path, services: Services) -> None:
    value = b"x" * BIG  # the largest dead letter
    put(services, "kafka-killed", value)
    create(services, NewTopic("of-many-partitions", 28, 1))
    before = pids(project)
    assert before["kafka"] is not None
    os.kill(before["kafka"], signal.SIGKILL)
    assert up(project / ".vigia") == services
    # at once: it leads what it held (without waiting for that, 4 of 12 starts did not)
    latest = OffsetSpec.latest()  # type: ignore[no-untyped-call]
    many = {TopicPartition("of-many-partitions", p): latest for p in range(28)}
    admin = AdminClient({"bootstrap.servers": services.kafka, "log_level": 0})
    ends = admin.list_offsets(many)
    assert [end.result().offset for end in ends.values()] == [0] * 28
    assert pids(project)["redis"] == before["redis"]
    assert_kept(services, "kafka-killed", value)


def test_data_are_kept_over_down_and_up_and_gone_after_erase(project: Path, services: Services) -> None:
    root = project / ".vigia"
    put(services, "down-and-up", b"x")
    down(root)
    assert not any(one.running or one.pid or one.address for one in status(root).values())
    assert run(project, "status")[0] == 1
    again = up(root, kafka_port=free_port(), redis_port=free_port())  # other ports, the same data
    assert_kept(again, "down-and-up", b"x")
    assert run(project, "down", "--erase") == (0, "")
    assert not (root / "kafka").exists()
    assert not (root / "redis").exists()


def test_down_of_nothing_is_no_error(tmp_path: Path) -> None:
    down(tmp_path / "never")
    assert not (tmp_path / "never").exists()
    assert run(tmp_path, "down") == (0, "")


def test_a_running_service_is_not_moved(project: Path, services: Services) -> None:
    with pytest.raises(ServiceError, match="vigia down"):
        up(project / ".vigia", kafka_port=free_port())
    assert up(project / ".vigia", kafka_port=int(services.kafka.rpartition(":")[2])) == services


def test_data_that_kafka_cannot_read_is_one_line_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "meta.properties").write_text("nonsense")
    with pytest.raises(ServiceError, match="--erase") as error:
        start_kafka(tmp_path)
    assert "\n" not in str(error.value)
    assert str(tmp_path / "kafka.log") in str(error.value)


def test_a_private_redis_is_gone_with_its_block() -> None:
    with private_redis() as url:
        socket = Path(url.removeprefix("unix://"))
        with redis.Redis.from_url(url) as client:
            assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
            assert client.config_get("appendonly") == {"appendonly": "no"}
    assert not socket.parent.exists()


def test_the_sessions_services_answer(kafka: str, redis_flushed: str) -> None:
    assert AdminClient({"bootstrap.servers": kafka, "log_level": 0}).list_topics(timeout=30).brokers
    with redis.Redis.from_url(redis_flushed) as client:
        assert client.dbsize() == 0


def test_the_folder_is_hidden_in_the_project(project: Path) -> None:
    assert project_folder(project) == project / ".vigia"


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="what a process has mapped is told by Linux")
def test_the_second_kafka_is_given_its_classes_laid_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deploy.local.kafka.cache_folder", lambda: tmp_path)
    start_kafka(tmp_path / "first").kill()
    (made,) = tmp_path.glob("*.jsa")
    second = start_kafka(tmp_path / "second")
    try:
        assert str(made) in Path(f"/proc/{second.process.pid}/maps").read_text()
    finally:
        second.kill()


def test_ctrl_c_while_the_classes_are_laid_out_leaves_no_kafka(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("deploy.local.kafka.ClassArchive.make", interrupted)
    with pytest.raises(KeyboardInterrupt):
        start_kafka(tmp_path / "kafka")
    left = find(tmp_path / "kafka")
    assert left
    assert not left.alive()
