"""The fast figures under weights of customers against scikit-learn, and against copied customers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score

from models.bootstrap import Judged, Ranking, differences, draws, own_intervals, resample
from models.costs import Costs, Thresholds
from models.metrics import HEADLINES, payer_precision, recall_at_alert_rate
from models.payer_days import payer_days, precision_at_top
from models.scored import Scored

COSTS = Costs()


def sample(seed: int, n: int = 60, payers: int = 9, ties: int = 12) -> Scored:
    """Payments of few payers on 3 days, with scores that often tie and are better than chance."""
    rng = np.random.default_rng(seed)
    y = rng.random(n) < 0.3
    y[:2] = True, False
    score = np.round((rng.random(n) + 0.6 * y) / 1.7 * ties) / (ties + 2) + 0.01
    day = np.datetime64("2026-03-01") + rng.integers(0, 3, n)
    payer = np.concatenate([np.arange(payers), rng.integers(0, payers, n - payers)])
    return Scored(y, score, rng.lognormal(5, 1, n), payer, day, rng.choice([1.0, 1.0, 4.0], n))


def counts(seed: int, payers: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 4, (3, payers)).astype(np.float64)


@given(st.integers(0, 10_000))
def test_ranking_under_weights_equals_scikit_learn(seed: int) -> None:
    found = sample(seed)
    copies = counts(seed, found.n_payers)
    fast = Ranking(found).figures(copies, 0.1)
    for at, copy in enumerate(copies):
        weight = found.weight * copy[found.payer]
        if not (weight[found.y].sum() > 0 and weight[~found.y].sum() > 0):
            continue
        for name, slow in (("average_precision", average_precision_score), ("roc_auc", roc_auc_score)):
            assert fast[name][at] == pytest.approx(slow(found.y, found.score, sample_weight=weight))
        recall = recall_at_alert_rate(found.y, found.score, 0.1, weight)
        assert fast["recall_at_alert_rate"][at] == pytest.approx(recall)


@given(st.integers(0, 10_000), st.integers(1, 5))
def test_card_precision_under_counts_is_that_of_customers_copied(seed: int, top: int) -> None:
    found = sample(seed, ties=10_000)
    copies = counts(seed, found.n_payers)
    days = payer_days(found.y, found.score, found.payer, found.day, np.ones(len(found)))
    fast = precision_at_top(days, copies, top)
    for at, copy in enumerate(copies):
        times = copy[found.payer].astype(int)
        rows = np.repeat(np.arange(len(found)), times)
        twin = np.concatenate([np.arange(n) for n in times]) if len(rows) else np.array([], dtype=int)
        names = found.payer[rows] * 10 + twin  # each copy is a customer of its own
        slow = payer_precision(found.y[rows], found.score[rows], names, found.day[rows], top)
        days_lost = len(days) - len(np.unique(found.day[rows]))  # a day without a copy counts as 0
        assert fast[at] == pytest.approx((slow or 0.0) * (len(days) - days_lost) / len(days))


@given(st.integers(0, 10_000), st.floats(0.001, 0.999))
def test_recall_at_a_rate_does_not_depend_on_the_order_of_equal_scores(seed: int, rate: float) -> None:
    found = sample(seed, ties=4)
    order = np.random.default_rng(seed).permutation(len(found))
    recall = recall_at_alert_rate(found.y, found.score, rate)
    assert recall == pytest.approx(recall_at_alert_rate(found.y[order], found.score[order], rate))
    assert 0.0 <= recall <= 1.0  # type: ignore[operator]


def test_a_model_against_itself_differs_by_nothing() -> None:
    model = Judged(sample(1, 400, 60), Thresholds(0.4, 0.7), COSTS)
    drawn = resample({"model": model, "champion": model}, 50)
    for gap in differences(model.headlines(), model.headlines(), drawn).values():
        assert (gap["difference"], gap["low"], gap["high"], gap["share_above"]) == (0.0, 0.0, 0.0, 0.0)


def test_a_better_model_lies_above_and_a_worse_one_below() -> None:
    found = sample(2, 3_000, 400, ties=10_000)
    rng = np.random.default_rng(0)
    noisy = found.by(np.clip(found.score + rng.normal(0, 0.4, len(found)), 0.001, 0.999))
    good, bad = (Judged(x, Thresholds(0.4, 0.7), COSTS) for x in (found, noisy))
    there = differences(good.headlines(), bad.headlines(), resample({"model": good, "champion": bad}, 200))
    back = differences(bad.headlines(), good.headlines(), resample({"model": bad, "champion": good}, 200))
    assert set(there) == set(HEADLINES)
    assert there["average_precision"]["low"] > 0
    assert there["average_precision"]["share_above"] == 1.0
    for name in HEADLINES:
        assert back[name]["difference"] == -there[name]["difference"]
        assert back[name]["low"] == pytest.approx(-there[name]["high"])


def test_the_interval_covers_the_truth_about_nine_times_in_ten() -> None:
    """40 samples of a population whose ROC AUC is known by its making: cover about 36, more than chance."""
    covered = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        n, payers = 900, 300
        y = rng.random(n) < 0.2
        score = 1 / (1 + np.exp(-rng.normal(0, 1, n) - y))  # AUC = Phi(1 / sqrt 2) = 0.7602
        day = np.full(n, np.datetime64("2026-03-01"))
        found = Scored(y, score, np.ones(n), np.arange(n) % payers, day, np.ones(n))
        drawn = resample({"model": Judged(found, Thresholds(0.4, 0.7), COSTS)}, 200, seed)
        bounds = own_intervals(drawn["model"])["roc_auc"]
        assert bounds is not None
        covered += bounds["low"] <= 0.7602 <= bounds["high"]
    assert 31 <= covered <= 40


def test_weights_of_four_are_rows_written_four_times() -> None:
    found = sample(3)
    rows = np.repeat(np.arange(len(found)), found.weight.astype(int))
    copied = Scored(
        found.y[rows], found.score[rows], found.amount[rows], found.payer[rows], found.day[rows],
        np.ones(len(rows)),
    )  # fmt: skip
    ours, theirs = (Judged(x, Thresholds(0.4, 0.7), COSTS).headlines() for x in (found, copied))
    for name in ("average_precision", "roc_auc", "recall_at_alert_rate", "money_saved"):
        assert ours[name] == pytest.approx(theirs[name])


def test_draws_are_seeded_and_keep_the_number_of_customers() -> None:
    first, second = (np.vstack(list(draws(7, 25, seed=4, at_once=10))) for _ in range(2))
    assert np.array_equal(first, second)
    assert first.shape == (25, 7)
    assert (first.sum(axis=1) == 7).all()
