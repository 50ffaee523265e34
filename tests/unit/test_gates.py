"""Each gate passes what is within its bound, and refuses what is not, with the figures."""

from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from features import catalog
from features.errors import BadInput
from models import gates, parity
from models.gate_bounds import Gates, load_gates
from models.gates import PASSED, REFUSED, SKIPPED, Sample
from models.registry import load
from models.scorer import Scorer
from models.trees import Ensemble, Tree

CHAMPION = "pix-fraud@aaaaaaaaaaaa"
EVALUATION: dict[str, Any] = {
    "model": "pix-fraud@bbbbbbbbbbbb",
    "champion": CHAMPION,
    "from": "2030-01-01",
    "to": "2030-01-07",
    "frauds": 400,
    "bootstrap": {"replicates": 1_000},
    "against_champion": {
        "average_precision": {"champion": 0.68, "difference": 0.02, "low": 0.004, "high": 0.035}
    },
    "review": {"recall": 0.7},
    "groups": [
        {"group": "hour", "value": "00-06 h", "frauds": 110, "recall": 0.67, "recall_high": 0.74,
         "champion_recall": 0.66, "n": 20_000, "honest_stopped": 0.012, "honest_stopped_low": 0.01,
         "champion_honest_stopped_high": 0.011},
        {"group": "amount", "value": "up to R$ 50", "frauds": 175, "recall": 0.6, "recall_high": 0.66,
         "champion_recall": 0.7, "n": 30_000, "honest_stopped": 0.002, "honest_stopped_low": 0.001,
         "champion_honest_stopped_high": None},
        {"group": "hour", "value": "20-24 h", "frauds": 17, "recall": 0.0, "recall_high": 0.2,
         "champion_recall": 0.9, "n": 516, "honest_stopped": 0.9, "honest_stopped_low": 0.8},
        {"group": "payer", "value": "new (under 30 days)", "frauds": 0, "recall": None, "recall_high": None,
         "champion_recall": None, "n": 499, "honest_stopped": 0.9, "honest_stopped_low": 0.8},
    ],
    "calibration": {
        "log_loss": 0.017, "base_log_loss": 0.04, "base_rate": 0.0066, "mean_score": 0.0064,
        "slope": 0.82, "slope_interval": [0.78, 0.86],
        "top": [{"share": 0.01, "expected": 0.507, "observed": 0.461, "low": 0.428, "high": 0.495}],
    },
}  # fmt: skip


@pytest.fixture(scope="module")
def bounds() -> Gates:
    return load_gates()


@pytest.fixture(scope="module")
def scorer(model_folder: Path) -> Scorer:
    return Scorer.load(model_folder)


@pytest.fixture(scope="module")
def trees(model_folder: Path) -> Ensemble:
    return Ensemble.from_bytes(load(model_folder, catalog.NAMES, catalog.FEATURES_VERSION).trees)


def vectors(n: int) -> np.ndarray:
    rng = np.random.default_rng(1)
    made = rng.lognormal(4, 1.5, (n, len(catalog.NAMES))).astype(np.float32)
    made[rng.random(made.shape) < 0.1] = np.nan
    return made


def sample(n: int) -> Sample:
    return Sample(vectors(n), np.random.default_rng(3).lognormal(4, 1.5, n))


def changed(path: str, value: object) -> dict[str, Any]:
    evaluation = deepcopy(EVALUATION)
    *parents, last = path.split("/")
    inner: Any = evaluation
    for name in parents:
        inner = inner[int(name) if name.isdigit() else name]
    inner[last] = value
    return evaluation


def test_a_better_challenger_passes(bounds: Gates) -> None:
    found = gates.against_champion(EVALUATION, CHAMPION, bounds.champion)
    assert (found.gate, found.result) == ("champion", PASSED)
    assert gates.groups(EVALUATION, bounds.groups).result == PASSED
    assert gates.calibration(EVALUATION, bounds.calibration).result == PASSED


@pytest.mark.parametrize("low", [0.0, -0.01])
def test_one_that_may_be_no_better_does_not(low: float, bounds: Gates) -> None:
    evaluation = changed("against_champion/average_precision/low", low)
    found = gates.against_champion(evaluation, CHAMPION, bounds.champion)
    assert (found.gate, found.result) == ("champion", REFUSED)
    assert "average_precision +0.0200 [" in found.told
    assert found.figures["low"] == low


