"""The parts of a report: words, drift, importance and the points of its plots."""

import numpy as np
import pytest

from models import curves
from models.costs import Thresholds
from models.drift import psi
from models.importance import importance
from models.report_words import reais, signed, signed_reais, verdict
from models.scored import Scored


def scored(y: np.ndarray, score: np.ndarray) -> Scored:
    n = len(y)
    return Scored(y, score, np.ones(n), np.arange(n), np.full(n, np.datetime64("2026-03-01")), np.ones(n))


def content(gap: tuple[float, float, float] | None) -> dict[str, object]:
    threshold = {"recall": 0.7, "precision": 0.5, "fraud_amount_caught": 700.0, "fraud_amount": 1_000.0}
    found: dict[str, object] = {
        "average_precision": 0.7, "frauds": 10, "review": threshold, "fraud_loss": 900.0,
        "money_saved": 500.0, "customers_disturbed": 5.0, "payers": 100,
    }  # fmt: skip
    if gap is None:
        return found
    difference, low, high = gap
    of = {"champion": 0.65, "difference": difference, "low": low, "high": high, "share_above": 0.9}
    money = {"champion": 1_000.0, "difference": -50.4, "low": -120.0, "high": 30.0, "share_above": 0.2}
    return {**found, "champion": "old@1", "against_champion": {"average_precision": of, "money_saved": money}}


@pytest.mark.parametrize(
    ("gap", "kind", "words"),
    [
        ((0.05, 0.01, 0.09), "better", "+0.050, with a 90 % interval of +0.010 to +0.090"),
        ((-0.05, -0.09, -0.01), "worse", "−0.050"),
        ((0.02, -0.01, 0.05), "unclear", "The interval holds zero"),
        ((0.02, 0.0, 0.05), "unclear", "The interval holds zero"),
        (None, "alone", "holds or denies 70 %"),
    ],
)
def test_the_verdict_is_what_the_interval_allows(
    gap: tuple[float, float, float] | None, kind: str, words: str
) -> None:
    said = verdict(content(gap))
    assert said["kind"] == kind
    assert words in " ".join(said["sentences"])
    assert ("than the champion" in " ".join(said["sentences"])) == (gap is not None)


def test_money_has_its_sign() -> None:
    assert [reais(value) for value in (1_234.4, -1_234.4, -0.2)] == ["R$ 1,234", "−R$ 1,234", "R$ 0"]
    assert [signed_reais(value) for value in (12.0, -12.0, 0.1)] == ["+R$ 12", "−R$ 12", "R$ 0"]
    assert [signed(value) for value in (0.0014, -0.0014, -0.0001)] == ["+0.001", "−0.001", "0.000"]


def test_psi_is_zero_for_equals_and_grows_as_values_move() -> None:
    rng = np.random.default_rng(0)
    before, after = rng.normal(size=20_000), rng.normal(size=20_000)
    assert psi(before, before) == 0.0
    assert psi(before, after) < 0.01
    moved = [psi(before, after + shift) for shift in (0.2, 0.5, 1.0)]
    assert moved == sorted(moved)
    assert moved[2] > 0.25 > moved[0]


def test_psi_sees_nan_and_new_values() -> None:
    before = np.tile([0.0, 1.0], 500)
    assert psi(before, np.where(np.arange(1_000) < 300, np.nan, before)) > 0.25
    assert psi(before, np.full(1_000, 1.0)) > 0.25
    assert psi(np.full(1_000, np.nan), np.full(1_000, np.nan)) == 0.0
    # two equal halves against 70 and 30 % of them: 2 · 0.2 · ln(0.7 / 0.5 · 0.5 / 0.3) / 2
    tilted = np.where(np.arange(1_000) < 700, 0.0, 1.0)
    assert psi(before, tilted) == pytest.approx(0.2 * np.log(0.7 / 0.5) - 0.2 * np.log(0.3 / 0.5))


def test_importance_finds_the_columns_that_the_model_reads() -> None:
    rng = np.random.default_rng(3)
    vectors = rng.normal(size=(4_000, 5)).astype(np.float32)
    vectors[:, 4] = 7.0
    y = rng.random(4_000) < 1 / (1 + np.exp(3 - 3 * vectors[:, 0] - vectors[:, 1]))

    def score(rows: np.ndarray) -> np.ndarray:
        return 1 / (1 + np.exp(3.0 - 3 * rows[:, 0].astype(np.float64) - rows[:, 1]))

    found = scored(y, score(vectors))
    groups = {"unread": [2, 3], "strong": [0], "weak": [1], "constant": [4], "both": [0, 1]}
    losses = {part["name"]: part["loss"] for part in importance(score, vectors, found, groups)}
    assert list(losses) == ["both", "strong", "weak", "unread"]
    assert losses["both"] > losses["strong"] > 3 * losses["weak"] > 0
    assert losses["unread"] == 0.0
    assert importance(score, vectors, scored(np.zeros(4_000, dtype=bool), found.score), groups) == []


def test_a_thinned_curve_has_the_area_of_the_whole() -> None:
    rng = np.random.default_rng(1)
    y = rng.random(50_000) < 0.05
    found = scored(y, 1 / (1 + np.exp(-rng.normal(size=50_000) - 2.0 * y)))
    roc, pr = curves.roc(found), curves.precision_recall(found)
    assert max(len(roc["x"]), len(pr["x"])) < 1_500
    from sklearn.metrics import average_precision_score, roc_auc_score

    assert np.trapezoid(roc["y"], roc["x"]) == pytest.approx(roc_auc_score(y, found.score), abs=2e-3)
    assert np.trapezoid(pr["y"], pr["x"]) == pytest.approx(average_precision_score(y, found.score), abs=5e-3)
    assert (roc["x"][-1], roc["y"][-1], pr["x"][-1]) == (1.0, 1.0, 1.0)
    nobody = scored(np.zeros(9, dtype=bool), np.full(9, 0.5))
    assert curves.roc(nobody) == curves.precision_recall(nobody) == {"x": [], "y": []}


def test_confusion_and_agreement_count_every_payment_once() -> None:
    rng = np.random.default_rng(2)
    found = scored(rng.random(500) < 0.3, rng.uniform(0.01, 0.99, 500))
    cell = curves.confusion(found, found.score >= 0.6)
    assert sum(cell.values()) == 500
    assert cell["frauds_stopped"] == (found.y & (found.score >= 0.6)).sum()
    rival = found.by(rng.uniform(0.01, 0.99, 500))
    cells = curves.agreement(found, Thresholds(0.3, 0.6), rival, Thresholds(0.4, 0.9))
    assert sum(cell["n"] for cell in cells) == 500
    assert sum(cell["frauds"] for cell in cells) == found.y.sum()
    denied = sum(cell["n"] for cell in cells if cell["model"] == "DENY")
    assert denied == (found.score >= 0.6).sum()
    parts = curves.distributions(found)
    assert sum(parts["honest"]) == pytest.approx(1.0)
    assert len(parts["edges"]) == len(parts["fraud"]) + 1
