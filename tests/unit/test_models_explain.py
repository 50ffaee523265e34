"""Reasons by exact TreeSHAP: the definition, LightGBM's order, families, and the same bits in every batch."""

from collections.abc import Iterator
from itertools import combinations
from math import factorial

import lightgbm as lgb
import numpy as np
import pytest

from features.catalog import NAMES, REASON_GROUPS
from models import leaf_tables
from models.explain import MAX_REASONS, Explainer
from models.trees import LEAF, Ensemble, Tree
from models.trees_lightgbm import read

K = 5
ALONE = {f"F{i}": (i,) for i in range(K)}


def grow(rng: np.random.Generator, depth: int, k: int = K) -> Tree:
    """A tree of random splits, so that features come again below themselves; some nodes nobody reached."""
    nodes: list[list[float]] = []

    def add(level: int, cover: float) -> int:
        here = len(nodes)
        leaf = level == 0 or rng.random() < 0.15
        value = rng.normal() if leaf else 0.0
        feature = LEAF if leaf else rng.integers(k)
        nodes.append([feature, rng.integers(-2, 3) / 2, rng.random() < 0.5, 0, 0, value, cover])
        if not leaf:
            left = np.floor(cover * rng.choice([0.0, 0.2, 0.5, 0.9]))
            nodes[here][3:5] = add(level - 1, left), add(level - 1, cover - left)
        return here

    add(depth, 100.0)
    feature, threshold, missing_left, left, right, value, cover = np.array(nodes).T
    return Tree(
        *(feature.astype(int), threshold.astype(np.float32), missing_left > 0),
        *(left.astype(int), right.astype(int), value, cover),
    )


def random_rows(rng: np.random.Generator, n: int, k: int = K) -> np.ndarray:
    rows = (rng.integers(-3, 4, size=(n, k)) / 2).astype(np.float32)
    rows[rng.random(rows.shape) < 0.2] = np.nan
    return rows


def expectation(trees: Ensemble, row: np.ndarray, known: frozenset[int], node: int) -> float:
    """What the tree says of a row of which only the `known` features are known."""
    feature = int(trees.feature[node])
    if feature == LEAF:
        return float(trees.value[node])
    left, right = int(trees.left[node]), int(trees.right[node])
    if feature in known:
        x = row[feature]
        goes_left = trees.missing_left[node] if np.isnan(x) else x <= trees.threshold[node]
        return expectation(trees, row, known, left if goes_left else right)
    if trees.cover[node] == 0:
        return 0.0  # nobody came here: weighs nothing
    weighted = (trees.cover[side] * expectation(trees, row, known, side) for side in (left, right))
    return sum(weighted) / float(trees.cover[node])


def by_definition(trees: Ensemble, row: np.ndarray) -> list[float]:
    """Shapley's sum over all sets of the other features."""

    def worth(known: tuple[int, ...]) -> float:
        return sum(expectation(trees, row, frozenset(known), int(root)) for root in trees.roots)

    values = []
    for i in range(K):
        others = [j for j in range(K) if j != i]
        values.append(
            sum(
                factorial(size) * factorial(K - size - 1) / factorial(K) * (worth((*some, i)) - worth(some))
                for size in range(K)
                for some in combinations(others, size)
            )
        )
    return values


@pytest.mark.parametrize("seed", range(8))
def test_values_are_shapleys_by_definition(seed: int) -> None:
    rng = np.random.default_rng(seed)
    trees = Ensemble.of(grow(rng, depth=6) for _ in range(3))
    rows = random_rows(rng, 12)
    got = Explainer(trees, ALONE).contributions(rows)
    assert np.abs(got - [by_definition(trees, row) for row in rows]).max() < 1e-12


