"""`vigia state` on a real Kafka, on one Redis and on a cluster."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import pytest
import redis
import typer
from confluent_kafka import Consumer, TopicPartition
from redis.cluster import RedisCluster as ClusterClient
from typer.testing import CliRunner

from stream.audit.inputs import KafkaInputs
from stream.cli import state as state_cli
from stream.kafka_client import KafkaAway
from stream.publish import publish
from stream.settings import load_settings
from stream.simulate import SimulationConfig, simulate
from stream.simulate.files import write
from stream.topics import create_topics

pytestmark = [pytest.mark.kafka, pytest.mark.redis]

PARTITIONS = 3
INPUTS = ("transactions", "fraud-reports")
SIMULATION = SimulationConfig(seed=7, days=30, transactions_per_day=15, fraud_rate=0.05)


@dataclass
class Commands:
    """The commands on topics that a group has read to the end, and their Redis."""

    client: Any
    events: int

    def __call__(self, *words: object, code: int | None = 0) -> dict[str, Any]:
        """What it printed as JSON, if it did."""
        app = typer.Typer()
        state_cli.register(app)
        result = CliRunner().invoke(app, ["state", *map(str, words), "--json"])
        assert code in (None, result.exit_code), (result.exception, result.stdout, result.stderr)
        self.error = str(result.exception)
        return json.loads(result.stdout) if result.stdout else {}

    def keys(self, pattern: str) -> list[bytes]:
        return sorted(self.client.scan_iter(match=pattern))


@pytest.fixture(scope="module")
def published(kafka: str) -> int:
    """Events in both topics, all of them committed by the group."""
    settings = load_settings(kafka_bootstrap=kafka, topic_prefix="audit.", group_id="audit")
    create_topics(settings, PARTITIONS, 1)
    config = settings.kafka_client_config()
    messages = [
        ("audit." + m.topic, m.key, m.value, None) for m in simulate(SIMULATION).first(600).messages()
    ]
    assert publish(messages, config=config).sent == len(messages)
    consumer = Consumer({**config, "group.id": "audit"})
    places = [TopicPartition("audit." + topic, p) for topic in INPUTS for p in range(PARTITIONS)]
    for place in places:
        place.offset = consumer.get_watermark_offsets(place, timeout=10)[1]
    consumer.commit(offsets=places, asynchronous=False)
    consumer.close()
    return len(messages)


@pytest.fixture(params=[1, 64])
def commands(
    request: pytest.FixtureRequest, kafka: str, published: int, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Commands]:
    if request.param == 1:
        url = request.getfixturevalue("redis_flushed")
        client: Any = redis.Redis.from_url(url)
    else:
        url = request.getfixturevalue("redis_cluster").url
        client = ClusterClient.from_url(url)
    for name, value in {
        "KAFKA_BOOTSTRAP": kafka, "REDIS_URL": url, "STATE_SHARDS": request.param,
        "TOPIC_PREFIX": "audit.", "GROUP_ID": "audit",
    }.items():  # fmt: skip
        monkeypatch.setenv(f"VIGIA_{name}", str(value))
    with client:
        yield Commands(client, published)


def test_rebuilt_from_the_topics_it_is_what_they_say(commands: Commands) -> None:
    assert commands("rebuild")["topic_records"] == commands.events
    report = commands("verify", "--sample", 200)
    assert report["sound"]
    assert report["events"] == commands.events
    assert sum(report["entities"].values()) == 200
    assert (report["keys"], report["unexplained"]) == (200, 0)


def test_a_lost_entity_is_found(commands: Commands) -> None:
    commands("rebuild")
    lost = commands.keys("{s*}:*:pair:*")[:5]
    for key in lost:
        commands.client.delete(key)
    report = commands("verify", "--sample", 100_000, code=1)
    assert report["differing"] == len(lost)
    assert not report["sound"]
    assert all(difference["entity"].startswith("pair ") for difference in report["first"])


def test_an_entity_of_nobody_is_found(commands: Commands) -> None:
    commands("rebuild")
    key = commands.keys("{s*}:*:pair:*")[0]
    stranger = key[:-12] + b"nobody's own"
    commands.client.set(stranger, b"")
    report = commands("verify", "--sample", 100_000, code=1)
    assert (report["unexplained"], report["strangers"]) == (1, [])


def test_what_is_lost_as_a_whole_is_missing(commands: Commands) -> None:
    commands("verify", code=1)
    assert "the state is empty" in commands.error
    assert commands.keys("*") == []
    commands("rebuild")
    for key in commands.keys("*"):
        if not key.endswith(b":group"):
            commands.client.delete(key)
    report = commands("verify", "--sample", 100, "--wait", 0, code=1)
    assert report["missing"] == commands.events
    assert report["differences"] == 0


def test_rebuild_deletes_only_what_is_its_own_and_only_when_told(commands: Commands) -> None:
    commands("rebuild")
    commands.client.set("another's", "1")
    commands.client.set("{s00}:anotherlayout:pair:x", "1")
    before = commands.keys("*")
    commands("rebuild", code=1)
    assert "--flush" in commands.error
    assert commands.keys("*") == before
    assert commands("rebuild", "--flush")["deleted_keys"] == len(before) - 3, "whose it is stays"
    assert commands.keys("*") == before
    assert commands("verify")["sound"]


def test_what_cannot_be_read_deletes_nothing(
    commands: Commands, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands("rebuild")
    before = commands.keys("*")
    transactions, _ = write(simulate(SIMULATION).first(20), tmp_path)
    broken = tmp_path / "broken.parquet"
    broken.write_bytes(transactions.read_bytes()[:-100])
    for files, says in {
        ("--transactions", broken): "not a Parquet file",
        ("--transactions", transactions, "--reports", tmp_path / "none"): "there is no such file",
        ("--transactions", transactions, "--reports", transactions): "report",
    }.items():
        commands("rebuild", "--flush", *files, code=1)
        assert says in commands.error
        assert commands.keys("*") == before

    def away(_: KafkaInputs) -> NoReturn:
        raise KafkaAway("it went away")

    monkeypatch.setattr(KafkaInputs, "stands", away)
    commands("rebuild", "--flush", code=1)
    assert "it went away" in commands.error
    assert commands.keys("*") == before


def test_the_state_of_another_group_is_neither_verified_nor_rebuilt(
    commands: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands("rebuild")
    before = commands.keys("*")
    monkeypatch.setenv("VIGIA_GROUP_ID", "another")
    for words in (["verify"], ["rebuild"], ["rebuild", "--flush"]):
        commands(*words, code=1)
        assert "'audit', not of 'another'" in commands.error
        assert commands.keys("*") == before


def test_rebuild_refuses_while_a_worker_runs(commands: Commands, kafka: str) -> None:
    consumer = Consumer({"bootstrap.servers": kafka, "group.id": "audit"})
    consumer.subscribe(["audit.transactions"])
    try:
        until(lambda: bool(consumer.poll(0.2)) or bool(consumer.assignment()))
        commands("rebuild", code=1)
        assert "1 workers of group 'audit' are running" in commands.error
    finally:
        consumer.close()
    assert commands.keys("*") == []


def until(condition: Callable[[], bool]) -> None:
    for _ in range(100):
        if condition():
            return
    raise AssertionError("it never came")


def test_snapshot_says_what_there_is(commands: Commands) -> None:
    empty = commands("snapshot")
    assert empty["entities"] == {}
    assert empty["to_heal"] == commands.events
    commands("rebuild")
    commands.client.set("{s00}:anotherlayout:pair:x", "1")
    facts = commands("snapshot")
    counted = {kind: len(commands.keys(f"{{s*}}:{facts['layout']}*:{kind}:*")) for kind in facts["entities"]}
    assert facts["entities"] == counted
    assert set(counted) == {"payer", "payee", "pair", "device", "payee_key"}
    assert facts["to_heal"] == 0
    assert facts["other_layouts"] == {"anotherlayout": 1}
    assert facts["other_logs"] == []
    assert all(log["next"] == log["committed"] == log["end"] for log in facts["logs"])
    assert facts["newest_record"] >= empty["newest_record"] if empty["newest_record"] else True
    nodes = 1 if len(facts["persistence"]) == 1 else 3
    assert len(facts["persistence"]) == nodes
    assert all(node["aof_enabled"] is False for node in facts["persistence"].values())


def test_a_history_from_files_counts_too(commands: Commands, tmp_path: Path) -> None:
    config = SimulationConfig(seed=8, days=10, transactions_per_day=15, fraud_rate=0.05)
    history = simulate(config).first(300)
    transactions, reports = write(history, tmp_path)
    files = ["--transactions", transactions, "--reports", reports]
    made = commands("rebuild", *files)
    assert made["history_events"] >= len(history)
    assert made["topic_records"] == commands.events
    assert commands("verify", "--sample", 100, *files)["sound"]
    report = commands("verify", "--sample", 300, code=1)
    assert (report["excused"], report["sound"]) == (False, False)
    assert report["unexplained"] > 0
    assert [group for group, *_ in report["strangers"]] == ["history"]