def test_one_that_was_compared_with_another_does_not(bounds: Gates) -> None:
    other = "pix-fraud@cccccccccccc"
    found = gates.against_champion(EVALUATION, other, bounds.champion)
    assert (found.result, "compared with pix-fraud@aaaaaaaaaaaa" in found.told) == (REFUSED, True)
    found = gates.against_champion({}, other, bounds.champion)
    assert (found.result, "compared with no champion" in found.told) == (REFUSED, True)


def test_the_first_champion_has_none_to_beat_and_says_so(bounds: Gates) -> None:
    found = gates.against_champion({}, None, bounds.champion)
    assert (found.result, found.told) == (SKIPPED, "there is no champion yet, so none to beat")


@pytest.mark.parametrize(
    ("path", "value", "told"),
    [
        (
            "groups/1/recall_high",
            0.349,
            "amount up to R$ 50: recall 0.600 (at most 0.349, 175 frauds), 0.350",
        ),
        ("groups/0/champion_recall", 0.85, "hour 00-06 h: .*the champion's 0.850 less 0.1"),
        (
            "groups/0/honest_stopped_low",
            0.0211,
            "hour 00-06 h: 1.20% of its honest payments stopped (at least 2.11%), the champion's (at most "
            "1.10%) and 1.00% more is the most",
        ),
        (
            "groups/1/honest_stopped_low",
            0.101,
            "amount up to R$ 50: 0.20% of its honest payments stopped (at least 10.10%), 10.00% is the most",
        ),
        ("groups", [], "has no groups"),
    ],
)
def test_a_group_that_is_served_much_worse_stops_it(
    path: str, value: object, told: str, bounds: Gates
) -> None:
    found = gates.groups(changed(path, value), bounds.groups)
    assert (found.gate, found.result) == ("groups", REFUSED)
    words = told.split(".*")
    assert all(word in found.told for word in words), found.told


def test_the_bounds_of_what_is_stopped_are_the_most_that_passes(bounds: Gates) -> None:
    for path, value in (("groups/0/honest_stopped_low", 0.0209), ("groups/1/honest_stopped_low", 0.0999)):
        assert gates.groups(changed(path, value), bounds.groups).result == PASSED


def test_groups_too_small_to_judge_are_told(bounds: Gates) -> None:
    found = gates.groups(changed("groups", EVALUATION["groups"][2:]), bounds.groups)
    assert (found.result, found.told) == (
        SKIPPED,
        "no group has 50 frauds or 500 honest payments to judge by",
    )


@pytest.mark.parametrize(
    ("path", "value", "told"),
    [
        ("calibration/slope_interval", [0.5, 0.69], "slope 0.820 [0.500, 0.690] lies outside [0.7, 1.4]"),
        ("calibration/slope_interval", [1.41, 1.5], "lies outside [0.7, 1.4]"),
        ("calibration/mean_score", 0.0132, "mean score over share of fraud 2.000 lies outside"),
        ("calibration/log_loss", 0.04, "log loss 0.04000 is not below 0.04000"),
        ("calibration/top/0/expected", 0.9, "top 1 %: 0.900 expected, 0.461 [0.428, 0.495] observed"),
        ("calibration/top/0/expected", 0.2, "top 1 %: 0.200 expected"),
        ("calibration/slope", None, "no line of calibration"),
        ("calibration", None, "no line of calibration"),
    ],
)
def test_scores_that_do_not_mean_what_they_say_stop_it(
    path: str, value: object, told: str, bounds: Gates
) -> None:
    found = gates.calibration(changed(path, value), bounds.calibration)
    assert (found.gate, found.result) == ("calibration", REFUSED)
    assert told in found.told


def test_the_served_model_is_the_trained_one(scorer: Scorer, trees: Ensemble, bounds: Gates) -> None:
    rows = sample(100_000)
    found = gates.parity(parity.logits(trees, rows.vectors), scorer, rows, bounds.parity)
    assert found.result == PASSED, found.told
    assert found.figures["largest_difference"] < 1e-4
    assert (found.figures["vectors"], found.figures["flips"]) == (100_000, 0)


