"""Costs from a file, and the policy that serves the thresholds chosen from them."""

from pathlib import Path

import numpy as np
import pytest

from features.errors import BadInput
from models.costs import APPROVE, Costs, Thresholds, choose_thresholds, read_costs
from stream.policy import OUTCOMES, Policy

THRESHOLDS = Thresholds(0.02, 0.5, 5.0, 20.0)


def test_the_packages_file_is_the_default() -> None:
    assert read_costs() == Costs()


def test_a_file_replaces_what_it_names(tmp_path: Path) -> None:
    mine = tmp_path / "costs.toml"
    mine.write_text("wrong_denial = 75\nreviews_a_day = 12\n")
    assert read_costs(mine) == Costs(wrong_denial=75, reviews_a_day=12)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("wrong_denail = 1", "'wrong_denail'; known: fraud_loss_share, review"),
        ("review_catch_share = 1.5", "review_catch_share = 1.5 must be a number from 0 to 1"),
        ("review = 'dear'", "review = 'dear' must be a number"),
        ("review = true", "review = True must be a number"),
        ("review = nan", "review = nan must be a number"),
        ("review", "cannot be read as TOML"),
    ],
)
def test_a_wrong_file_is_named(tmp_path: Path, text: str, message: str) -> None:
    wrong = tmp_path / "costs.toml"
    wrong.write_text(text)
    with pytest.raises(BadInput, match="--costs: ") as refused:
        read_costs(wrong)
    assert message in str(refused.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="--costs: "):
        read_costs(tmp_path / "none.toml")


def test_the_served_policy_is_the_rule_that_was_measured() -> None:
    rng = np.random.default_rng(5)
    scores, centavos = rng.beta(1, 3, 2000), rng.integers(1, 500_000, 2000)
    policy = Policy(THRESHOLDS)
    served = [policy.outcome(p, c) for p, c in zip(scores.tolist(), centavos.tolist(), strict=True)]
    measured = THRESHOLDS.outcome(scores, np.array([float(f"{c / 100:.2f}") for c in centavos]))
    assert served == [OUTCOMES[outcome] for outcome in measured]
    assert set(served) == set(OUTCOMES)


def test_the_policys_version_tells_of_every_bound() -> None:
    versions = {
        Policy(THRESHOLDS).version,
        Policy(Thresholds(0.02, 0.5, 5.0, 21.0)).version,
        Policy(Thresholds(0.02, 0.5, 4.0, 20.0)).version,
        Policy(Thresholds(0.02, 0.6, 5.0, 20.0)).version,
        Policy(Thresholds(0.03, 0.5, 5.0, 20.0)).version,
    }
    assert len(versions) == 5


def test_capacity_bounds_the_reviews() -> None:
    rng = np.random.default_rng(7)
    scores, amount = rng.beta(1, 8, 5000), rng.lognormal(5, 1, 5000)
    y = rng.random(5000) < scores
    for a_day in (0, 10, 100):
        costs = Costs(reviews_a_day=a_day)
        outcomes = choose_thresholds(costs, scores, y, amount, days=10).outcome(scores, amount)
        assert (outcomes == 1).sum() <= 10 * a_day
    assert (outcomes == 1).sum() > 500  # the capacity is used when reviews pay


def test_nothing_is_stopped_where_no_stop_pays() -> None:
    scores, amount = np.array([0.2, 0.5, 0.9]), np.array([10.0, 10.0, 10.0])
    chosen = choose_thresholds(Costs(), scores, np.zeros(3, dtype=np.bool_), amount, days=1)
    assert chosen.outcome(scores, amount).tolist() == [APPROVE] * 3
    assert chosen.review == chosen.deny == 1.0
