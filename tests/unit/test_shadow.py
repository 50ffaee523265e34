"""The challenger's scores: joined to the decisions, in order, whatever comes first, and nothing stops it."""

import base64
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from jsonschema import Draft202012Validator

from features.catalog import FEATURES_VERSION, NAMES
from models.scorer import Scorer
from stream import metrics, schemas
from stream.judge import Judge
from stream.policy import Policy
from stream.shadow import Read, Shadow

HEADERS = {"group": b"vigia", "source_topic": b"transactions", "source_topic_id": b"t"}


@pytest.fixture(scope="module")
def judge(model_folder: Path) -> Judge:
    scorer = Scorer.load(model_folder)
    return Judge(scorer, Policy(scorer.thresholds))


def vector(i: int) -> np.ndarray:
    return np.random.default_rng(i).lognormal(3, 1, len(NAMES)).astype("<f4")


def logged(i: int, partition: int = 0, **changes: Any) -> Read:
    """A record of the feature log: of source offset i, at offset 2 i."""
    message = {
        "event_id": f"e-{i}",
        "occurred_at": "2026-11-21T15:30:00.123Z",
        "payer_account": "a",
        "payee_account": "b",
        "amount": "150.05",
        "features_version": FEATURES_VERSION,
        "sequence": [[0, i]],
        "vector": base64.b64encode(vector(i).tobytes()).decode(),
    } | changes
    headers = HEADERS | {"source_partition": b"%d" % partition, "source_offset": b"%d" % i}
    return Read("feature-log", partition, 2 * i, b"key-%d" % i, orjson.dumps(message), headers)


def decided(i: int, partition: int = 0, group: bytes = b"vigia") -> Read:
    """A decision of source offset i, at offset 3 i."""
    value = orjson.dumps({"event_id": f"e-{i}", "model": "champion@1", "score": i / 100, "decision": "DENY"})
    headers = {"group": group, "source_partition": b"%d" % partition, "source_offset": b"%d" % i}
    return Read("decisions", partition, 3 * i, b"key-%d" % i, value, headers)


def values(told: list[Any]) -> list[dict[str, Any]]:
    return [orjson.loads(each.value) for each in told]


def counted(outcome: str) -> float:
    return float(metrics.SHADOW.labels(outcome)._value.get())


def test_a_score_has_its_champion_whichever_comes_first(judge: Judge) -> None:
    shadow = Shadow("vigia")
    shadow.take([logged(1), logged(2)], now=0)
    assert shadow.score(judge, now=0) == []
    assert shadow.done() == {}, "nothing is committed that is not told"
    shadow.take([decided(1)], now=1)
    (first,) = shadow.score(judge, now=1)
    assert (first.partition, first.key) == (0, b"key-1")
    assert dict(first.headers)["source_offset"] == b"1"
    assert shadow.done() == {("feature-log", 0): 3, ("decisions", 0): 4}
    shadow.take([decided(3), decided(2), logged(3)], now=2)
    second, third = values(shadow.score(judge, now=2))
    assert (second["event_id"], third["event_id"]) == ("e-2", "e-3")
    assert second["champion"] == {"model": "champion@1", "score": 0.02, "decision": "DENY"}
    assert shadow.done() == {("feature-log", 0): 7, ("decisions", 0): 10}


def test_what_it_would_decide_is_what_a_worker_with_that_model_decides(judge: Judge) -> None:
    from features.transaction import Transaction

    shadow = Shadow("vigia")
    shadow.take([decided(i) for i in range(50)] + [logged(i) for i in range(50)], now=0)
    told = values(shadow.score(judge, now=0))
    payments = [Transaction(f"e-{i}", 1_795_275_000_123, 15005, "a", "b") for i in range(50)]
    wanted = judge.judge(payments, np.stack([vector(i) for i in range(50)]), [False] * 50)
    for one, judgement in zip(told, wanted, strict=True):
        assert judgement is not None
        assert {k: v for k, v in one.items() if k != "champion"} == orjson.loads(judgement.decision)
        Draft202012Validator(schemas.schema("shadow-score")).validate(one)


