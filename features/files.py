"""The Parquet files of history (DESIGN section 4, "Files"), read into the values that the state knows.

A wrong column stops the reading with its name; a row that the message contract would refuse is left out
and counted under the code that its dead letter would have, so that history and the live path agree.
"""

import difflib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from features.errors import BadInput
from features.transaction import (
    DIRECTIONS,
    EARLIEST,
    INITIATIONS,
    KEY_TYPES,
    LATEST,
    MAX_AMOUNT,
    PERSON_TYPES,
    REPORT_STATUSES,
    REPORT_TYPES,
    FraudReport,
    Transaction,
)

_CHUNK = 8192
_MONEY, _TIME, _FLAG = ("amount", "payer_balance"), ("occurred_at", "reported_at"), ("device_registered",)
_OPTIONAL_TIME = ("payer_opened_at", "payee_opened_at")
_ENUMS = {
    "payer_person_type": PERSON_TYPES,
    "payee_person_type": PERSON_TYPES,
    "payee_key_type": KEY_TYPES,
    "initiation": INITIATIONS,
    "direction": DIRECTIONS,
    "status": REPORT_STATUSES,
    "type": REPORT_TYPES,
}
_ID_LIMITS = {"event_id": 64, "report_id": 64, "transaction_event_id": 64}


@dataclass
class History:
    """A file's valid rows in event time (ties in the order of the file), and what was left out."""

    path: Path
    kind: type[Transaction] | type[FraudReport]
    table: pa.Table
    times: NDArray[np.int64]
    """Milliseconds, ascending."""
    rejected: Counter[str] = field(default_factory=Counter)

    def __len__(self) -> int:
        return len(self.times)

    def events(self) -> Iterator[Any]:
        """The rows as `kind`, in order."""
        missing = [None] * _CHUNK
        for start in range(0, len(self), _CHUNK):
            chunk = self.table.slice(start, _CHUNK)
            have = set(chunk.column_names)
            columns = [
                chunk.column(name).to_pylist() if name in have else missing for name in self.kind._fields
            ]
            yield from map(self.kind._make, zip(*columns, strict=False))


def read_transactions(path: Path) -> History:
    """Raises BadInput for a file that cannot be read or whose columns are not the contract's."""
    required = tuple(name for name in Transaction._fields if name not in Transaction._field_defaults)
    return _read(path, Transaction, required, "occurred_at")


def read_reports(path: Path) -> History:
    """Raises BadInput for a file that cannot be read or whose columns are not the contract's."""
    required = tuple(name for name in FraudReport._fields if name not in FraudReport._field_defaults)
    return _read(path, FraudReport, required, "reported_at")


def _read(
    path: Path, kind: type[Transaction] | type[FraudReport], required: tuple[str, ...], time: str
) -> History:
    try:
        table = pq.read_table(path)
    except (OSError, pa.ArrowInvalid) as error:
        raise BadInput(f"{path}: not a readable Parquet file: {str(error).splitlines()[0]}") from None
    _check_columns(path, table.column_names, kind._fields, required)
    table = pa.table({name: _column(path, name, table.column(name)) for name in table.column_names})
    valid, rejected = _valid_rows(table, required, time)
    table = table.filter(pa.array(valid))
    times = table.column(time).to_numpy()
    order = np.argsort(times, kind="stable")
    return History(path, kind, table.take(pa.array(order)).combine_chunks(), times[order], rejected)


def _check_columns(path: Path, names: list[str], known: tuple[str, ...], required: tuple[str, ...]) -> None:
    """A misspelt optional column would silently become unknown, so an unknown name is refused too."""
    for name in required:
        if name not in names:
            near = difflib.get_close_matches(name, [n for n in names if n not in known], 1, 0.5)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise BadInput(f"{path}: column {name!r} is missing{hint} (it has: {', '.join(names)})")
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, known, 1, 0.5)
            hint = f"; did you mean {near[0]!r}?" if near else f"; the columns are: {', '.join(known)}"
            raise BadInput(f"{path}: unknown column {name!r}{hint}")


def _column(path: Path, name: str, column: pa.ChunkedArray) -> pa.ChunkedArray:
    """The column in our units: centavos, milliseconds, strings."""
    try:
        if name in _MONEY:
            return _centavos(column)
        if name in _TIME or name in _OPTIONAL_TIME:
            if not pa.types.is_timestamp(column.type):
                raise BadInput(f"{path}: column {name!r} is {column.type}; it should be a timestamp in UTC")
            return column.cast(pa.timestamp("ms"), safe=False).cast(pa.int64())
        return column.cast(pa.bool_() if name in _FLAG else pa.string())
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise BadInput(f"{path}: column {name!r} ({column.type}): {str(error).splitlines()[0]}") from None


def _centavos(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """BRL as decimal, string, integer or float → int64 centavos; null where it has more than 2 decimals."""
    if pa.types.is_floating(column.type):
        scaled = column.to_numpy(zero_copy_only=False).astype(np.float64) * 100
        whole = np.round(scaled)
        # 1108.85 may be stored as 1108.8500000000001: what rounds to a centavo is one.
        exact = np.isfinite(scaled) & (np.abs(scaled - whole) < 1e-4) & (np.abs(whole) < 2**53)
        return pa.chunked_array([pa.array(np.where(exact, whole, 0).astype(np.int64), mask=~exact)])
    if pa.types.is_integer(column.type):
        return pc.multiply(column.cast(pa.int64()), 100)
    fine = column.cast(pa.decimal128(30, 10))
    scaled = pc.multiply(fine, pa.scalar(100, pa.decimal128(3, 0)))
    return pc.if_else(pc.equal(scaled, pc.floor(scaled)), scaled, None).cast(pa.int64())


def _valid_rows(
    table: pa.Table, required: tuple[str, ...], time: str
) -> tuple[NDArray[np.bool_], Counter[str]]:
    valid = np.ones(table.num_rows, dtype=np.bool_)
    rejected: Counter[str] = Counter()

    def reject(code: str, bad: Any) -> None:
        mask = np.asarray(pc.fill_null(bad, False)) & valid
        if count := int(mask.sum()):
            rejected[code] += count
            valid[mask] = False

    if "amount" in table.column_names:
        reject("AMOUNT_INVALID", pc.is_null(table.column("amount")))
        reject("AMOUNT_NOT_POSITIVE", pc.less_equal(table.column("amount"), 0))
        reject("AMOUNT_TOO_LARGE", pc.greater(table.column("amount"), MAX_AMOUNT))
    for name in required:
        reject("FIELD_MISSING", pc.is_null(table.column(name)))
        if pa.types.is_string(table.column(name).type) and name not in _ENUMS:
            length = pc.utf8_length(table.column(name))
            reject("FIELD_LENGTH", pc.or_(pc.less(length, 1), pc.greater(length, _ID_LIMITS.get(name, 128))))
    times = table.column(time)
    reject("OCCURRED_AT_INVALID", pc.or_(pc.less(times, EARLIEST), pc.greater_equal(times, LATEST)))
    for name, values in _ENUMS.items():
        if name in table.column_names:
            column = table.column(name)
            known = pc.is_in(column, value_set=pa.array(values))
            reject("ENUM_UNKNOWN", pc.and_(pc.is_valid(column), pc.invert(known)))
    return valid, rejected
