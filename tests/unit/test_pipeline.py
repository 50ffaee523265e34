"""The batch function: the same batch comes to the same bytes, and no fault comes to an APPROVE."""

import asyncio
import base64
import re
from collections.abc import Sequence
from copy import deepcopy
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from numpy.typing import NDArray

from features.catalog import FEATURES_VERSION, NAMES, REASON_GROUPS
from features.memory_state import MemoryState
from features.state import LogId, LogState
from models.costs import Thresholds
from models.scorer import Scorer
from stream import metrics
from stream.batch import Assignment, Decided, Outcomes
from stream.dead_letter import CODES
from stream.fence import Fence
from stream.fields import rfc3339
from stream.healing import Healer
from stream.health import Health
from stream.judge import Judge
from stream.messages import decode_transaction
from stream.pipeline import Pipeline
from stream.policy import APPROVE, OUTCOMES, Control, Policy
from stream.reasons import REASONS, REPLAYED
from stream.record import Record

from .fakes import FakeLog

NOW = 1_795_275_000_000
LOGS = {
    ("transactions", 0): LogId("g", "transactions", "t", 0),
    ("transactions", 1): LogId("g", "transactions", "t", 1),
    ("fraud-reports", 0): LogId("g", "fraud-reports", "r", 0),
}


@pytest.fixture(scope="module")
def scorer(model_folder: Path) -> Scorer:
    """The small model, with thresholds among the scores of TRAFFIC, so that each outcome occurs."""
    scorer = Scorer.load(model_folder)
    decided = run(pipeline(scorer), TRAFFIC).decided
    scores = sorted(orjson.loads(d.decision)["score"] for d in decided)
    scorer.thresholds = Thresholds(scores[len(scores) // 3], scores[2 * len(scores) // 3])
    return scorer


def payment(i: int, *, partition: int = 0, offset: int | None = None, **changes: Any) -> Record:
    message = {
        "event_id": f"e-{i}",
        "occurred_at": rfc3339(NOW + i * 1000),
        "amount": f"{10 * 3 ** (i % 8)}.{i % 100:02d}",
        "payer": {"account": f"a-{i % 5}"},
        "payee": {"account": f"b-{i % 5}", "ispb": "60701190"},
        "device": {"id": f"d-{i % 3}"},
    } | changes
    offset = i if offset is None else offset
    key = b"a-%d" % (i % 5)
    return Record("transactions", partition, offset, NOW + i * 1000, key, orjson.dumps(message))


def report(i: int, offset: int) -> Record:
    message = {
        "report_id": f"r-{i}",
        "transaction_event_id": f"e-{i}",
        "payer_account": f"a-{i % 5}",
        "payee_account": f"b-{i % 5}",
        "payee_ispb": "60701190",
        "reported_at": rfc3339(NOW + i * 1000 + 500),
        "status": "CONFIRMED",
        "type": "SCAM",
    }
    return Record("fraud-reports", 0, offset, NOW + i * 1000 + 500, None, orjson.dumps(message))


def pipeline(scorer: Any, state: MemoryState | None = None) -> Pipeline:
    """One that was just assigned its partitions, of which nothing is committed."""
    made = Pipeline(state or MemoryState(), Judge(scorer, Policy(scorer.thresholds)))
    made.assignments = {place: Assignment(log, 0, 0) for place, log in LOGS.items()}
    return made


def run(pipeline: Pipeline, *batches: Sequence[Record]) -> Outcomes:
    """What all the batches send together."""
    together = Outcomes()
    for batch in batches:
        outcomes = asyncio.run(pipeline.process(batch))
        together.decided.extend(outcomes.decided)
        together.dead_letters.extend(outcomes.dead_letters)
        together.logged.extend(outcomes.logged)
    return together


def decisions(outcomes: Outcomes) -> list[Decided]:
    """Without the feature log: its numbers say when something was applied; a healed state took it anew."""
    return [decided._replace(feature_log=b"") for decided in outcomes.decided]


def cut(records: Sequence[Record], *sizes: int) -> list[Sequence[Record]]:
    ends = np.cumsum([0, *sizes, len(records)])
    return [records[low:high] for low, high in pairwise(ends)]


TRAFFIC = [
    record for i in range(40) for record in ([report(i - 5, i // 5)] if i % 5 == 4 else []) + [payment(i)]
]


def test_the_traffic_of_these_tests_sees_every_outcome(scorer: Scorer) -> None:
    assert {decided.outcome for decided in run(pipeline(scorer), TRAFFIC).decided} == set(OUTCOMES)


def test_the_same_batch_again_is_the_same_bytes(scorer: Scorer) -> None:
    one = pipeline(scorer)
    first = run(one, TRAFFIC)
    assert len(first.decided) == 40
    assert run(one, TRAFFIC) == first


@pytest.mark.parametrize("sizes", [(1,) * 47, (7, 1, 20), (46,)])
def test_other_batches_are_the_same_bytes(scorer: Scorer, sizes: tuple[int, ...]) -> None:
    first = run(pipeline(scorer), TRAFFIC)
    assert run(pipeline(scorer), *cut(TRAFFIC, *sizes)).decided == first.decided
    # and after a crash: half was applied, in yet other batches, and another worker begins again
    state = MemoryState()
    run(pipeline(scorer, state), *cut(TRAFFIC[:25], 11))
    assert run(pipeline(scorer, state), *cut(TRAFFIC, *sizes)).decided == first.decided


def test_a_copy_of_the_state_decides_alike(scorer: Scorer) -> None:
    state = MemoryState()
    run(pipeline(scorer, state), TRAFFIC[:20])
    copy = deepcopy(state)
    assert run(pipeline(scorer, copy), TRAFFIC) == run(pipeline(scorer, state), TRAFFIC)


def test_the_control_group_passes_is_logged_and_comes_again_alike(scorer: Scorer) -> None:
    policy = Policy(scorer.thresholds, Control(0.5))
    state = MemoryState()

    def controlled() -> Pipeline:
        made = Pipeline(state, Judge(scorer, policy))
        made.assignments = {place: Assignment(log, 0, 0) for place, log in LOGS.items()}
        return made

    bands = [d.outcome for d in run(pipeline(scorer), TRAFFIC).decided]
    first = run(controlled(), TRAFFIC)
    logs = [orjson.loads(d.feature_log) for d in first.decided]
    told = [(band, log["decision"], log["propensity"]) for band, log in zip(bands, logs, strict=True)]
    assert set(told) == {
        ("APPROVE", "APPROVE", 1.0),
        ("REVIEW", "APPROVE", 0.5),
        ("REVIEW", "REVIEW", 0.5),
        ("DENY", "DENY", 0.0),
    }
    for decided, (band, outcome, _) in zip(first.decided, told, strict=True):
        message = orjson.loads(decided.decision)
        assert message["decision"] == outcome == decided.outcome
        assert message["policy"].endswith(":passed") == (band != outcome)
        assert bool(message["reasons"]) == bool(decided.alert) == (outcome != APPROVE)
    assert run(controlled(), TRAFFIC).decided == first.decided
    taken_over = controlled()
    delivered = taken_over.assignments["transactions", 0].decided
    delivered |= {d.record.offset: d.decision for d in first.decided}
    again = run(taken_over, TRAFFIC).decided
    assert [d.feature_log for d in again] == [d.feature_log for d in first.decided]


def test_a_decision_is_what_the_contract_says(scorer: Scorer) -> None:
    made = pipeline(scorer)
    for decided in run(made, TRAFFIC).decided:
        event = decode_transaction(decided.record.value, decided.record.timestamp)
        message = orjson.loads(decided.decision)
        assert list(message) == [
            *("event_id", "decision", "score", "reasons", "model", "policy", "features_version"),
            *("occurred_at", "amount", "payer_account", "payee_account"),
        ]
        assert message["event_id"] == event.event_id
        policy = Policy(scorer.thresholds)
        assert message["decision"] == decided.outcome == policy.outcome(message["score"], event.amount)
        assert (message["model"], message["policy"]) == (scorer.model_id, policy.version)
        assert message["features_version"] == FEATURES_VERSION
        assert message["occurred_at"] == rfc3339(event.occurred_at)
        assert int(message["amount"].replace(".", "")) == event.amount
        digits = re.sub(r"e.*|\.", "", repr(message["score"])).lstrip("0")
        assert 1 <= len(digits) <= 9
        assert decided.fresh


def test_reasons_only_when_not_approved_and_at_most_four(scorer: Scorer) -> None:
    seen = set()
    for decided in run(pipeline(scorer), TRAFFIC).decided:
        reasons = orjson.loads(decided.decision)["reasons"]
        if decided.outcome == APPROVE:
            assert reasons == []
            assert decided.alert is None
            continue
        assert 1 <= len(reasons) <= 4
        assert all(reason["text"] == REASONS[reason["code"]].analyst for reason in reasons)
        assert len({reason["code"] for reason in reasons}) == len(reasons)
        seen |= {reason["code"] for reason in reasons}
        alert = orjson.loads(decided.alert or b"")
        evidence = alert.pop("evidence")
        assert alert == orjson.loads(decided.decision)
        assert list(evidence) == [NAMES[i] for r in reasons for i in REASON_GROUPS[r["code"]]]
        vector = np.frombuffer(base64.b64decode(orjson.loads(decided.feature_log)["vector"]), "<f4")
        told = [np.float32(np.nan if value is None else value) for value in evidence.values()]
        assert np.array_equal(told, [vector[NAMES.index(name)] for name in evidence], equal_nan=True)
    assert "AMOUNT_UNUSUAL" in seen


def test_the_feature_log_is_the_vector_that_was_scored(scorer: Scorer) -> None:
    for decided in run(pipeline(scorer), TRAFFIC).decided:
        message = orjson.loads(decided.feature_log)
        vector = np.frombuffer(base64.b64decode(message["vector"]), "<f4")
        assert vector.shape == (len(NAMES),)
        score = float(f"{scorer.score(vector[None])[0]:.9g}")
        assert orjson.loads(decided.decision)["score"] == score


def test_the_feature_log_carries_the_numbers_of_all_that_was_applied(scorer: Scorer) -> None:
    made = pipeline(scorer)
    outcomes = run(made, TRAFFIC)
    sent = [(d.record, d.feature_log) for d in outcomes.decided] + list(outcomes.logged)
    numbers = {(r.topic, r.offset): orjson.loads(value)["sequence"] for r, value in sent}
    assert numbers == {(r.topic, r.offset): [[0, i + 1]] for i, r in enumerate(TRAFFIC)}
    reports = [orjson.loads(logged.feature_log) for logged in outcomes.logged]
    assert reports[0] == {
        "report_id": "r--1",
        "transaction_event_id": "e--1",
        "payer_account": "a-4",
        "payee_account": "b-4",
        "reported_at": rfc3339(NOW - 500),
        "status": "CONFIRMED",
        "features_version": FEATURES_VERSION,
        "sequence": [[0, 5]],
    }
    # What is delivered again is logged again, with the same bytes; what is committed and repeated is not.
    assert run(made, TRAFFIC).logged == outcomes.logged
    for assignment in made.assignments.values():
        assignment.committed = assignment.position
    again = run(made, [*TRAFFIC, payment(0, offset=40)])
    assert (again.decided, again.logged) == ([], [])


def test_a_payment_that_scoring_fails_on_is_logged_for_it_was_applied(scorer: Scorer) -> None:
    batch = [payment(i) for i in range(4)]
    amount = decode_transaction(batch[2].value, NOW + 10_000).amount / 100
    outcomes = run(pipeline(Failing(scorer, amount, True)), batch)
    (logged,) = outcomes.logged
    assert logged.record == batch[2]
    assert orjson.loads(logged.feature_log)["sequence"] == [[0, 3]]


def test_what_came_too_late_to_count_is_decided_and_counted(scorer: Scorer) -> None:
    made, day = pipeline(scorer), 86_400_000
    before = {entity: late_events(entity) for entity in ("payer", "payee", "pair", "device", "payee_key")}
    run(made, [payment(0)])
    late = payment(5, offset=1, occurred_at=rfc3339(NOW - 80 * day), device={"id": "d-9"})
    assert len(run(made, [late]).decided) == 1
    run(made, [late])  # delivered again: counted once
    run(made, [payment(10, offset=2, occurred_at=rfc3339(NOW - 70 * day))])
    added = {entity: late_events(entity) - n for entity, n in before.items()}
    assert added == {"payer": 1, "payee": 1, "pair": 1, "device": 0, "payee_key": 0}


def late_events(entity: str) -> float:
    return metrics.LATE.labels(entity)._value.get()


def test_a_batch_is_decided_by_the_judge_that_it_was_read_with(scorer: Scorer) -> None:
    """Another may take over between any two steps: its batches begin with the next read."""
    state = MemoryState()
    swapped = pipeline(scorer, state)
    batches = [swapped.decode([payment(i) for i in range(first, first + 5)]) for first in (0, 5, 10)]
    old, new = swapped.judge, Judge(Failing(scorer, -1.0, False), swapped.judge._policy)
    new._scorer.model_id, new.versions = "pix-fraud@new", "pix-fraud@new costs features"
    answered = [asyncio.run(swapped.read(batch)) for batch in batches[:2]]
    swapped.judge = new
    answered.append(asyncio.run(swapped.read(batches[2])))
    swapped.judge = old
    told = [[orjson.loads(d.decision)["model"] for d in swapped.decide(each).decided] for each in answered]
    assert told == [[scorer.model_id] * 5, [scorer.model_id] * 5, ["pix-fraud@new"] * 5]
    again = pipeline(scorer, state)
    stored = asyncio.run(again.read(again.decode([payment(i) for i in range(15)]))).answer
    assert list(stored.versions.values()) == [old.versions] * 10 + [new.versions] * 5, (
        "what the state was told"
    )


def test_versions_may_change_between_delivery_and_commit(scorer: Scorer) -> None:
    """Redelivered under another model: what was delivered stands, and what was not is decided anew."""
    state, batch = MemoryState(), [payment(i) for i in range(10)]
    first = run(pipeline(scorer, state), batch).decided
    other = pipeline(Failing(scorer, -1.0, False), state)
    other.judge.versions = "another model"
    honest = other.judge._scorer.score
    other.judge._scorer.score = lambda vectors: honest(vectors) * 0.5  # type: ignore[method-assign]
    delivered(other, first[:6])
    again = run(other, batch).decided
    assert [d.decision for d in again[:6]] == [d.decision for d in first[:6]]
    assert [d.fresh for d in again] == [False] * 6 + [True] * 4
    logs = [[orjson.loads(d.feature_log) for d in each] for each in (again, first)]
    assert logs[0][:6] == logs[1][:6]
    ruled = ("decision", "propensity")
    bare = [[{k: v for k, v in log.items() if k not in ruled} for log in each] for each in logs]
    assert bare[0] == bare[1], "the windows are the stored ones"
    assert [log["decision"] for log in logs[0]] == [d.outcome for d in again]
    for mine, theirs in zip(again[6:], first[6:], strict=True):
        assert orjson.loads(mine.decision)["score"] < orjson.loads(theirs.decision)["score"]


BAD = {2: b"{", 5: None, 6: orjson.dumps({"event_id": "e-6"}), 9: b"\xff"}


def test_dead_letters_and_decisions_come_of_one_batch(scorer: Scorer) -> None:
    good = [payment(i) for i in range(12)]
    mixed = [record._replace(value=BAD.get(record.offset, record.value)) for record in good]
    outcomes = run(pipeline(scorer), mixed)
    assert [d.record.offset for d in outcomes.decided] == [i for i in range(12) if i not in BAD]
    found = {x.offset: (x.code, x.value, x.key, x.topic, x.partition) for x in outcomes.dead_letters}
    codes = {2: "NOT_JSON", 5: "EMPTY", 6: "FIELD_MISSING", 9: "NOT_UTF8"}
    assert found == {i: (code, BAD[i], b"a-%d" % (i % 5), "transactions", 0) for i, code in codes.items()}
    assert {x.offset: x.event_id for x in outcomes.dead_letters}[6] == "e-6"
    # What is bad changes nothing for the rest.
    alone = run(pipeline(scorer), [record for record in mixed if record.offset not in BAD])
    assert [d.decision for d in alone.decided] == [d.decision for d in outcomes.decided]


def test_a_batch_of_dead_letters_alone_moves_on(scorer: Scorer) -> None:
    made = pipeline(scorer)
    assert len(run(made, [payment(0)._replace(value=b"{")]).dead_letters) == 1
    assert made.assignments["transactions", 0].position == 1
    assert asyncio.run(made.state.log_states([LOGS["transactions", 0]])) == [LogState(0, 1)]


def test_bad_reports_are_dead_letters_too(scorer: Scorer) -> None:
    outcomes = run(pipeline(scorer), [report(0, 0)._replace(value=b"[]"), payment(1)])
    assert [(x.topic, x.code) for x in outcomes.dead_letters] == [("fraud-reports", "NOT_AN_OBJECT")]
    assert len(outcomes.decided) == 1


def test_a_repeat_gets_no_second_decision(scorer: Scorer) -> None:
    made = pipeline(scorer)
    first = run(made, [payment(i) for i in range(6)])
    again = [payment(3, offset=6), payment(6, offset=7), payment(3, offset=8)]
    second = run(made, again)
    assert [d.record.offset for d in second.decided] == [7]
    assert second.dead_letters == []
    without = pipeline(scorer)
    run(without, [payment(i) for i in range(6)])
    assert run(without, [payment(6)]).decided[0].decision == second.decided[0].decision
    assert len(first.decided) == 6


def test_repeats_and_redeliveries_are_counted(scorer: Scorer) -> None:
    made, batch = pipeline(scorer), [payment(i) for i in range(6)]
    run(made, batch)
    before = counted()
    run(made, [*batch, payment(6), payment(3, offset=7), payment(4, offset=8)])
    made.assignments["transactions", 0].committed = 2
    run(made, [payment(9)])
    run(made, batch[:3])
    assert [now - then for now, then in zip(counted(), before, strict=True)] == [2, 7, 2]


def counted() -> list[float]:
    """Repeats, redelivered and stored, redelivered and stale."""
    redelivered = (metrics.REDELIVERED.labels(status) for status in ("STORED", "STALE"))
    return [counter._value.get() for counter in (metrics.REPEATS, *redelivered)]


def test_another_payment_under_the_same_id_is_a_dead_letter(scorer: Scorer) -> None:
    made = pipeline(scorer)
    run(made, [payment(0)])
    other = payment(0, offset=1, amount="10.01")
    reformatted = payment(0, offset=2)
    spaced = reformatted._replace(value=(reformatted.value or b"").replace(b",", b" , "))
    outcomes = run(made, [other, spaced])
    assert outcomes.decided == []
    assert [(x.code, x.event_id, x.value) for x in outcomes.dead_letters] == [
        ("EVENT_ID_REUSED", "e-0", other.value)
    ]
    assert "EVENT_ID_REUSED" in CODES
    assert run(made, [other, spaced]) == outcomes


class Failing:
    """A real scorer with a fault: it throws for, or gives NaN to, rows with this amount."""

    def __init__(self, scorer: Scorer, amount: float, throws: bool) -> None:
        self._scorer, self._amount, self._throws = scorer, np.float32(amount), throws

    def __getattr__(self, name: str) -> Any:
        return getattr(self._scorer, name)

    def score(self, vectors: NDArray[np.float32]) -> NDArray[np.float64]:
        bad = vectors[:, NAMES.index("transaction_amount")] == self._amount
        if self._throws and bad.any():
            raise RuntimeError("the model stumbles")
        return np.where(bad, np.nan, self._scorer.score(vectors))


@pytest.mark.parametrize("throws", [True, False])
@pytest.mark.parametrize("bad", [0, 3, 7])
def test_a_fault_is_the_dead_letter_of_its_own_event_and_never_an_approval(
    scorer: Scorer, bad: int, throws: bool
) -> None:
    batch = [payment(i) for i in range(8)]
    amount = decode_transaction(batch[bad].value, NOW + 10_000).amount / 100
    outcomes = run(pipeline(Failing(scorer, amount, throws)), batch)
    assert [(x.code, x.event_id) for x in outcomes.dead_letters] == [("SCORING_ERROR", f"e-{bad}")]
    sound = [d for d in run(pipeline(scorer), batch).decided if d.record.offset != bad]
    assert outcomes.decided == sound


def test_a_fault_of_every_row_decides_nothing(scorer: Scorer) -> None:
    broken = Failing(scorer, 0.0, True)
    broken.score = lambda _: 1 / 0  # type: ignore[method-assign,assignment,return-value]
    outcomes = run(pipeline(broken), TRAFFIC)
    assert outcomes.decided == []
    assert [x.code for x in outcomes.dead_letters] == ["SCORING_ERROR"] * 40


def delivered(made: Pipeline, decided: Sequence[Decided]) -> None:
    """As a worker reads it back from the log of decisions when it takes over."""
    made.assignments["transactions", 0].decided = {d.record.offset: d.decision for d in decided}


def test_what_was_delivered_is_not_decided_again(scorer: Scorer) -> None:
    batch = [payment(i) for i in range(10)]
    first = run(pipeline(scorer), batch).decided
    made = pipeline(scorer)  # on an empty state: Redis lost everything
    delivered(made, first[:6])
    for applied in (True, False):  # the same batch may come again before anything is committed
        outcomes = run(made, batch)
        assert [d.reapplied for d in outcomes.decided] == [applied] * 6 + [False] * 4
        assert [d.fresh for d in outcomes.decided] == [False] * 6 + [True] * 4
        for again, before in zip(outcomes.decided, first, strict=True):
            assert again._replace(fresh=True, reapplied=False) == before
    made.assignments["transactions", 0].committed = 6
    run(made, [payment(10)])
    assert made.assignments["transactions", 0].decided == {}


def test_what_was_delivered_stands_whatever_decides_now(scorer: Scorer) -> None:
    denied = next(d for d in run(pipeline(scorer), TRAFFIC).decided if d.outcome != APPROVE)
    batch = [denied.record]
    earlier = orjson.dumps({**orjson.loads(denied.decision), "model": "another"})
    for fault in (scorer, Failing(scorer, 0.0, True)):
        made = pipeline(fault)
        if fault is not scorer:
            fault.score = lambda vectors: np.full(len(vectors), np.nan)  # type: ignore[method-assign]
        made.assignments["transactions", 0].decided = {denied.record.offset: earlier}
        outcomes = run(made, batch)
        assert outcomes.dead_letters == []
        (again,) = outcomes.decided
        assert (again.decision, again.fresh, again.outcome) == (earlier, False, denied.outcome)
        assert orjson.loads(again.alert or b"")["model"] == "another"
        assert orjson.loads(again.feature_log)["event_id"] == orjson.loads(earlier)["event_id"]


def test_a_replayed_dead_letter_is_decided_and_applied_to_nothing_twice(scorer: Scorer) -> None:
    made = pipeline(Failing(scorer, 90.02, True))
    run(made, [payment(i) for i in range(5)])
    counted = deepcopy(made.state)
    replay = payment(2, offset=5)._replace(replay=True)
    mended = pipeline(scorer, made.state)
    for place, assignment in made.assignments.items():
        mended.assignments[place] = assignment
    (again,) = run(mended, [replay]).decided
    # Its windows hold the payment itself and make it look usual, so a person looks at it.
    assert again.outcome != APPROVE
    assert orjson.loads(again.decision)["reasons"][0]["code"] == REPLAYED
    assert again.alert is not None
    assert orjson.loads(again.decision)["event_id"] == "e-2"
    assert mended.state.entities == counted.entities
    # One that the state never saw is applied as any other, once.
    new = payment(9, offset=6)._replace(replay=True)
    assert len(run(mended, [new, payment(9, offset=7)]).decided) == 1


def test_healing_applies_and_sends_nothing(scorer: Scorer) -> None:
    lost, batch = pipeline(scorer), [*TRAFFIC[:20], payment(90, offset=17)._replace(value=b"{")]
    kafka = FakeLog(batch)
    logs = {place: LOGS[place] for place in kafka.ends}
    health = Health()
    healer = Healer(lost, kafka, health, Fence({}, health, lambda: None), "rebuild")  # type: ignore[arg-type]
    asyncio.run(healer.make_whole(logs, {}))
    states = asyncio.run(lost.state.log_states(list(logs.values())))
    assert states == [LogState(end, end) for end in kafka.ends.values()]
    whole = pipeline(scorer)
    run(whole, batch)
    for place, end in kafka.ends.items():
        lost.assignments[place].position = lost.assignments[place].asked = end
    next_one = [payment(40, offset=18)]
    assert decisions(run(lost, next_one)) == decisions(run(whole, next_one))


def test_a_key_too_large_for_the_outputs_is_a_dead_letter(scorer: Scorer) -> None:
    outcomes = run(pipeline(scorer), [payment(1, offset=0)._replace(key=b"k" * 70_000), payment(2, offset=1)])
    assert [letter.code for letter in outcomes.dead_letters] == ["MESSAGE_TOO_LARGE"]
    assert len(outcomes.decided) == 1


def test_a_decision_of_a_topic_that_was_made_anew_does_not_bind(scorer: Scorer) -> None:
    made = pipeline(scorer)
    made.assignments["transactions", 0].decided = {
        0: orjson.dumps({"event_id": "old", "decision": "APPROVE"})
    }
    (decided,) = run(made, [payment(1, offset=0)]).decided
    assert decided.fresh
    assert orjson.loads(decided.decision)["event_id"] == "e-1"