def test_one_whose_decision_never_comes_waits_for_a_later_one_or_half_a_minute(judge: Judge) -> None:
    shadow = Shadow("vigia")
    shadow.take([logged(1), logged(2), decided(2)], now=0)
    first, second = values(shadow.score(judge, now=0))
    assert (first["champion"], second["champion"]["score"]) == (None, 0.02)
    shadow.take([logged(3)], now=1)
    assert shadow.score(judge, now=30) == []
    (third,) = values(shadow.score(judge, now=31))
    assert third["champion"] is None


def test_what_is_read_again_is_told_the_same_again(judge: Judge) -> None:
    shadow = Shadow("vigia")
    batch = [decided(i) for i in range(20)] + [logged(i) for i in range(20)]
    shadow.take(batch, now=0)
    first = shadow.score(judge, now=0)
    shadow.take([logged(i) for i in range(20)], now=1)  # a worker was killed, and logged them again
    assert shadow.score(judge, now=1) == first
    fresh = Shadow("vigia")
    fresh.take(batch, now=5)
    assert fresh.score(judge, now=5) == first


def test_bad_records_and_those_of_others_stop_nothing(judge: Judge) -> None:
    shadow = Shadow("vigia")
    report = logged(2)._replace(headers=HEADERS | {"source_topic": b"fraud-reports", "source_offset": b"2"})
    bad = [
        logged(3)._replace(value=b"{"),
        logged(4, vector="AAAA"),
        logged(5, vector="no base64!"),
        logged(6, occurred_at="yesterday"),
        logged(7, amount="much"),
        logged(8)._replace(headers={}),
        logged(9)._replace(headers=HEADERS | {"group": b"another", "source_offset": b"9"}),
        logged(10, features_version="other"),
    ]
    unreadable, other = counted("unreadable"), counted("other_features")
    shadow.take([logged(1), report, *bad, logged(11), decided(1), decided(11, group=b"another")], now=0)
    told = values(shadow.score(judge, now=60))
    assert [each["event_id"] for each in told] == ["e-1", "e-11"]
    assert told[1]["champion"] is None, "of another group"
    assert counted("unreadable") == unreadable + 5
    assert counted("other_features") == other + 1
    assert shadow.done()["feature-log", 0] == 23, "they are behind it"


def test_without_a_challenger_payments_pass_by(judge: Judge) -> None:
    shadow = Shadow("vigia")
    shadow.take([decided(1), logged(1)], now=0)
    before = counted("no_challenger")
    assert shadow.score(None, now=0) == []
    assert counted("no_challenger") == before + 1
    assert shadow.done() == {("feature-log", 0): 3, ("decisions", 0): 4}
    shadow.take([decided(2), logged(2)], now=1)
    assert [each["event_id"] for each in values(shadow.score(judge, now=1))] == ["e-2"]


def test_partitions_are_apart_and_forgotten_when_they_go(judge: Judge) -> None:
    shadow = Shadow("vigia")
    shadow.begin([0, 1])
    shadow.take([logged(1, 0), logged(1, 1), decided(1, 1)], now=0)
    (told,) = shadow.score(judge, now=0)
    assert told.partition == 1
    assert shadow.backlog(0) == {"feature-log": 1, "decisions": 0}
    shadow.begin([1])
    assert shadow.backlog(0) == {"feature-log": 0, "decisions": 0}
    assert shadow.done() == {}


def test_memory_is_bounded_by_what_waits(judge: Judge) -> None:
    shadow = Shadow("vigia")
    for i in range(0, 20_000, 1000):
        shadow.take([decided(j) for j in range(i, i + 1000)], now=0)
        shadow.take([logged(j) for j in range(i, i + 1000)], now=0)
        assert len(shadow.score(judge, now=0)) == 1000
    assert shadow.backlog(0)["feature-log"] == 0
    assert shadow.backlog(0)["decisions"] <= 4_001


def test_decisions_that_run_ahead_are_kept_until_their_payment_comes(judge: Judge) -> None:
    """On a backlog a fetch holds more of the shorter records."""
    shadow, told = Shadow("vigia"), []
    for step in range(12):
        shadow.take([decided(j) for j in range(1000 * step, 1000 * step + 1000)], now=0)
        shadow.take([logged(j) for j in range(400 * step, 400 * step + 400)], now=0)
        told += values(shadow.score(judge, now=0))
    assert len(told) == 4_800
    assert all(each["champion"] for each in told)
