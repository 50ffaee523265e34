"""`publish` and the two commands over it, on a real Kafka."""

import time
from collections import defaultdict

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import typer
from confluent_kafka import Consumer
from confluent_kafka.admin import AdminClient, NewTopic
from typer.testing import CliRunner

from features.errors import BadInput, VigiaError
from stream.cli import publish as publish_cli
from stream.cli import simulate as simulate_cli
from stream.publish import Outgoing, publish

pytestmark = pytest.mark.kafka
PARTITIONS = 4


@pytest.fixture(scope="module")
def prefix(kafka):
    """A prefix under which both input topics are there."""
    topics = [NewTopic(f"sending.{name}", PARTITIONS, 1) for name in ("transactions", "fraud-reports")]
    admin = AdminClient({"bootstrap.servers": kafka})  # kept: its end would cancel what it was asked for
    for made in admin.create_topics(topics).values():
        made.result(30)
    return "sending."


@pytest.fixture
def app(kafka, prefix, monkeypatch):
    monkeypatch.setenv("VIGIA_KAFKA_BOOTSTRAP", kafka)
    monkeypatch.setenv("VIGIA_TOPIC_PREFIX", prefix)
    app = typer.Typer()
    publish_cli.register(app)
    simulate_cli.register(app)
    return app


def run(app, *arguments):
    return CliRunner().invoke(app, list(map(str, arguments)), catch_exceptions=True)


def read(kafka, topic, group):
    """Every record of the topic."""
    consumer = Consumer({"bootstrap.servers": kafka, "group.id": group, "auto.offset.reset": "earliest"})
    consumer.subscribe([topic])
    records, quiet_since = [], time.monotonic() + 3.0
    while time.monotonic() < quiet_since + 1.0:
        record = consumer.poll(0.2)
        if record is not None and record.error() is None:
            records.append(record)
            quiet_since = time.monotonic()
    consumer.close()
    return records


def test_everything_arrives_in_order_by_key_and_on_schedule(kafka, prefix):
    messages = [
        Outgoing(f"{prefix}transactions", b"k-%d" % (i % 7), b"first-%d" % i, [("n", b"%d" % i)])
        for i in range(300)
    ]
    told = []
    report = publish(messages, config={"bootstrap.servers": kafka}, rate=600, on_progress=told.append)
    assert (report.sent, report.failed, report.error) == (300, 0, None)
    assert report.seconds >= 299 / 600 - 0.01
    assert told[-1] == 300
    arrived = [r for r in read(kafka, f"{prefix}transactions", "order") if r.value().startswith(b"first-")]
    by_key, partitions = defaultdict(list), defaultdict(set)
    for record in arrived:
        by_key[record.key()].append(int(record.value()[6:]))
        partitions[record.key()].add(record.partition())
        assert record.headers() == [("n", record.value()[6:])]
    assert sum(map(len, by_key.values())) == 300
    assert all(numbers == sorted(numbers) for numbers in by_key.values())
    assert all(len(place) == 1 for place in partitions.values())


def test_a_missing_topic_says_what_to_run(kafka):
    with pytest.raises(VigiaError, match="topic nowhere does not exist: run vigia topics first"):
        publish([("nowhere", None, b"x", None)], config={"bootstrap.servers": kafka})


def test_simulate_publishes_transactions_and_reports(app, kafka, prefix):
    result = run(app, "simulate", "--count", 2_000, "--rate", 5_000, "--fraud-rate", 0.05, "--json")
    assert result.exit_code == 0, result.output
    answer = orjson.loads(result.stdout)
    assert answer["failed"] == 0
    ids = {
        orjson.loads(r.value()).get("event_id")
        for r in read(kafka, f"{prefix}transactions", "s")
        if r.value()[:1] == b"{"
    }
    reports = read(kafka, f"{prefix}fraud-reports", "r")
    assert len(ids) == 2_000
    assert answer["sent"] == 2_000 + len(reports)


def test_files_of_simulate_are_what_publish_takes(app, tmp_path):
    assert run(app, "simulate", "--count", 500, "--seed", 3, "--out", tmp_path).exit_code == 0
    result = run(app, "publish", tmp_path / "transactions.parquet", "--json")
    assert result.exit_code == 0, result.output
    assert orjson.loads(result.stdout)["sent"] == 500


def test_publish_sends_bad_values_and_refuses_wrong_columns(app, kafka, prefix, tmp_path):
    columns = {
        "event_id": ["bad-0", "bad-1", "bad-2"],
        "occurred_at": pa.array([1_534_204_800_000] * 3, pa.timestamp("ms", "UTC")),
        "amount": [0.0, 1108.8500000000001, 1.005],
        "payer_account": ["payer-of-bad", "payer-of-bad", None],
        "payee_account": ["b", "b", "b"],
    }
    pq.write_table(pa.table(columns), tmp_path / "t.parquet")
    result = run(app, "publish", tmp_path / "t.parquet", "--json")
    assert result.exit_code == 0, result.output
    pq.write_table(pa.table(columns | {"ammount": [1, 2, 3]}), tmp_path / "u.parquet")
    refused = run(app, "publish", tmp_path / "u.parquet").exception
    assert isinstance(refused, BadInput)
    assert refused.exit_code == 2
    assert "`ammount` is not in the contract" in str(refused)
    records = [r for r in read(kafka, f"{prefix}transactions", "bad") if b'"bad-' in r.value()]
    sent = {m["event_id"]: m["amount"] for m in (orjson.loads(r.value()) for r in records)}
    assert len(records) == 3
    assert sent == {"bad-0": "0.00", "bad-1": "1108.85", "bad-2": "1.005"}
    assert {r.key() for r in records} == {b"payer-of-bad", None}


@pytest.mark.parametrize("start", ["tomorrow", "2999-01-01"])
def test_a_wrong_start_is_bad_input(app, start):
    assert isinstance(run(app, "simulate", "--count", 10, "--start", start).exception, BadInput)


def test_now_ends_now(app):
    result = run(app, "simulate", "--count", 100, "--start", "now", "--rate", 10_000)
    assert result.exit_code == 0, result.output
