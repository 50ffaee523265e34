"""Scores that mean what they say, and warnings when they do not."""

import numpy as np
import pytest

from models.intervals import effective, percentiles, wilson
from models.reliability import bins, fit_line, reliability, top
from models.scored import Scored


def scored(y: np.ndarray, score: np.ndarray, weight: np.ndarray | None = None) -> Scored:
    n = len(y)
    days = np.full(n, np.datetime64("2026-03-01"))
    return Scored(y, score, np.ones(n), np.arange(n), days, np.ones(n) if weight is None else weight)


def drawn(n: int, told: float = 1.0, seed: int = 0) -> Scored:
    """Frauds drawn by their true logits; the scores tell `told` times the logit's distance from its mean."""
    rng = np.random.default_rng(seed)
    logit = rng.normal(-3.5, 1.5, n)
    y = rng.random(n) < 1 / (1 + np.exp(-logit))
    return scored(y, 1 / (1 + np.exp(-(told * (logit + 3.5) - 3.5))))


def test_true_probabilities_have_slope_one_and_no_warning() -> None:
    found = reliability(drawn(60_000))
    assert found["slope"] == pytest.approx(1.0, abs=0.05)
    assert found["intercept"] == pytest.approx(0.0, abs=0.15)
    assert found["slope_interval"][0] < 1.0 < found["slope_interval"][1]
    assert found["log_loss"] < found["base_log_loss"]
    assert found["warnings"] == ()


@pytest.mark.parametrize(("told", "kind"), [(2.0, "too bold"), (0.5, "too timid")])
def test_scores_that_exaggerate_or_hedge_are_told_by_the_slope(told: float, kind: str) -> None:
    found = reliability(drawn(60_000, told))
    assert found["slope"] == pytest.approx(1 / told, rel=0.1)
    assert any(kind in warning for warning in found["warnings"])


def test_the_line_is_the_one_of_least_log_loss() -> None:
    found = drawn(4_000, 1.6)
    line = fit_line(found.y, found.score, found.weight)
    assert line is not None
    logit = np.log(found.score) - np.log1p(-found.score)

    def loss(intercept: float, slope: float) -> float:
        p = 1 / (1 + np.exp(-(intercept + slope * logit)))
        return float(-np.mean(np.where(found.y, np.log(p), np.log1p(-p))))

    best = loss(line.intercept, line.slope)
    for step in (-1e-3, 1e-3):
        assert loss(line.intercept + step, line.slope) > best
        assert loss(line.intercept, line.slope + step) > best


def test_a_shift_of_all_scores_is_found_in_the_large() -> None:
    found = drawn(60_000)
    logit = np.log(found.score) - np.log1p(-found.score)
    shifted = reliability(found.by(1 / (1 + np.exp(-(logit - 0.7)))))
    assert shifted["in_the_large"] == pytest.approx(0.7, abs=0.06)
    assert shifted["slope"] == pytest.approx(1.0, abs=0.05)
    assert reliability(found)["in_the_large"] == pytest.approx(0.0, abs=0.06)


def test_no_line_where_there_is_none() -> None:
    score = np.linspace(0.1, 0.9, 20)
    assert fit_line(score > 0.5, score, np.ones(20)) is None  # parted without error
    assert fit_line(np.zeros(20, dtype=bool), score, np.ones(20)) is None
    assert fit_line(score > 0.5, np.full(20, 0.3), np.ones(20)) is None
    assert reliability(scored(np.zeros(20, dtype=bool), score))["slope"] is None


def test_few_frauds_are_a_warning() -> None:
    few, many = (reliability(drawn(n))["warnings"] for n in (1_000, 60_000))
    assert any("below 200 it is a guess" in warning for warning in few)
    assert not any("guess" in warning for warning in many)


def test_the_top_share_is_expected_against_observed() -> None:
    score = np.linspace(0.001, 0.999, 1_000)
    y = np.zeros(1_000, dtype=bool)
    y[-4:] = True
    found = top(scored(y, score), 0.01)
    assert (found["n"], found["observed"]) == (10, 0.4)
    assert found["expected"] == pytest.approx(score[-10:].mean())
    assert found["low"] < 0.4 < found["high"] < found["expected"]
    assert top(scored(y, np.full(1_000, 0.5)), 0.01)["n"] == 1_000  # all are equal, so all are the top


def test_wilson_as_published() -> None:
    # Newcombe 1998, table I: 81 of 263 at 95 %: 0.2553 to 0.3662; here at the level of this project, 90 %.
    low, high = wilson(81 / 263, 263)
    assert (low, high) == (pytest.approx(0.2632, abs=2e-4), pytest.approx(0.3566, abs=2e-4))
    assert wilson(0.0, 0) == (0.0, 1.0)
    assert (wilson(0.0, 50)[0], wilson(1.0, 128)[1]) == (0.0, 1.0)
    assert wilson(81 / 263, 263, 0.95) == (pytest.approx(0.2553, abs=1e-4), pytest.approx(0.3662, abs=1e-4))
    assert effective(np.array([1.0, 1.0, 2.0])) == pytest.approx(16 / 6)


def test_percentiles_leave_out_what_is_undefined() -> None:
    assert percentiles(np.array([np.nan, np.nan])) is None
    assert percentiles(np.append(np.arange(101.0), np.nan)) == pytest.approx((5.0, 95.0))


def test_bins_are_of_equal_width_in_the_logarithm() -> None:
    found = drawn(20_000)
    parts = bins(found)
    assert sum(part["n"] for part in parts) == 20_000
    assert sum(part["frauds"] for part in parts) == found.y.sum()
    means = [part["expected"] for part in parts]
    assert means == sorted(means)
    assert sum(part["low"] <= part["expected"] <= part["high"] for part in parts) >= 0.7 * len(parts)
