"""`vigia features archive` on a real Kafka: nothing lost, nothing twice, whenever it is killed."""

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from features.catalog import FEATURES_VERSION, NAMES
from features.errors import BadInput
from features.transaction import FraudReport, Transaction
from models.archive_files import archived_files
from models.dataset import Rows, Span, read_rows
from models.labels import read_verdicts
from stream.archive.folder import Folder, open_folder
from stream.archive.run import Summary, archive
from stream.fields import rfc3339
from stream.kafka_log import KafkaLog
from stream.messages import encode_applied_report, encode_feature_log
from stream.settings import Settings
from stream.topics import create_topics

pytestmark = pytest.mark.kafka

START, DAY = 1_740_787_200_000, 86_400_000
"""2025-03-01T00:00Z, and a day in ms."""
FIRST, LAST = date(2025, 3, 1), date(2025, 3, 3)


class Topics:
    """What a worker of group `vigia` would send, and what was sent."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._producer = Producer(settings.kafka_client_config())
        self._vectors = np.random.default_rng(1)
        self.sent: dict[str, np.ndarray] = {}
        self._errors: list[object] = []

    def payment(self, i: int, *, version: str = FEATURES_VERSION, group: str = "vigia", **more: Any) -> None:
        """Payment i; every tenth is two days older than its neighbours, every fifth NaN here and there."""
        at = START + (i % 2) * DAY if i % 10 else START + 2 * DAY
        event = Transaction(f"e{i}", at + i, 100 + i, f"a{i % 7}", f"b{i % 5}")
        vector = self._vectors.normal(size=len(NAMES)).astype(np.float32)
        vector[3] = np.nan if i % 5 == 0 else i
        value = (
            encode_feature_log(event, version, ((0, i),), vector, "APPROVE", 1.0)
            if "value" not in more
            else more["value"]
        )
        self.send("feature-log", value, i, group, more.get("reapplied", False))
        decision = {
            "event_id": event.event_id, "decision": "APPROVE", "score": 0.25, "reasons": [], "model": "m",
            "policy": "p", "features_version": version, "occurred_at": rfc3339(at + i),
            "amount": "1.00", "payer_account": "a", "payee_account": "b",
        }  # fmt: skip
        self.send("decisions", orjson.dumps(decision), i, group)
        if version == FEATURES_VERSION and group == "vigia" and not more:
            self.sent[event.event_id] = vector

    def report(self, i: int, at: int = START + DAY) -> None:
        report = FraudReport(f"r{i}", f"e{i}", "a", "b", at, "CONFIRMED", "SCAM")
        message = {k: v for k, v in report._asdict().items() if v is not None} | {"reported_at": rfc3339(at)}
        self.send("fraud-reports", orjson.dumps(message), i)
        self.send("feature-log", encode_applied_report(report, FEATURES_VERSION, ((0, i),)), i)

    def send(self, topic: str, value: bytes, i: int, group: str = "vigia", reapplied: bool = False) -> None:
        headers = [("group", group.encode()), ("source_partition", b"0"), ("source_offset", b"%d" % i)]
        headers += [("reapplied", b"1")] if reapplied else []
        name = self.settings.topic(topic)
        self._producer.produce(name, value, partition=i % 2, headers=headers, on_delivery=self._told)
        self._producer.poll(0)

    def _told(self, error: object, _: object) -> None:
        self._errors += [error] if error else []

    def flush(self) -> None:
        assert (self._producer.flush(30), self._errors) == (0, [])


@pytest.fixture
def topics(kafka: str, request: pytest.FixtureRequest) -> Topics:
    name = "".join(c if c.isalnum() else "-" for c in request.node.name)
    settings = Settings(kafka_bootstrap=kafka, topic_prefix=f"{name}.")
    create_topics(settings, 2, 1)
    return Topics(settings)


def run(topics: Topics, out: Path, rows: int = 100) -> Summary:
    log = KafkaLog(topics.settings)
    try:
        with open_folder(out, topics.settings.topic_prefix, "vigia") as folder:
            return archive(log, folder, "vigia", rows=rows)
    finally:
        log.close()


def rows_of(out: Path) -> Rows:
    return read_rows(out, Span(FIRST, LAST), NAMES, FEATURES_VERSION)


def assert_holds(out: Path, topics: Topics) -> None:
    """Every vector that was sent, once, bit for bit, in its day."""
    rows = rows_of(out)
    events = rows.event_id.to_pylist()
    assert sorted(events) == sorted(topics.sent)
    assert np.all(np.diff(rows.occurred_at) >= np.timedelta64(0))
    sent = np.stack([topics.sent[event] for event in events])
    assert np.array_equal(rows.vectors.view("<u4"), sent.view("<u4"))
    assert [pc for file in out.glob("features/*/*") for pc in wrong_days(file)] == []
    read = pa.concat_tables(
        [
            pq.read_table(f, columns=["log_partition", "log_offset"])
            for f in archived_files(out, "features") or []
        ]
    )
    assert len(set(zip(*read.to_pydict().values(), strict=True))) == read.num_rows


def wrong_days(file: Path) -> list[str]:
    days = pq.read_table(file, columns=["occurred_at"]).column(0).to_numpy().astype("datetime64[D]")
    return [str(day) for day in np.unique(days) if str(day) != file.parent.name]


def test_only_the_new_is_added_and_late_events_land_in_their_day(topics: Topics, tmp_path: Path) -> None:
    for i in range(350):
        topics.payment(i)
    topics.report(3)
    topics.flush()
    summary = run(topics, tmp_path / "a")
    assert summary.archived == {"features": 350, "decisions": 350, "reports": 1}
    assert summary.skipped == {"reports as applied": 1}
    assert_holds(tmp_path / "a", topics)
    before = {file: file.read_bytes() for file in (tmp_path / "a").glob("*/*/*")}
    assert run(topics, tmp_path / "a").parts == 0
    for i in range(350, 370):
        topics.payment(i)
    topics.report(4, START)
    topics.flush()
    assert run(topics, tmp_path / "a").archived == {"features": 20, "decisions": 20, "reports": 1}
    assert_holds(tmp_path / "a", topics)
    assert {file: file.read_bytes() for file in before} == before
    assert (
        set(read_verdicts(tmp_path / "a")) == set(read_verdicts(tmp_path / "a" / "reports")) == {"e3", "e4"}
    )
    assert sorted(f.parent.name for f in (tmp_path / "a/reports").glob("*/*")) == ["2025-03-01", "2025-03-02"]


def test_what_is_told_again_counts_once_and_others_do_not(
    topics: Topics, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for i in range(40):
        topics.payment(i)
    topics.payment(7, reapplied=True)  # made anew after a loss: not what was judged
    topics.payment(8, group="a shadow")
    topics.payment(90, version="of old")
    topics.payment(91, value=b"not ours")
    topics.flush()
    summary = run(topics, tmp_path / "a")
    assert summary.archived["features"] == 42
    assert summary.skipped == {"of other groups": 2, "unreadable": 1}
    assert_holds(tmp_path / "a", topics)
    assert re.search(r"1 of \d files have features of old", caplog.text)
    old = [f for f in (tmp_path / "a/features").glob("*/*") if "vector" in pq.read_schema(f).names]
    assert [pq.read_table(f).column("event_id").to_pylist() for f in old] == [["e90"]]
    with pytest.raises(BadInput, match="was built with features"):
        read_rows(tmp_path / "a", Span(FIRST, LAST), NAMES, "of tomorrow")


def test_a_run_that_ended_before_its_commit_is_as_if_it_had_not_been(
    topics: Topics, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for i in range(300):
        topics.payment(i)
    topics.flush()
    out, commits, commit = tmp_path / "a", [0], Folder._commit

    def dying(folder: Folder, kind: str, stretch: Any) -> None:
        commits[0] += 1
        if commits[0] == 9:  # six notes of where it begins, two commits, and the parts of the third
            raise KeyboardInterrupt
        commit(folder, kind, stretch)

    monkeypatch.setattr(Folder, "_commit", dying)
    with pytest.raises(KeyboardInterrupt):
        run(topics, out, rows=40)
    monkeypatch.undo()
    (out / "features/2025-03-01/_half.parquet.part").write_bytes(b"PAR1")
    beyond = set((out / "features").glob("*/*.parquet")) - set(archived_files(out, "features") or [])
    assert beyond
    assert len(rows_of(out)) == 80  # what counts can be read meanwhile
    run(topics, out, rows=40)
    assert_holds(out, topics)
    assert not list(out.glob("**/*.part"))


def test_kill_9_again_and_again(topics: Topics, tmp_path: Path) -> None:
    for i in range(6_000):
        topics.payment(i)
        if i % 10 == 0:
            topics.report(i)
    topics.flush()
    out, chance, kills = tmp_path / "a", random.Random(5), 0
    command = [
        sys.executable,
        "-m",
        "stream.cli",
        "features",
        "archive",
        "--out",
        str(out),
        "--json",
        "--rows-per-part",
        "60",
    ]
    settings = topics.settings
    env = os.environ | {
        "VIGIA_KAFKA_BOOTSTRAP": settings.kafka_bootstrap,
        "VIGIA_TOPIC_PREFIX": settings.topic_prefix,
    }
    while True:
        child = subprocess.Popen(
            command, env=env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        before = parts(out)
        while child.poll() is None and kills < 2 and parts(out) < before + 20:
            time.sleep(0.005)
        if kills == 2 or child.poll() is not None:
            break
        time.sleep(chance.random() * 0.05)
        child.send_signal(signal.SIGKILL)
        child.communicate()
        kills += 1
    told, _ = child.communicate(timeout=100)
    assert (kills, child.returncode) == (2, 0)
    assert json.loads(told)["archived"]["reports"] > 0
    assert_holds(out, topics)
    for kind, n in {"decisions": 6_000, "reports": 600}.items():
        files = archived_files(out, kind) or []
        offsets = pa.concat_tables([pq.read_table(f, columns=["log_partition", "log_offset"]) for f in files])
        assert len(set(zip(*offsets.to_pydict().values(), strict=True))) == offsets.num_rows == n
    assert set(archived_files(out, "features") or []) == set(out.glob("features/*/*"))


def parts(out: Path) -> int:
    return len(list(out.glob("*/*/*.parquet")))


def test_what_the_broker_deleted_before_is_told(topics: Topics, tmp_path: Path) -> None:
    for i in range(10):
        topics.payment(i)
    topics.flush()
    run(topics, tmp_path / "a")
    for i in range(10, 30):
        topics.payment(i)
    topics.flush()
    place = TopicPartition(topics.settings.topic("feature-log"), 0, 9)
    admin = AdminClient(topics.settings.kafka_client_config())
    admin.delete_records([place])[place].result(30)
    summary = run(topics, tmp_path / "a")
    assert summary.lost == {"feature-log": 4}
    assert summary.archived["features"] == 16


def test_a_folder_is_of_one_group_and_prefix(tmp_path: Path) -> None:
    with open_folder(tmp_path / "a", "pix.", "vigia"):
        pass
    with (
        pytest.raises(BadInput, match="set VIGIA_TOPIC_PREFIX and VIGIA_GROUP_ID"),
        open_folder(tmp_path / "a", "pix.", "b"),
    ):
        pass
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "mine.txt").touch()
    with pytest.raises(BadInput, match="is no archive"), open_folder(tmp_path / "b", "pix.", "vigia"):
        pass


def test_of_two_tellings_the_one_that_was_delivered_counts(topics: Topics, tmp_path: Path) -> None:
    """A worker died between the feature log and the decision: the event was decided again, otherwise."""
    vectors = [np.full(len(NAMES), value, dtype=np.float32) for value in (1.0, 2.0, 3.0)]
    event = Transaction("e0", START, 100, "a", "b")
    for vector, outcome, source in zip(vectors, ("DENY", "APPROVE", "REVIEW"), (0, 0, 2), strict=True):
        value = encode_feature_log(
            event, FEATURES_VERSION, ((0, 0),), vector, outcome, float(outcome == "APPROVE")
        )
        topics.send("feature-log", value, source)
    topics.flush()
    run(topics, tmp_path / "a")
    rows = rows_of(tmp_path / "a")
    assert rows.decision is not None
    assert rows.decision.to_pylist() == ["APPROVE"]
    assert np.array_equal(rows.vectors[0], vectors[1])


def test_what_no_column_can_hold_is_skipped_and_told(topics: Topics, tmp_path: Path) -> None:
    topics.payment(0)
    event, vector = Transaction("e1", START, 100, "a", "b"), np.zeros(len(NAMES), np.float32)
    good = orjson.loads(encode_feature_log(event, FEATURES_VERSION, ((0, 1),), vector, "APPROVE", 1.0))
    bad = [{"occurred_at": "../../x"}, {"amount": "much"}, {"vector": ""}, {"vector": "AAA="}]
    for i, change in enumerate(bad, 1):
        topics.send("feature-log", orjson.dumps({**good, "event_id": f"b{i}", **change}), i)
    topics.flush()
    summary = run(topics, tmp_path / "a")
    assert (summary.archived["features"], summary.skipped["unreadable"]) == (1, len(bad))
    assert_holds(tmp_path / "a", topics)
