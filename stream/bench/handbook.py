"""The Fraud Detection Handbook's payments (DESIGN section 13) as a history in our columns.

They are not part of the project: they are looked for in the folder $VIGIA_DATA, else in `../shared/data`.
"""

import os
from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from deploy.local import project_folder

FILE = "fraud-handbook/transactions_2018-04-01_2018-08-14.parquet"
REPORT_DELAY = timedelta(days=7)


def handbook_file() -> Path:
    """Where the data are on a machine that has them."""
    data = Path(os.environ.get("VIGIA_DATA") or project_folder().parent.parent / "shared" / "data")
    return data / FILE


def bench_folder() -> Path:
    """Where the benches keep what is slow to make; git ignores it."""
    folder = project_folder() / "bench"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def write_history(handbook: Path, folder: Path) -> tuple[Path, Path]:
    """The Handbook's payments and a CONFIRMED report 7 days after each fraud, in our columns (DESIGN 4)."""
    paths = folder / "handbook-transactions.parquet", folder / "handbook-reports.parquet"
    for path, table in zip(paths, history(handbook), strict=True):
        part = path.with_name(path.name + ".part")
        pq.write_table(table, part)
        part.replace(path)  # whole at once: another run may be reading it
    return paths


def history(handbook: Path) -> tuple[pa.Table, pa.Table]:
    """Transactions and reports."""
    source = pq.read_table(handbook)
    transactions = pa.table(
        {
            "event_id": _named("hb-", source.column("TRANSACTION_ID")),
            "occurred_at": source.column("TX_DATETIME").cast(pa.timestamp("ms", "UTC")),
            "amount": source.column("TX_AMOUNT"),
            "payer_account": _named("c-", source.column("CUSTOMER_ID")),
            "payee_account": _named("t-", source.column("TERMINAL_ID")),
        }
    )
    frauds = transactions.filter(pc.equal(source.column("TX_FRAUD"), 1))
    reports = pa.table(
        {
            "report_id": _named("report-", frauds.column("event_id")),
            "transaction_event_id": frauds.column("event_id"),
            "payer_account": frauds.column("payer_account"),
            "payee_account": frauds.column("payee_account"),
            "reported_at": pc.add(frauds.column("occurred_at"), pa.scalar(REPORT_DELAY)),
            "status": pa.repeat("CONFIRMED", len(frauds)),
            "type": pa.repeat("OTHER", len(frauds)),
        }
    )
    return transactions, reports


def _named(prefix: str, column: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.binary_join_element_wise(prefix, column.cast(pa.string()), "")
