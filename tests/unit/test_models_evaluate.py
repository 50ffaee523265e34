"""`evaluate`: folds, groups, immature labels and the champion, on payments whose truth is known."""

from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features.errors import BadInput
from models.costs import Costs, Thresholds
from models.dataset import Rows, Span
from models.groups import Grouping, Served, fraud_types, group_figures, groupings
from models.metrics import disturbed, fraud_loss, saved
from models.prequential import Files, Fold, by_week, handbook_folds, prequential, spread, weeks
from models.scored import Scored
from models.scored import scored as as_scored

FIRST = date(2026, 3, 1)
NAMES = ("initiation", "local_hour", "payer_age_seconds")


def scored(y: list[bool], score: list[float], amount: list[float], payer: list[int]) -> Scored:
    n = len(y)
    day = np.full(n, np.datetime64(FIRST))
    return Scored(np.array(y), np.array(score), np.array(amount), np.array(payer), day, np.ones(n))


def test_money_saved_and_customers_disturbed_by_hand() -> None:
    costs = Costs(fraud_loss_share=0.9, review=4.0, review_catch_share=0.8, wrong_denial=40.0)
    found = scored(
        [True, True, True, False, False, False],
        [0.9, 0.5, 0.1, 0.9, 0.5, 0.1],
        [100.0, 200.0, 300.0, 50.0, 60.0, 70.0],
        [0, 1, 2, 3, 3, 4],
    )
    gained = saved(found, Thresholds(0.4, 0.8), costs)
    # frauds: denied, reviewed (80 % stopped, 4 paid), missed; honest ones: denied, reviewed, passed
    assert gained.tolist() == pytest.approx([90.0, 180 * 0.8 - 4, 0.0, -40.0, -4.0, 0.0])
    assert fraud_loss(found, costs) == pytest.approx(0.9 * 600)
    assert disturbed(found, Thresholds(0.4, 0.8)).tolist() == [0, 0, 0, 1, 0]  # one customer, disturbed twice


@pytest.mark.parametrize(
    ("length", "expected"), [(1, [1]), (6, [6]), (7, [7]), (13, [13]), (14, [7, 7]), (17, [7, 10])]
)
def test_weeks_hold_each_day_once_and_none_is_short(length: int, expected: list[int]) -> None:
    found = weeks(Span(FIRST, FIRST + timedelta(days=length - 1)))
    assert [(week.last - week.first).days + 1 for week in found] == expected
    days = [
        week.first + timedelta(days=i) for week in found for i in range((week.last - week.first).days + 1)
    ]
    assert days == [FIRST + timedelta(days=i) for i in range(length)]


def test_the_spread_is_over_the_weeks_that_have_the_figure() -> None:
    folds = [{"average_precision": value} for value in (0.5, None, 0.7)]
    rest = dict.fromkeys(
        ("roc_auc", "payer_precision_at_100", "recall_at_alert_rate", "money_saved", "customers_disturbed")
    )
    found = spread([{**rest, **fold} for fold in folds])
    assert found["average_precision"] == pytest.approx(
        {"mean": 0.6, "std": 0.2 / 2**0.5, "min": 0.5, "max": 0.7}
    )
    assert found["roc_auc"] is None
    one = spread([{**rest, "average_precision": 0.5}])["average_precision"]
    assert one == {"mean": 0.5, "std": None, "min": 0.5, "max": 0.5}


def test_a_fold_that_tests_on_its_training_days_is_refused() -> None:
    week = Span(FIRST, FIRST + timedelta(days=6))
    with pytest.raises(ValueError, match="begins before the training span"):
        Fold(week, Span(FIRST + timedelta(days=6), FIRST + timedelta(days=9)), FIRST)


def test_the_handbooks_folds() -> None:
    (fold,) = handbook_folds([date(2018, 7, 31)], 7)
    assert (fold.train, fold.test) == (
        Span(date(2018, 7, 25), date(2018, 7, 31)),
        Span(date(2018, 8, 8), date(2018, 8, 14)),
    )
    assert fold.as_of == date(2018, 8, 8)


def make_rows(n: int, initiation: float = np.nan, seed: int = 0) -> Rows:
    rng = np.random.default_rng(seed)
    vectors = np.column_stack([np.full(n, initiation), np.arange(n) % 24, np.full(n, np.nan)])
    ids = pa.array([f"e{i}" for i in range(n)])
    times = np.datetime64(FIRST, "us") + np.arange(n).astype("timedelta64[m]")
    return Rows(ids, ids, times, rng.lognormal(5, 2, n), vectors.astype(np.float32))