@pytest.fixture(params=["looked up", "worked out", "both"])
def bounds(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """How the leaves are paid: from tables, one by one, or some so and some so."""
    monkeypatch.setattr(leaf_tables, "TESTS_ALONE", {"worked out": 0, "both": 7}.get(request.param, 12))
    monkeypatch.setattr(leaf_tables, "TESTS", {"worked out": 0, "both": 6}.get(request.param, 9))


@pytest.fixture(scope="module")
def boosted() -> tuple[lgb.Booster, np.ndarray]:
    """A real model on the catalog's columns, many of them near-copies of each other, and 6,000 vectors."""
    rng = np.random.default_rng(4)
    n = 6000
    causes = {code: rng.normal(size=n) for code in REASON_GROUPS}
    vectors = np.empty((n, len(NAMES)), dtype=np.float32)
    for code, columns in REASON_GROUPS.items():
        for column in columns:
            vectors[:, column] = np.round(causes[code] + 0.2 * rng.normal(size=n), 1)
    vectors[rng.random(vectors.shape) < 0.05] = np.nan
    margin = sum(rng.normal(1, 0.5) * cause for cause in causes.values()) - 5
    params = {"objective": "binary", "num_leaves": 15, "verbose": -1, "seed": 1, "num_threads": 2}
    booster = lgb.train(params, lgb.Dataset(vectors, rng.random(n) < 1 / (1 + np.exp(-margin))), 60)
    return booster, vectors


def ranked(contributions: np.ndarray) -> list[list[str]]:
    """The codes by LightGBM's own values (n, features): families summed, largest first, only what raises."""
    found = []
    for row in contributions:
        sums = {code: row[list(columns)].sum() for code, columns in REASON_GROUPS.items()}
        order = sorted(sums, key=lambda code: (-sums[code], code))
        found.append([code for code in order if sums[code] > 0][:MAX_REASONS])
    return found


@pytest.mark.usefixtures("bounds")
def test_a_thousand_alerts_have_the_codes_of_lightgbms_own_order(
    boosted: tuple[lgb.Booster, np.ndarray],
) -> None:
    booster, vectors = boosted
    alerts = vectors[np.argsort(-booster.predict(vectors))[:1000]]
    own = booster.predict(alerts, pred_contrib=True)[:, :-1]
    explainer = Explainer(read(booster), REASON_GROUPS)
    assert explainer.reasons(alerts) == ranked(own)
    grouped = np.column_stack([own[:, list(REASON_GROUPS[code])].sum(axis=1) for code in explainer.codes])
    assert np.abs(explainer.contributions(alerts) - grouped).max() < 1e-10


def test_near_copies_do_not_fill_the_list(boosted: tuple[lgb.Booster, np.ndarray]) -> None:
    """Where the four weightiest features are of fewer than four families, four families are named."""
    booster, vectors = boosted
    alerts = vectors[np.argsort(-booster.predict(vectors))[:1000]]
    own = booster.predict(alerts, pred_contrib=True)[:, :-1]
    code_of = {column: code for code, columns in REASON_GROUPS.items() for column in columns}
    crowded = [len({code_of[c] for c in np.argsort(-row)[:4]}) < 4 for row in own]
    assert sum(crowded) > 100
    for row, codes in zip(crowded, Explainer(read(booster), REASON_GROUPS).reasons(alerts), strict=True):
        assert not row or len(set(codes)) == len(codes) == 4


@pytest.mark.usefixtures("bounds")
@pytest.mark.parametrize("families", [1, 2, 14])
def test_a_row_has_the_same_bits_in_every_batch(
    boosted: tuple[lgb.Booster, np.ndarray], families: int
) -> None:
    booster, vectors = boosted
    codes = sorted(REASON_GROUPS)
    groups: dict[str, list[int]] = {code: [] for code in codes[:families]}
    for i, code in enumerate(codes):
        groups[codes[i % families]] += REASON_GROUPS[code]
    explainer, rows = Explainer(read(booster), groups), vectors[:67]
    whole = explainer.contributions(rows)
    for size in (1, 2, 31, 33, 64):
        for start in (0, 1):
            parts = [explainer.contributions(rows[at : at + size]) for at in range(start, len(rows), size)]
            assert np.concatenate(parts).tobytes() == whole[start:].tobytes()
    others = np.random.default_rng(2).permutation(len(rows))
    assert explainer.contributions(rows[others]).tobytes() == whole[others].tobytes()
    assert explainer.contributions(rows[::2]).tobytes() == whole[::2].tobytes()


def stumps(*values: float) -> Ensemble:
    """One tree a feature: `value` above 0, its opposite below."""

    def trees() -> Iterator[Tree]:
        for feature, value in enumerate(values):
            yield Tree(
                np.array([feature, LEAF, LEAF]),
                np.zeros(3, np.float32),
                np.array([True, False, False]),
                np.array([1, 0, 0]),
                np.array([2, 0, 0]),
                np.array([0.0, -value, value]),
                np.array([2.0, 1.0, 1.0]),
            )

    return Ensemble.of(trees())


def test_equal_values_go_by_code_and_four_is_the_most() -> None:
    groups = {code: (i,) for i, code in enumerate("FEDCBA")}
    explainer = Explainer(stumps(*[1.0] * 6), groups)
    assert explainer.reasons(np.ones((1, 6), dtype=np.float32)) == [["A", "B", "C", "D"]]


def test_only_what_raises_the_score_is_a_reason() -> None:
    explainer = Explainer(stumps(1.0, 3.0, 2.0), {"UP": (0,), "DOWN": (1,), "MIXED": (2,), "UNUSED": (3,)})
    rows = np.array([[1, -1, 1, 9], [1, -1, np.nan, 9], [-1, -1, -1, 9]], dtype=np.float32)
    assert explainer.reasons(rows) == [["MIXED", "UP"], ["UP"], []]
    assert explainer.contributions(rows)[0].tolist() == [-3.0, 2.0, 0.0, 1.0]  # by code
    assert explainer.reasons(rows[:0]) == []


def test_a_model_of_leaves_alone_has_no_reasons() -> None:
    booster = lgb.train(
        {"objective": "binary", "verbose": -1}, lgb.Dataset(np.zeros((50, 2)), [0, 1] * 25), 3
    )
    assert Explainer(read(booster), {"A": (0, 1)}).reasons(np.ones((2, 2), dtype=np.float32)) == [[], []]


def test_a_split_on_a_column_of_no_family_is_an_error() -> None:
    with pytest.raises(KeyError):
        Explainer(stumps(1.0, 1.0), {"A": (0,)})
