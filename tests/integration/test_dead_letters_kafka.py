"""`vigia dead-letters list|replay` on a real Kafka."""

import base64
import time

import orjson
import pytest
import typer
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic
from typer.testing import CliRunner

from features.errors import BadInput
from stream.cli import dead_letters as cli
from stream.dead_letter import DeadLetter

pytestmark = pytest.mark.kafka
PARTITIONS = 2
PAYMENTS, REPORTS = "letters.transactions", "letters.fraud-reports"
MISSING = "FIELD_MISSING"
LETTERS = [
    DeadLetter(b"not json \xff", b"payer-1", "NOT_UTF8", "byte 9 is not UTF-8", None, PAYMENTS, 0, 7),
    DeadLetter(b'{"event_id":"e-2"}', b"payer-2", MISSING, "occurred_at: missing", "e-2", PAYMENTS, 1, 8),
    DeadLetter(b'{"report_id":"r-3"}', None, MISSING, "status: missing", "r-3", REPORTS, 0, 9),
    DeadLetter(None, b"payer-4", "EMPTY", "the record has no value", None, PAYMENTS, 1, 10),
    DeadLetter(b'{"id":"e-5"}', b"payer-5", "ENUM_UNKNOWN", "type: \x1b[2J", "[red]e-5", PAYMENTS, 1, 11),
]


@pytest.fixture(scope="module")
def prefix(kafka):
    """Topics that hold LETTERS, two a partition in turn, and one record that is none."""
    names = ("transactions", "fraud-reports", "dead-letters")
    admin = AdminClient({"bootstrap.servers": kafka})
    keep = {"retention.ms": "-1"}  # the letters are dated, and a broker begins to delete after 30 s
    topics = [NewTopic(f"letters.{name}", PARTITIONS, 1, config=keep) for name in names]
    for made in admin.create_topics(topics).values():
        made.result(30)
    producer = Producer({"bootstrap.servers": kafka})
    for i, letter in enumerate(LETTERS):
        producer.produce(
            "letters.dead-letters", letter.value, letter.key, i % PARTITIONS, headers=letter.headers(),
            timestamp=1_790_000_000_000 + i * 1000,
        )  # fmt: skip
    producer.produce("letters.dead-letters", b"a stranger", None, 0, timestamp=1_790_000_009_000)
    assert producer.flush(30) == 0
    return "letters."


@pytest.fixture
def app(kafka, prefix, monkeypatch):
    monkeypatch.setenv("VIGIA_KAFKA_BOOTSTRAP", kafka)
    monkeypatch.setenv("VIGIA_TOPIC_PREFIX", prefix)
    app = typer.Typer()
    cli.register(app)
    return app


def run(app, *arguments):
    return CliRunner().invoke(app, ["dead-letters", *map(str, arguments)], catch_exceptions=True)


def listed(app, *arguments):
    result = run(app, "list", "--json", *arguments)
    assert result.exit_code == 0, result.exception
    return orjson.loads(result.stdout)["dead_letters"]


def answered(app, *arguments):
    result = run(app, "replay", "--json", *arguments)
    assert result.exit_code == 0, result.exception
    return orjson.loads(result.stdout)


def on_topic(kafka, topic):
    """Every record of a topic, by the ends that its partitions have now."""
    consumer = Consumer({"bootstrap.servers": kafka, "group.id": "reader", "enable.auto.commit": False})
    records = []
    for partition in range(PARTITIONS):
        low, high = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=10)
        consumer.assign([TopicPartition(topic, partition, low)])
        until = time.monotonic() + 20
        while low < high and time.monotonic() < until:
            if (record := consumer.poll(0.5)) is not None and record.error() is None:
                records.append(record)
                low = record.offset() + 1
    consumer.close()
    return records