def test_groups_that_the_files_do_not_tell_are_left_out_with_a_note() -> None:
    rows = make_rows(48)
    found, notes = groupings(rows, NAMES, np.full(48, ""))
    assert [grouping.name for grouping in found] == ["hour", "payer", "amount"]
    assert [note.split(":")[0] for note in notes] == ["typology", "initiation"]
    told, _ = groupings(make_rows(48, initiation=2.0), NAMES, np.full(48, "SCAM"))
    assert [grouping.name for grouping in told] == ["typology", "initiation", "hour", "payer", "amount"]
    assert set(told[1].values) == {"QRDN"}
    assert set(told[3].values) == {"new (under 30 days)"}  # never seen to pay


def two_groups(
    recall: tuple[float, float], stops: tuple[float, float], frauds: int, honest: int
) -> list[dict]:
    """Group a with the first shares, b with the second: of `frauds` and `honest` payments each."""
    y, score, group = [], [], []
    for name, caught, stopped in zip("ab", recall, stops, strict=True):
        y += [True] * frauds + [False] * honest
        score += [0.9 if i < caught * frauds else 0.1 for i in range(frauds)]
        score += [0.9 if i < stopped * honest else 0.1 for i in range(honest)]
        group += [name] * (frauds + honest)
    found = scored(y, score, [1.0] * len(y), list(range(len(y))))
    served = Served.by(found, Thresholds(0.5, 0.95))
    return group_figures(served, [Grouping("g", np.array(group), ("a", "b"))], served)


def test_a_group_that_is_served_much_worse_is_a_warning() -> None:
    a, b = two_groups((0.3, 0.9), (0.01, 0.01), 200, 2_000)
    assert a["recall"] == pytest.approx(0.3)
    assert a["recall_low"] < 0.3 < a["recall_high"]
    assert a["champion_recall"] == a["recall"]
    assert a["champion_honest_stopped"] == a["honest_stopped"] < a["champion_honest_stopped_high"]
    assert "30 % of its frauds are stopped, 90 % of the rest's" in a["warning"]
    assert b["warning"] is None


def test_a_group_whose_honest_payments_are_stopped_more_often_is_a_warning() -> None:
    a, b = two_groups((0.9, 0.9), (0.01, 0.05), 200, 2_000)
    assert a["warning"] is None
    assert "5.00 % of its honest payments are stopped, 1.00 % of the rest's" in b["warning"]


def test_a_small_group_is_said_to_be_small_and_not_judged() -> None:
    a, _ = two_groups((0.0, 1.0), (0.01, 0.01), 19, 200)
    assert a["warning"] is None
    assert "20 frauds are needed" in a["note"]


def test_a_few_honest_payments_are_no_warning() -> None:
    assert two_groups((0.9, 0.9), (0.0, 0.5), 200, 40)[1]["warning"] is None
    assert two_groups((0.9, 0.9), (0.0, 0.5), 200, 60)[1]["warning"] is not None


def test_a_group_with_a_little_less_is_no_warning() -> None:
    a, _ = two_groups((0.85, 0.95), (0.01, 0.015), 200, 2_000)
    assert (a["warning"], a["note"]) == (None, None)


def write_reports(path: Path, kinds: list[tuple[str, str, str]]) -> Path:
    start = np.datetime64(FIRST, "us")
    pq.write_table(
        pa.table(
            {
                "transaction_event_id": [event for event, _, _ in kinds],
                "payer_account": [event for event, _, _ in kinds],
                "reported_at": pa.array(start + np.arange(len(kinds)), pa.timestamp("us", "UTC")),
                "status": [status for _, status, _ in kinds],
                "type": [kind for _, _, kind in kinds],
            }
        ),
        path,
    )
    return path


def test_a_frauds_typology_is_its_first_confirmed_reports(tmp_path: Path) -> None:
    reports = write_reports(
        tmp_path / "r.parquet",
        [
            ("e1", "OPEN", "SCAM"), ("e1", "CONFIRMED", "UNKNOWN"), ("e1", "CONFIRMED", "COERCION"),
            ("e1", "CONFIRMED", "OTHER"), ("e2", "CONFIRMED", "UNKNOWN"), ("e9", "CONFIRMED", "SCAM"),
        ],
    )  # fmt: skip
    y = np.array([False, True, True, False])
    assert fraud_types(make_rows(4), y, reports).tolist() == ["", "COERCION", "UNKNOWN", ""]
    table = pq.read_table(reports)
    pq.write_table(table.drop_columns(["type"]), reports)
    assert fraud_types(make_rows(4), y, reports).tolist() == ["", "", "", ""]


