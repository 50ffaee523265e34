"""What counts as fraud, and since when a payer is known."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features.errors import BadInput
from models.dataset import Rows
from models.labels import label, read_verdicts

AS_OF = datetime(2026, 3, 20, tzinfo=UTC)
BEFORE, AFTER = AS_OF - timedelta(microseconds=1), AS_OF


def write(path: Path, reports: list[tuple[str, str, datetime]]) -> Path:
    events, statuses, times = zip(*reports, strict=True)
    columns = {
        "report_id": [str(i) for i in range(len(reports))],
        "transaction_event_id": list(events),
        "payer_account": [f"payer of {event}" for event in events],
        "reported_at": pa.array(times, pa.timestamp("us", "UTC")),
        "status": list(statuses),
    }
    pq.write_table(pa.table(columns), path)
    return path


def rows(*events: str) -> Rows:
    n = len(events)
    times = np.full(n, np.datetime64("2026-03-01", "us"))
    ids = pa.array(events)
    return Rows(ids, ids, times, np.ones(n), np.zeros((n, 1), dtype=np.float32))


@pytest.mark.parametrize(
    ("reports", "known", "in_the_end"),
    [
        ([("CONFIRMED", BEFORE)], True, True),
        ([("CONFIRMED", AFTER)], False, True),
        ([("OPEN", BEFORE)], False, False),
        ([("CONFIRMED", BEFORE), ("WITHDRAWN", BEFORE)], False, False),
        ([("CONFIRMED", BEFORE), ("WITHDRAWN", AFTER)], True, False),
        ([("REJECTED", BEFORE - timedelta(days=9)), ("CONFIRMED", BEFORE)], False, False),
        ([("CONFIRMED", AFTER), ("CONFIRMED", BEFORE)], True, True),
    ],
)
def test_labels_are_what_was_known(
    tmp_path: Path, reports: list[tuple[str, datetime]], known: bool, in_the_end: bool
) -> None:
    path = write(tmp_path / "r.parquet", [("e1", *report) for report in reports] + [("e9", "OPEN", BEFORE)])
    verdicts = read_verdicts(path)
    assert label(rows("e0", "e1"), verdicts, AS_OF).tolist() == [False, known]
    assert label(rows("e0", "e1"), verdicts).tolist() == [False, in_the_end]


def test_a_missing_column_and_an_unknown_status_are_named(tmp_path: Path) -> None:
    path = write(tmp_path / "r.parquet", [("e1", "MAYBE", BEFORE)])
    with pytest.raises(BadInput, match=r"'status' .* has 'MAYBE'"):
        read_verdicts(path)
    pq.write_table(pq.read_table(path).drop_columns(["reported_at"]), path)
    with pytest.raises(BadInput, match=r"--reports: .* has no column 'reported_at'"):
        read_verdicts(path)


def test_times_must_be_times(tmp_path: Path) -> None:
    path = write(tmp_path / "r.parquet", [("e1", "OPEN", BEFORE)])
    table = pq.read_table(path)
    table = table.set_column(table.column_names.index("reported_at"), "reported_at", pa.array(["yesterday"]))
    pq.write_table(table, path)
    with pytest.raises(BadInput, match=r"'reported_at' .* must be a timestamp"):
        read_verdicts(path)
