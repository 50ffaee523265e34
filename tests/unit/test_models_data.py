"""`vigia models maturity`, the warning that `train` gives, and an event on both sides of a split."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features import catalog
from features.errors import BadInput
from models.dataset import Span, open_features, read_rows
from models.labelled import require_disjoint
from models.maturity import immaturity, maturity

from .test_models_cli import answer, error

START = datetime(2026, 3, 1, tzinfo=UTC)
DAYS, A_DAY = 20, 40


def write(folder: Path, delays: tuple[int, ...] = (1, 9)) -> tuple[Path, Path]:
    """Every fourth payment of a day is a fraud, confirmed after so many days, in turn."""
    n = DAYS * A_DAY
    times = [START + timedelta(days=i // A_DAY, seconds=1 + i % A_DAY) for i in range(n)]
    frauds = range(0, n, 4)
    features = {
        "event_id": [f"e{i}" for i in range(n)],
        "occurred_at": pa.array(times, pa.timestamp("ms", "UTC")),
        "payer_account": ["a"] * n,
        "amount": ["1.00"] * n,
    }
    features |= {name: pa.array([0.0] * n, pa.float32()) for name in catalog.NAMES}
    metadata = {"features_version": catalog.FEATURES_VERSION}
    reports = {
        "transaction_event_id": [f"e{i}" for i in frauds],
        "payer_account": ["a"] * len(frauds),
        "reported_at": pa.array(
            [times[i] + timedelta(days=delays[i // 4 % len(delays)]) for i in frauds],
            pa.timestamp("ms", "UTC"),
        ),
        "status": ["CONFIRMED"] * len(frauds),
    }
    pq.write_table(pa.table(features).replace_schema_metadata(metadata), folder / "f.parquet")
    pq.write_table(pa.table(reports), folder / "r.parquet")
    return folder / "f.parquet", folder / "r.parquet"


def test_the_curve_and_what_is_still_to_come(tmp_path: Path) -> None:
    """As of day 20 the slow half of the last nine days is missing, and the quick half of the last."""
    features, reports = write(tmp_path)
    told = answer("maturity", "--features", features, "--reports", reports, "--as-of", "2026-03-21")
    curve = {point["days"]: point["share"] for point in told["curve"]}  # type: ignore[attr-defined]
    assert [curve[day] for day in (0, 1, 8, 9)] == [0.0, 0.5, 0.5, 1.0]
    assert told["mature_after_days"] == 9
    assert told["span"] == {
        "from": "2026-03-01", "to": "2026-03-20", "payments": DAYS * A_DAY,
        "known_share": 0.75, "to_come_share": 0.25, "mature": False,
    }  # fmt: skip
    early = answer(
        *("maturity", "--features", features, "--reports", reports, "--as-of", "2026-03-21"),
        *("--from", "2026-03-01", "--to", "2026-03-11"),
    )
    assert early["span"]["mature"]  # type: ignore[index]
    assert "fewer than 200" in early["warnings"][0]  # type: ignore[index]


def test_what_is_not_mature_is_told_with_figures_and_a_way_out(tmp_path: Path) -> None:
    features, reports = write(tmp_path)
    span = Span(date(2026, 3, 1), date(2026, 3, 20))
    warning = immaturity(maturity(features, reports, date(2026, 3, 21), span))
    assert warning is not None
    assert "25% of the frauds from 2026-03-01 to 2026-03-20" in warning
    assert "Choose days until 2026-03-11, or a later --as-of" in warning
    suggested = Span(date(2026, 3, 1), date(2026, 3, 11))
    assert immaturity(maturity(features, reports, date(2026, 3, 21), suggested)) is None
    assert immaturity(maturity(features, reports, date(2026, 3, 30), span)) is None


def test_no_fraud_at_all_is_no_error(tmp_path: Path) -> None:
    features, reports = write(tmp_path)
    told = maturity(features, reports, date(2026, 3, 1))
    assert (told["frauds"], told["curve"], told["span"]["payments"]) == (0, [], 0)
    assert immaturity(told) is None


def test_half_a_span_is_refused(tmp_path: Path) -> None:
    features, reports = write(tmp_path)
    words = ("maturity", "--features", features, "--reports", reports, "--as-of", "2026-03-21")
    assert "give both" in str(error(*words, "--from", "2026-03-01"))


def test_an_event_on_both_sides_of_a_split_is_named(tmp_path: Path) -> None:
    features, _ = write(tmp_path)
    read = (catalog.NAMES, catalog.FEATURES_VERSION)
    rows = read_rows(features, Span(date(2026, 3, 5), date(2026, 3, 6)), *read)
    require_disjoint(features, Span(date(2026, 3, 1), date(2026, 3, 4)), rows)
    with pytest.raises(BadInput, match=r"events e160, e161, e162 and 37 more are both in training"):
        require_disjoint(features, Span(date(2026, 3, 1), date(2026, 3, 5)), rows)


def test_a_folder_of_files_takes_those_of_these_features(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    features, _ = write(tmp_path)
    folder = tmp_path / "many"
    folder.mkdir()
    table = pq.read_table(features)
    pq.write_table(table.slice(0, 100), folder / "b.parquet")
    pq.write_table(
        table.slice(100).replace_schema_metadata({"features_version": "0ld"}), folder / "a.parquet"
    )
    source = open_features(folder, catalog.NAMES, catalog.FEATURES_VERSION)
    assert source.count_rows() == 100
    assert "1 of 2 files have features 0ld" in caplog.text