def write_features(path: Path, days: int, a_day: int = 40) -> tuple[Files, np.ndarray]:
    """One feature that tells the frauds, one that is noise; each fraud reported 7 days later."""
    rng = np.random.default_rng(1)
    n = days * a_day
    fraud = rng.random(n) < 0.2
    at = np.datetime64(FIRST, "us") + (np.arange(n) // a_day).astype("timedelta64[D]").astype(
        "timedelta64[us]"
    )
    table = pa.table(
        {
            "event_id": [f"e{i}" for i in range(n)],
            "payer_account": [f"p{i % 97}" for i in range(n)],
            "occurred_at": pa.array(at, pa.timestamp("us", "UTC")),
            "amount": np.ones(n),
            "sign": (fraud + rng.normal(0, 0.4, n)).astype(np.float32),
            "noise": rng.normal(size=n).astype(np.float32),
        }
    )
    pq.write_table(table.replace_schema_metadata({"features_version": "v"}), path / "f.parquet")
    ids = np.flatnonzero(fraud)
    reports = {
        "transaction_event_id": [f"e{i}" for i in ids],
        "payer_account": [f"p{i % 97}" for i in ids],
        "reported_at": pa.array(at[ids] + np.timedelta64(7, "D"), pa.timestamp("us", "UTC")),
        "status": ["CONFIRMED"] * len(ids),
    }
    pq.write_table(pa.table(reports), path / "r.parquet")
    return Files(path / "f.parquet", path / "r.parquet", ("sign", "noise"), "v"), fraud


def test_prequential_trains_on_earlier_days_with_the_labels_of_then(tmp_path: Path) -> None:
    files, fraud = write_features(tmp_path, 28)
    seen: list[tuple[date, date, int]] = []

    def train(rows: Rows, y: np.ndarray):  # type: ignore[no-untyped-def]
        seen.append((*(day.item() for day in (rows.day.min(), rows.day.max())), int(y.sum())))
        return lambda vectors: 1 / (1 + np.exp(-4.0 * (vectors[:, 0] - 0.5).astype(np.float64)))

    last = [FIRST + timedelta(days=13), FIRST + timedelta(days=6)]
    folds = handbook_folds(last, train_days=7, delay_days=7, test_days=3)
    answer = prequential(files, folds, train, exclude_known=False)
    assert seen == [
        (FIRST + timedelta(days=7), FIRST + timedelta(days=13), int(fraud[7 * 40 : 14 * 40].sum())),
        (FIRST, FIRST + timedelta(days=6), int(fraud[: 7 * 40].sum())),
    ]
    assert [fold["from"] for fold in answer["folds"]] == ["2026-03-22", "2026-03-15"]
    assert [fold["n"] for fold in answer["folds"]] == [120, 120]
    assert answer["spread"]["average_precision"]["mean"] > 0.8
    assert answer["spread"]["money_saved"] is None  # no thresholds were given
    early = Fold(folds[0].train, folds[0].test, FIRST + timedelta(days=15))
    prequential(files, [early], train)
    assert 0 < seen[-1][2] < seen[0][2]  # a day's frauds of the seven were known by then


def test_by_week_leaves_out_weeks_without_payments() -> None:
    found = scored([True, False] * 5, [0.9, 0.1] * 5, [1.0] * 10, list(range(10)))
    folds = by_week(Span(FIRST, FIRST + timedelta(days=20)), found, None, None)
    assert [fold["from"] for fold in folds] == ["2026-03-01"]


def test_weights_are_above_zero() -> None:
    rows = make_rows(3)
    with pytest.raises(ValueError, match="above 0"):
        as_scored(rows, np.zeros(3, dtype=bool), np.full(3, 0.5), np.array([1.0, 0.0, 2.0]))
    found = as_scored(rows, np.zeros(3, dtype=bool), np.full(3, 0.5), np.array([1.0, 4.0, 2.0]))
    assert found.payer.tolist() == [0, 1, 2]
    assert found.weight.tolist() == [1.0, 4.0, 2.0]


def test_missing_files_are_bad_input(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="--reports"):
        fraud_types(make_rows(2), np.array([True, False]), tmp_path / "none.parquet")