def test_the_newest_come_first_and_never_with_their_value(app):
    letters = listed(app)
    assert [x["code"] for x in letters] == [x.code for x in reversed(LETTERS)]
    assert letters[3] == {
        "time": "2026-09-21T14:13:21.000Z",
        "code": "FIELD_MISSING",
        "error": "occurred_at: missing",
        "source_topic": "letters.transactions",
        "source_partition": 1,
        "source_offset": 8,
        "event_id": "e-2",
        "partition": 1,
        "offset": 0,
        "truncated": None,
    }
    assert [x["code"] for x in listed(app, "--limit", 2)] == ["ENUM_UNKNOWN", "EMPTY"]
    shown = listed(app, "--show-value", "--limit", 5)
    assert base64.b64decode(shown[-1]["value_base64"]) == LETTERS[0].value
    assert shown[1]["value_base64"] is None


def test_lists_by_code_id_and_time(app):
    assert [x["event_id"] for x in listed(app, "--code", "FIELD_MISSING")] == ["r-3", "e-2"]
    assert [x["event_id"] for x in listed(app, "--code", "FIELD_MISSING", "--limit", 1)] == ["r-3"]
    assert [x["code"] for x in listed(app, "--event-id", "e-2")] == ["FIELD_MISSING"]
    assert [x["code"] for x in listed(app, "--since", "2026-09-21T14:13:23Z")] == ["ENUM_UNKNOWN", "EMPTY"]
    assert listed(app, "--since", "2026-09-22") == []


def test_the_table_is_no_place_for_tricks(app, monkeypatch):
    monkeypatch.setattr(cli.console, "width", 300)
    output = run(app, "list").output
    assert "NOT_UTF8" in output
    assert "letters.transactions 0:7" in output
    assert "[red]e-5" in output
    assert "\x1b[2J" not in output
    assert "not json" not in output
    assert "not json" in run(app, "list", "--show-value").output


def test_replay_sends_the_same_bytes_and_key_with_where_they_lay(app, kafka, prefix):
    assert answered(app, "--all", "--dry-run") == {
        "letters": 4,
        "by_code": {"FIELD_MISSING": 2, "NOT_UTF8": 1, "ENUM_UNKNOWN": 1},
        "sent": 0,
        "failed": 0,
        "left_out": {"no bytes": 1},
    }
    assert on_topic(kafka, prefix + "transactions") == []
    assert answered(app, "--code", "FIELD_MISSING")["sent"] == 2
    assert answered(app, "--event-id", "[red]e-5")["sent"] == 1
    assert answered(app, "--partition", 0, "--from-offset", 0, "--to-offset", 0)["sent"] == 1
    assert answered(app, "--partition", 0, "--from-offset", 3)["sent"] == 0
    assert answered(app, "--event-id", "nobody")["letters"] == 0
    sent = {r.value(): (r.key(), r.headers()) for r in on_topic(kafka, prefix + "transactions")}
    assert sent == {
        LETTERS[0].value: (b"payer-1", [("replay", b"0:0")]),
        LETTERS[1].value: (b"payer-2", [("replay", b"1:0")]),
        LETTERS[4].value: (b"payer-5", [("replay", b"0:2")]),
    }
    reports = [(r.value(), r.key(), r.headers()) for r in on_topic(kafka, prefix + "fraud-reports")]
    assert reports == [(LETTERS[2].value, None, [("replay", b"0:1")])]
    assert "0 would be sent again" in run(app, "replay", "--code", "NOT_JSON", "--dry-run").output


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["list", "--code", "NO_SUCH"], "--code"),
        (["list", "--since", "yesterday"], "--since"),
        (["replay", "--from-offset", "1"], "--partition"),
        (["replay"], "--all"),
    ],
)
def test_bad_usage_is_named(app, arguments, named):
    error = run(app, *arguments).exception
    assert isinstance(error, BadInput)
    assert named in str(error)


def test_a_missing_topic_says_what_to_run(app, monkeypatch):
    monkeypatch.setenv("VIGIA_TOPIC_PREFIX", "nowhere.")
    assert "vigia topics" in str(run(app, "list").exception)
