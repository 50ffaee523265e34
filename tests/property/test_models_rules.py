"""Fast rules against loops that are plainly right."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from models.costs import APPROVE, DENY, REVIEW, Costs, choose_thresholds, outcome_costs, settle
from models.dataset import Rows, to_numpy_time
from models.folds import expanding, fold_count
from models.labels import Verdict, payer_known
from models.metrics import expected_calibration_error, payer_precision
from models.trees import float32_threshold

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


costs = st.builds(Costs, st.floats(0, 1), st.floats(0, 50), st.floats(0, 1), st.floats(0, 500))
payments = st.lists(st.tuples(st.integers(1, 9), st.booleans(), st.integers(1, 500)), min_size=1, max_size=12)


@given(costs, payments)
def test_no_pair_of_thresholds_costs_less(costs: Costs, payments: list[tuple[int, bool, int]]) -> None:
    tenths, frauds, amounts = (np.array(column) for column in zip(*payments, strict=True))
    scores, y, amount = tenths / 10, frauds.astype(np.bool_), amounts.astype(np.float64)
    table = outcome_costs(costs, y, amount)

    def total(review: float, deny: float) -> float:
        kinds = [DENY if s >= deny else REVIEW if s >= review else APPROVE for s in scores]
        return float(sum(table[row, kind] for row, kind in enumerate(kinds)))

    places = [0.0, *(np.arange(1, 10) / 10 + 0.05), 1.0]
    least = min(total(review, deny) for review in places for deny in places if review <= deny)
    chosen = choose_thresholds(costs, scores, y, amount)
    assert abs(total(chosen.review, chosen.deny) - least) < 1e-6
    assert chosen.outcome(scores).tolist() == [
        DENY if s >= chosen.deny else REVIEW if s >= chosen.review else APPROVE for s in scores
    ]


@given(st.integers(0, 1000), st.floats(0.01, 0.99))
def test_a_settled_threshold_is_clear_of_all_scores(seed: int, threshold: float) -> None:
    scores = np.random.default_rng(seed).beta(1, 5, 300)
    settled = settle(threshold, scores)
    assert 0 < settled < 1
    assert np.abs(scores - settled).min() > 1e-5 * settled * (1 - settled)
    assert np.abs((scores >= settled).sum() - (scores >= threshold).sum()) <= 8


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
    shares: list[float] = []
    found: list[str] = []
    for date in np.unique(day):
        best = {p: max(s for s, q, d in zip(scores, payer, day, strict=True) if q == p and d == date)
                for p in set(payer[day == date]) - set(found)}  # fmt: skip
        top = sorted(best, key=lambda p: -best[p])[:2]
        found += (hits := [p for p in top if y[(payer == p) & (day == date)].any()])
        shares.append(len(hits) / 2)
    assert np.isclose(payer_precision(y, scores, payer, day, top=2), np.mean(shares))


def test_calibration_error_is_zero_for_perfect_bins() -> None:
    scores = np.repeat([0.25, 0.75], 4)
    y = np.array([1, 0, 0, 0, 1, 1, 1, 0], dtype=np.bool_)
    assert expected_calibration_error(y, scores, bins=2) == 0.0
