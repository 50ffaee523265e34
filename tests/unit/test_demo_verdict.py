"""The demo's verdict on hand-made outputs: what counts as lost, conflicting, repeated."""

from dataclasses import replace

import orjson
import pytest

from stream.demo.history import Quality
from stream.demo.tally import Tally, percentiles_ms
from stream.demo.traffic import Plan, Planned
from stream.demo.verdict import Published, Verdict, judge

QUALITY = Quality(model="pix-fraud@1", frauds=500, average_precision=0.5, average_precision_simple=0.1)
PUBLISHED = Published(transactions=5, undelivered=0, repeats_counted=1, began=10.0)


def decision(event_id: str, outcome: str = "APPROVE", model: str = QUALITY.model) -> bytes:
    return orjson.dumps(
        {"event_id": event_id, "decision": outcome, "model": model, "reasons": [{"code": "NEW_PAYEE"}]}
    )


def plan() -> Plan:
    """Three payments at offsets 0 to 2, a repeat of the first at 3, a malformed one at 4."""
    paid = [Planned("transactions", b"k", b"", "payment", event) for event in ("a", "b", "c")]
    repeat = Planned("transactions", b"k", b"", "repeat", "a")
    return Plan([*paid, repeat, Planned("transactions", b"k", b"", "bad", code="NOT_JSON")])


def good_tally() -> Tally:
    now = iter(range(10, 1000))
    tally = Tally(clock=lambda: float(next(now)))
    for event in ("a", "b", "c"):
        tally.sending(event)
    for offset, event in enumerate(("a", "b", "c")):
        tally.decision(decision(event), ("transactions", 0, offset))
    tally.dead_letter(("transactions", 0, 4), "NOT_JSON")
    return tally


def verdict(tally: Tally, published: Published = PUBLISHED, quality: Quality = QUALITY) -> Verdict:
    return judge(plan(), published, tally, quality, least_gain=1.3)


def test_all_well() -> None:
    found = verdict(good_tally())
    assert found.failures == []
    assert found.as_json() == {
        "events": 5,
        "decisions": 3,
        "alerts": 0,
        "dead_letters": 1,
        "repeats": 1,
        "lost": 0,
        "conflicting": 0,
        "events_per_second": 1.0,
        "latency_ms": {"p50": 3000.0, "p95": 3000.0, "p99": 3000.0},
        "average_precision": 0.5,
        "average_precision_simple": 0.1,
        "model": QUALITY.model,
        "reasons": {},
    }


def test_an_event_without_a_decision_is_lost() -> None:
    tally = good_tally()
    del tally.decided["b"]
    found = verdict(tally)
    assert (found.lost, found.decisions) == (1, 2)
    assert any(line.startswith("lost = 1") for line in found.failures)


def test_the_same_decision_delivered_twice_is_neither_conflicting_nor_a_second_decision() -> None:
    tally = good_tally()
    tally.decision(decision("b"), ("transactions", 0, 1))
    tally.alert(decision("b"))
    tally.alert(decision("b"))
    tally.dead_letter(("transactions", 0, 4), "NOT_JSON")
    found = verdict(tally)
    assert (found.failures, found.decisions, found.alerts, found.dead_letters) == ([], 3, 1, 1)
    assert found.reasons == {"NEW_PAYEE": 1}
    assert len(tally.latencies) == 3
    assert tally.outcomes == {"APPROVE": 3}


def test_two_different_decisions_of_one_event_are_conflicting() -> None:
    tally = good_tally()
    tally.decision(decision("b", "DENY"), ("transactions", 0, 1))
    found = verdict(tally)
    assert found.conflicting == 1
    assert any(line.startswith("conflicting = 1") for line in found.failures)


def test_a_repeat_that_was_decided_again_breaks_the_equation() -> None:
    tally = good_tally()
    tally.decision(decision("a"), ("transactions", 0, 3))
    found = verdict(tally)
    assert (found.repeats, found.conflicting) == (0, 0)
    assert any(line.startswith("decisions = 3, but") for line in found.failures)


def test_a_dead_letter_with_another_code_is_said() -> None:
    tally = good_tally()
    tally.dead_letter(("transactions", 0, 4), "EMPTY")
    assert verdict(tally).failures == ["dead letters differ from what was sent: EMPTY +1, NOT_JSON -1"]


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        (replace(PUBLISHED, undelivered=2), "2 messages were not delivered"),
        (replace(PUBLISHED, repeats_counted=0), "0 counted by the worker"),
        (replace(PUBLISHED, transactions=6), "6 messages in the topic"),
    ],
)
def test_what_the_producer_and_the_worker_say_must_agree(changed: Published, says: str) -> None:
    assert any(says in line for line in verdict(good_tally(), changed).failures)


def test_a_model_no_better_than_the_simple_tree_fails() -> None:
    found = verdict(good_tally(), quality=replace(QUALITY, average_precision=0.12))
    assert found.failures == ["average_precision = 0.1200 is below 1.3 × average_precision_simple = 0.1300"]


def test_nothing_that_came_out_is_a_verdict_too() -> None:
    found = verdict(Tally())
    assert (found.decisions, found.lost, found.events_per_second) == (0, 3, 0.0)
    assert found.latency_ms == {"p50": None, "p95": None, "p99": None}


def test_percentiles_are_milliseconds() -> None:
    assert percentiles_ms([0.001 * i for i in range(101)]) == {"p50": 50.0, "p95": 95.0, "p99": 99.0}


def test_a_decision_of_another_model_fails() -> None:
    tally = good_tally()
    tally.decision(decision("d", model="pix-fraud@other"), ("transactions", 0, 9))
    assert any("pix-fraud@other" in failure for failure in verdict(tally).failures)
