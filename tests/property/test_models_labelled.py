"""Who has a label, what a row stands for, and how long labels take, against loops that are plainly right."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.errors import BadInput
from models.dataset import Rows, to_numpy_time
from models.labelled import require_unique, with_labels
from models.labels import Verdict, judged, label, weight
from models.maturity import delay_curve

DAY0 = datetime(2026, 3, 1, tzinfo=UTC)
NEVER = np.datetime64("9999-12-31", "us")
when = st.one_of(st.none(), st.integers(0, 20))
outcomes = st.sampled_from(
    [("APPROVE", 1.0), ("APPROVE", 0.25), ("REVIEW", 0.25), ("REVIEW", 0.0), ("DENY", 0.0), (None, None)]
)


def at(day: int) -> np.datetime64:
    return to_numpy_time(DAY0 + timedelta(days=day))


def rows(decided: list[tuple[str | None, float | None]]) -> Rows:
    ids = pa.array([f"e{i}" for i in range(len(decided))])
    n = len(decided)
    return Rows(
        ids, ids, np.full(n, at(0)), np.ones(n), np.zeros((n, 1), dtype=np.float32),
        pa.array([outcome for outcome, _ in decided], pa.string()),
        np.array([np.nan if p is None else p for _, p in decided]),
    )  # fmt: skip


@given(st.lists(st.tuples(outcomes, when, when), min_size=1, max_size=12), st.integers(1, 20))
def test_what_was_denied_and_judged_by_nobody_has_no_label(
    cases: list[tuple[tuple[str | None, float | None], int | None, int | None]], day: int
) -> None:
    known = rows([decided for decided, _, _ in cases])
    verdicts = {
        f"e{i}": Verdict("p", NEVER if c is None else at(c), NEVER if f is None else at(f))
        for i, (_, c, f) in enumerate(cases)
    }
    as_of = DAY0 + timedelta(days=day)
    expected = []
    for (outcome, _), confirmed, final in cases:
        looked = any(moment is not None and moment < day for moment in (confirmed, final))
        expected.append(outcome in ("APPROVE", "REVIEW") or looked)  # without one, its scoring failed
    assert judged(known, verdicts, as_of).tolist() == expected
    data = with_labels(known, verdicts, as_of)
    assert data.unlabelled == expected.count(False)
    assert data.rows.event_id.to_pylist() == [f"e{i}" for i, has in enumerate(expected) if has]
    assert data.y.tolist() == label(known, verdicts, as_of)[np.array(expected)].tolist()
    assert len(data.weight) == len(data.rows) == len(data)


@given(st.lists(outcomes, min_size=1, max_size=12))
def test_weights_by_the_rule(decided: list[tuple[str | None, float | None]]) -> None:
    expected = [
        1.0 if p in (None, 0.0, 1.0) else 4.0 if outcome == "APPROVE" else 0.0 for outcome, p in decided
    ]
    assert weight(rows(decided)).tolist() == expected


def test_the_control_group_stands_for_the_band_without_bias() -> None:
    """Review finds nothing here, so what it held looks honest; the weighted share is the true one."""
    rng = np.random.default_rng(2)
    fraud, passes = rng.random(200_000) < 0.3, rng.random(200_000) < 0.1
    band = rows([("APPROVE" if drawn else "REVIEW", 0.1) for drawn in passes])
    verdicts = {f"e{i}": Verdict("p", at(1), NEVER) for i in np.flatnonzero(fraud & passes)}
    data = with_labels(band, verdicts)
    assert data.y.mean() == pytest.approx(0.03, abs=0.002)
    assert np.average(data.y, weights=data.weight) == pytest.approx(0.3, abs=0.02)
    assert data.weight.sum() == pytest.approx(200_000, rel=0.02)


def test_a_file_of_history_has_no_decisions_and_all_its_labels() -> None:
    whole = rows([("DENY", 0.0)])
    plain = Rows(whole.event_id, whole.payer_account, whole.occurred_at, whole.amount, whole.vectors)
    assert judged(plain, {}).tolist() == [True]
    assert weight(plain).tolist() == [1.0]


def test_an_event_twice_is_named() -> None:
    one = rows([(None, None)] * 3)
    require_unique(one)
    twice = Rows(pa.array(["e1", "e2", "e1"]), one.payer_account, one.occurred_at, one.amount, one.vectors)
    with pytest.raises(BadInput, match="event e1 is there more than once"):
        require_unique(twice)


@given(st.lists(st.tuples(st.integers(0, 12), st.integers(0, 15)), min_size=1, max_size=25))
def test_the_curve_is_the_product_over_longer_delays(pairs: list[tuple[int, int]]) -> None:
    seen = [(delay, age) for delay, age in pairs if delay < age]
    curve = delay_curve(*(np.array([pair[i] for pair in seen], dtype=np.float64) for i in (0, 1)))
    for day in range(16):
        share = 1.0
        for u in {delay for delay, _ in seen if delay > day}:
            share *= 1 - sum(d == u for d, _ in seen) / sum(d <= u < age for d, age in seen)
        if not seen:
            assert np.isnan(curve.known(np.array([day]))).all()
        elif day < min(delay for delay, _ in seen):
            assert curve.known(np.array([float(day)])) == 0.0
        else:
            assert curve.known(np.array([float(day)])) == pytest.approx(share)


def test_reports_that_are_still_to_come_are_allowed_for() -> None:
    """Delays of mean 10 days, seen after 30 days of steady payments: plain counting is 10 points off."""
    rng = np.random.default_rng(4)
    age, delay = rng.uniform(0, 30, 40_000), rng.exponential(10, 40_000)
    seen = delay < age
    curve = delay_curve(delay[seen], age[seen])
    ages = np.array([2.0, 7.0, 14.0, 21.0])
    true = (1 - np.exp(-ages / 10)) / (1 - np.exp(-3.0))
    naive = np.array([(delay[seen] <= a).mean() for a in ages])
    assert np.abs(curve.known(ages) - true).max() < 0.03
    assert np.abs(naive - true).max() > 0.1
    assert curve.horizon == pytest.approx(30, abs=0.1)
