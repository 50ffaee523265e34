"""Fast rules against loops that are plainly right."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from models.costs import (
    APPROVE,
    DENY,
    LOSSES,
    REVIEW,
    SCORES,
    Costs,
    Thresholds,
    choose_thresholds,
    outcome_costs,
    settled,
)
from models.dataset import Rows, to_numpy_time
from models.folds import expanding, fold_count
from models.labels import Verdict, payer_known
from models.metrics import expected_calibration_error, payer_precision
from models.trees_lightgbm import float32_threshold

DAY0 = datetime(2026, 3, 1, tzinfo=UTC)
NEVER = np.datetime64("9999-12-31", "us")
hours = st.integers(0, 24 * 6)


def at(hour: int) -> np.datetime64:
    return to_numpy_time(DAY0 + timedelta(hours=hour))


@st.composite
def known_cases(draw: st.DrawFn) -> tuple[Rows, dict[str, Verdict], set[str]]:
    times = draw(st.lists(hours, min_size=1, max_size=12))
    payers = [draw(st.sampled_from("ABC")) for _ in times]
    when = st.one_of(st.none(), st.integers(0, 24 * 8))
    verdicts = {}
    for i, payer in enumerate(draw(st.lists(st.sampled_from("ABC"), max_size=5))):
        confirmed, final = draw(when), draw(when)
        bounds = [NEVER if hour is None else at(hour) for hour in (confirmed, final)]
        verdicts[f"f{i}"] = Verdict(payer, bounds[0], bounds[1])
    occurred = set(draw(st.lists(st.sampled_from(sorted(verdicts)), unique=True))) if verdicts else set()
    n = len(times)
    rows = Rows(
        pa.array([f"e{i}" for i in range(n)]),
        pa.array(payers),
        np.array([at(hour) for hour in times]),
        np.ones(n),
        np.zeros((n, 1), dtype=np.float32),
    )
    return rows, verdicts, occurred


@given(known_cases())
def test_a_payer_is_known_by_the_reports_from_before_the_day(
    case: tuple[Rows, dict[str, Verdict], set[str]],
) -> None:
    rows, verdicts, occurred = case
    known = []
    for payer, time in zip(rows.payer_account.to_pylist(), rows.occurred_at, strict=True):
        midnight = time.astype("datetime64[D]").astype("datetime64[us]")
        known.append(
            any(
                verdicts[event].payer_account == payer
                and verdicts[event].confirmed_at < midnight
                and not verdicts[event].final_at < midnight
                for event in occurred
            )
        )
    assert payer_known(rows, verdicts, occurred).tolist() == known


costs = st.builds(
    Costs, st.floats(0, 1), st.floats(0, 50), st.floats(0, 1), st.floats(0, 500), st.floats(0, 6)
)
payments = st.lists(
    st.tuples(st.floats(0.0005, 0.9995), st.booleans(), st.integers(1, 9000)), min_size=1, max_size=12
)


@given(costs, payments, st.integers(1, 3))
@settings(max_examples=30, deadline=None)
def test_no_thresholds_of_the_grid_cost_less(
    costs: Costs, payments: list[tuple[float, bool, int]], days: int
) -> None:
    p, frauds, amounts = (np.array(column) for column in zip(*payments, strict=True))
    y, amount = frauds.astype(np.bool_), amounts.astype(np.float64)
    table = outcome_costs(costs, y, amount)

    def total(thresholds: Thresholds) -> float:
        kinds = thresholds.outcome(p, amount)
        if (kinds == REVIEW).sum() > costs.reviews_a_day * days:
            return float("inf")
        return float(table[np.arange(len(kinds)), kinds].sum())

    chosen = choose_thresholds(costs, p, y, amount, days)
    grid = [(i, j) for i in SCORES[::3] for j in LOSSES[::4]]  # a part of it: the loop is slow
    least = min(
        total(Thresholds(*r[:1], *d[:1], *r[1:], *d[1:]))
        for r in grid
        for d in grid
        if r[0] <= d[0] and r[1] <= d[1]
    )
    assert total(chosen) <= least + 1e-6
    assert {chosen.review, chosen.deny} <= set(SCORES)
    assert {chosen.review_loss, chosen.deny_loss} <= set(LOSSES)


def test_a_large_payment_is_stopped_at_a_lower_score() -> None:
    outcome = Thresholds(0.01, 0.5, review_loss=5.0, deny_loss=50.0).outcome
    scores = np.array([0.02, 0.02, 0.6, 0.6, 0.6, 0.005])
    amount = np.array([100.0, 1000.0, 5.0, 10.0, 100.0, 1e6])
    assert outcome(scores, amount).tolist() == [APPROVE, REVIEW, APPROVE, REVIEW, DENY, APPROVE]


@given(st.integers(0, 1000), st.floats(0.01, 0.99))
def test_settled_thresholds_are_clear_of_all_rows(seed: int, threshold: float) -> None:
    rng = np.random.default_rng(seed)
    scores, amount = rng.beta(1, 5, 300), rng.lognormal(4, 1, 300)
    loss = scores * amount
    found = settled(Thresholds(threshold / 2, threshold, 10 * threshold, 50 * threshold), scores, amount)
    for bound in (found.review, found.deny):
        assert 0 < bound < 1
        assert np.abs(scores - bound).min() > 1e-5 * bound * (1 - bound)
    assert np.abs((scores >= found.deny).sum() - (scores >= threshold).sum()) <= 8
    for bound, chosen in ((found.review_loss, 10 * threshold), (found.deny_loss, 50 * threshold)):
        assert np.abs(loss - bound).min() > 1e-5 * bound
        assert np.abs((loss >= bound).sum() - (loss >= chosen).sum()) <= 8


@given(st.floats(allow_nan=False, allow_infinity=False), st.floats(width=32))
def test_a_float32_threshold_takes_lightgbms_branch(threshold: float, x: float) -> None:
    def lightgbm_goes_left(value: float) -> bool:
        return (0.0 if abs(value) <= float(np.float32(1e-35)) else value) <= threshold

    exported = np.float32(float32_threshold(threshold))
    with np.errstate(over="ignore", under="ignore"):
        above = np.nextafter(exported, np.float32(np.inf))
    for value in (np.float32(x), exported, above):
        assert bool(value <= exported) == lightgbm_goes_left(float(value))


@given(st.floats(-3e-35, 3e-35), st.floats(-(2.0**-114), 2.0**-114, width=32))
def test_so_it_does_about_zero(threshold: float, x: float) -> None:
    read = 0.0 if abs(x) <= float(np.float32(1e-35)) else x
    assert bool(np.float32(x) <= np.float32(float32_threshold(threshold))) == (read <= threshold)


@given(st.integers(2, 70))
def test_folds_expand_and_predict_each_later_day_once(n_days: int) -> None:
    days = np.repeat(np.datetime64("2026-03-01") + np.arange(n_days), 2)
    folds = list(expanding(days))
    assert len(folds) == fold_count(n_days) >= 1
    predicted = np.zeros(len(days), dtype=int)
    for train, predict in folds:
        assert train.any()
        assert days[train].max() < days[predict].min()
        predicted += predict
    first = folds[0][1].argmax()
    assert predicted.tolist() == [0] * first + [1] * (len(days) - first)


def test_one_day_has_no_fold() -> None:
    assert list(expanding(np.repeat(np.datetime64("2026-03-01"), 5))) == []
    assert fold_count(1) == 0


@given(st.integers(0, 1000))
def test_payer_precision_equals_a_loop(seed: int) -> None:
    rng = np.random.default_rng(seed)
    payer, day = rng.integers(0, 6, 40).astype(str), rng.integers(0, 3, 40)
    scores, y = rng.permutation(40) / 40, rng.random(40) < 0.3
    shares = []
    for date in np.unique(day):
        best = {p: max(s for s, q, d in zip(scores, payer, day, strict=True) if q == p and d == date)
                for p in set(payer[day == date])}  # fmt: skip
        top = sorted(best, key=lambda p: -best[p])[:2]
        shares.append(sum(bool(y[(payer == p) & (day == date)].any()) for p in top) / 2)
    assert np.isclose(payer_precision(y, scores, payer, day, top=2), np.mean(shares))


def test_calibration_error_is_zero_for_perfect_bins() -> None:
    scores = np.repeat([0.25, 0.75], 4)
    y = np.array([1, 0, 0, 0, 1, 1, 1, 0], dtype=np.bool_)
    assert expected_calibration_error(y, scores, bins=2) == 0.0