def test_another_order_of_the_features_is_not_it(scorer: Scorer, trees: Ensemble, bounds: Gates) -> None:
    rows = sample(2_000)
    enough = bounds.parity.model_copy(update={"least_vectors": len(rows.vectors)})
    found = gates.parity(parity.logits(trees, rows.vectors[:, ::-1].copy()), scorer, rows, enough)
    assert (found.gate, found.result) == ("parity", REFUSED)
    assert found.figures["flips"] > 0


def test_a_difference_too_small_to_flip_is_still_too_large(
    scorer: Scorer, trees: Ensemble, bounds: Gates
) -> None:
    rows = sample(500)
    enough = bounds.parity.model_copy(
        update={"least_vectors": len(rows.vectors), "most_flips": len(rows.vectors)}
    )
    found = gates.parity(parity.logits(trees, rows.vectors) + 2e-4, scorer, rows, enough)
    assert (found.result, "at most 0.0001" in found.told) == (REFUSED, True)


def test_few_vectors_prove_nothing(scorer: Scorer, trees: Ensemble, bounds: Gates) -> None:
    rows = sample(999)
    found = gates.parity(parity.logits(trees, rows.vectors), scorer, rows, bounds.parity)
    assert (found.result, found.told) == (REFUSED, "999 vectors are too few; at least 100,000")


def test_latency_is_measured_and_bounded(scorer: Scorer, bounds: Gates) -> None:
    rows = vectors(600)
    generous = bounds.latency.model_copy(update={"p99_ms": 10_000.0})
    found = gates.latency(scorer, rows, generous)
    assert (found.gate, found.result) == ("latency", PASSED)
    impossible = bounds.latency.model_copy(update={"p99_ms": 1e-6})
    refused = gates.latency(scorer, rows, impossible)
    assert (refused.result, "for 256 vectors; at most 1e-06 ms" in refused.told) == (REFUSED, True)


def test_trees_are_walked_as_they_are_defined() -> None:
    """By hand: x0 <= 1 ? (missing goes left) 10 : (x1 <= 2 ? 20 : 30, missing goes right)."""
    tree = Tree(
        np.array([0, -1, 1, -1, -1]),
        np.array([1, 0, 2, 0, 0], np.float32),
        np.array([True, False, False, False, False]),
        np.array([1, 0, 3, 0, 0]),
        np.array([2, 0, 4, 0, 0]),
        np.array([0.0, 10, 0, 20, 30]),
        np.ones(5),
    )
    ensemble = Ensemble.of([tree, tree], base=0.5)
    nan = np.nan
    rows = np.array([[1, 9], [nan, nan], [1.5, 2], [2, 2.5], [2, nan]], np.float32)
    assert parity.logits(ensemble, rows).tolist() == [20.5, 20.5, 40.5, 60.5, 60.5]
    share = Ensemble.of([tree._replace(value=tree.value / 40)], link="probability")
    assert parity.logits(share, rows[:1]) == pytest.approx([np.log(0.25 / 0.75)])


def test_a_file_of_gates_is_checked(tmp_path: Path) -> None:
    text = Path(gates.__file__).with_name("gates.toml").read_text()
    path = tmp_path / "gates.toml"
    path.write_text(text.replace("p99_ms = 10.0", "p99_ms = 3.5"))
    assert load_gates(path).latency.p99_ms == 3.5
    for wrong, told in (
        (text.replace("p99_ms", "p98_ms"), "latency.p99_ms"),
        (text + "[more]\n", "more"),
        (text.replace("[latency]", "[latency"), "is not TOML"),
        (text.replace("[0.7, 1.4]", "[1.4, 0.7]"), r"calibration.slope of .* 1.4 is above 0.7"),
        (text.replace("[0.67, 1.5]", "[0.67, inf]"), r"calibration.mean.1 of .* finite"),
        (text.replace("least_gain = 0.0", "least_gain = nan"), r"champion.least_gain of .* finite"),
    ):
        path.write_text(wrong)
        with pytest.raises(BadInput, match=told):
            load_gates(path)
    with pytest.raises(BadInput, match="cannot be read"):
        load_gates(tmp_path / "none.toml")
