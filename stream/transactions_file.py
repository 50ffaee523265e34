"""The Parquet transactions file of DESIGN 4: checked as a whole, then read as messages.

Columns are those of the contract and no others: a column that is not known is refused, because a misspelt
optional one would silently become "unknown". `occurred_at` and the dates of opening are timestamps; one
without a time zone is taken as UTC. An amount may be a decimal, an integer, a string, or a float that is
within 1e-6 of a whole number of centavos. Ids may be strings or integers.
"""

import difflib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from features.errors import BadInput
from features.transaction import DIRECTIONS, INITIATIONS, KEY_TYPES, MAX_AMOUNT, PERSON_TYPES

REQUIRED = ("event_id", "occurred_at", "amount", "payer_account", "payee_account")
LENGTHS = {"event_id": 64, "payer_account": 128, "payee_account": 128}
ENUMERATIONS = {
    "payer_person_type": PERSON_TYPES,
    "payee_person_type": PERSON_TYPES,
    "payee_key_type": KEY_TYPES,
    "initiation": INITIATIONS,
    "direction": DIRECTIONS,
}
MONEY = ("amount", "payer_balance")
INSTANTS = ("occurred_at", "payer_opened_at", "payee_opened_at")
OPTIONAL = (
    *("payer_ispb", "payer_person_type", "payer_holder", "payer_opened_at", "payer_balance"),
    *("payee_ispb", "payee_person_type", "payee_holder", "payee_opened_at", "payee_key", "payee_key_type"),
    *("initiation", "device_id", "device_registered", "direction"),
)
COLUMNS = (*REQUIRED, *OPTIONAL)
# As text, the way times are compared here: RFC 3339 in UTC sorts like the instants.
EARLIEST_TIME, LATEST_TIME = "2000-01-01T00:00:00.000Z", "2100-01-01T00:00:00.000Z"
BATCH = 8_192
_EXACT = pa.decimal128(38, 10)


@dataclass(frozen=True)
class TransactionsFile:
    """A file that passed every check."""

    path: Path
    rows: int

    def messages(self) -> Iterator[tuple[bytes, bytes]]:
        """(key, value) of each row, in the file's order: the payer's account and the JSON transaction."""
        for batch in _batches(self.path):
            for row in pa.Table.from_batches([batch]).to_pylist():
                yield row["payer_account"].encode(), orjson.dumps(_nested(row))


def open_transactions(path: Path) -> TransactionsFile:
    """Check the whole file before anything of it is used. Raises BadInput that names the column and row."""
    try:
        schema = pq.read_schema(path)
    except FileNotFoundError:
        raise BadInput(f"{path}: there is no such file") from None
    except (pa.ArrowException, OSError) as error:
        raise BadInput(f"{path}: not a Parquet file ({str(error).splitlines()[0]})") from None
    _check_names(path, schema.names)
    rows = 0
    for batch in _batches(path):
        _check_values(path, batch, rows)
        rows += len(batch)
    return TransactionsFile(path, rows)


def _check_names(path: Path, names: list[str]) -> None:
    missing = [name for name in REQUIRED if name not in names]
    unknown = [name for name in names if name not in COLUMNS]
    repeated = sorted({name for name in names if names.count(name) > 1})
    problems = [f"required column `{name}` is missing" for name in missing]
    problems += [f"column `{name}` is not in the contract{_meant(name, names)}" for name in unknown]
    problems += [f"column `{name}` is there more than once" for name in repeated]
    if problems:
        raise BadInput(f"{path}: {'; '.join(problems)}. Columns: {', '.join(COLUMNS)}")


def _meant(name: str, names: list[str]) -> str:
    """ "did you mean …" for a near match among the columns that the file does not have yet."""
    absent = [known for known in COLUMNS if known not in names]
    lower = name.lower()
    near = [known for known in absent if lower.endswith(known) or known.endswith(lower)]
    near = near or difflib.get_close_matches(lower, absent, n=1, cutoff=0.6)
    return f" (did you mean `{near[0]}`?)" if near else ""


def _batches(path: Path) -> Iterator[pa.RecordBatch]:
    """The file's rows with every column in the type that messages are made from."""
    row = 0
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(batch_size=BATCH):
            columns = {name: _converted(path, name, batch[name], row) for name in batch.schema.names}
            yield pa.RecordBatch.from_pydict(columns)
            row += len(batch)


def _converted(path: Path, name: str, column: pa.Array, first_row: int) -> pa.Array:
    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if pa.types.is_null(kind):
        return pa.nulls(len(column), pa.string())
    if name in MONEY:
        return _money(path, name, column, first_row)
    if name in INSTANTS:
        return _instants(path, name, column)
    if name == "device_registered":
        _expect(pa.types.is_boolean(kind), path, name, kind, "a boolean")
        return column
    _expect(_is_text(kind) or pa.types.is_integer(kind), path, name, kind, "a string")
    return column.cast(pa.string())


def _money(path: Path, name: str, column: pa.Array, first_row: int) -> pa.Array:
    """Decimals with two places, as text."""
    kind = column.type
    numeric = pa.types.is_decimal(kind) or pa.types.is_integer(kind) or pa.types.is_floating(kind)
    _expect(numeric or _is_text(kind), path, name, kind, "a decimal, a number or a string")
    if pa.types.is_floating(kind):
        column = column.cast(pa.float64())
        cents = pc.round(column, 2)
        # 57.16 is not exact in binary; 57.165 is a third decimal.
        _refuse(
            path, name, pc.greater(pc.abs(pc.subtract(column, cents)), 1e-6), column, first_row, "2 decimals"
        )
        _refuse(path, name, pc.invert(pc.less(pc.abs(column), 1e12)), column, first_row, "an amount")
        return cents.cast(pa.decimal128(18, 2), safe=False).cast(pa.string())
    try:
        exact = column.cast(pa.string()).cast(_EXACT)
        return exact.cast(pa.decimal128(18, 2)).cast(pa.string())
    except pa.ArrowInvalid:
        return _money_by_row(path, name, column, first_row)


def _money_by_row(path: Path, name: str, column: pa.Array, first_row: int) -> pa.Array:
    """Only to say which row it is that no decimal with two places can hold."""
    for row in range(len(column)):
        try:
            column[row : row + 1].cast(pa.string()).cast(_EXACT).cast(pa.decimal128(18, 2))
        except pa.ArrowInvalid:
            _fail(path, name, first_row + row, column[row].as_py(), "an amount with at most 2 decimals")
    raise AssertionError("a column failed, and none of its rows")


def _instants(path: Path, name: str, column: pa.Array) -> pa.Array:
    """RFC 3339 in UTC with milliseconds, as text."""
    _expect(pa.types.is_timestamp(column.type), path, name, column.type, "a timestamp (UTC)")
    whole = column.cast(pa.timestamp(column.type.unit)).cast(pa.timestamp("ms"), safe=False)
    return pc.strftime(whole, format="%Y-%m-%dT%H:%M:%SZ")


def _check_values(path: Path, batch: pa.RecordBatch, first_row: int) -> None:
    for name in REQUIRED:
        _refuse(path, name, pc.is_null(batch[name]), batch[name], first_row, "a value")
    for name, longest in LENGTHS.items():
        length = pc.utf8_length(batch[name])
        wrong = pc.or_(pc.equal(length, 0), pc.greater(length, longest))
        _refuse(path, name, wrong, batch[name], first_row, f"1 to {longest} characters")
    times = batch["occurred_at"]
    wrong = pc.or_(pc.less(times, EARLIEST_TIME), pc.greater_equal(times, LATEST_TIME))
    _refuse(path, "occurred_at", wrong, times, first_row, "a time from 2000 to 2099")
    amount = batch["amount"].cast(pa.decimal128(18, 2))
    wrong = pc.or_(pc.less_equal(amount, 0), pc.greater(amount, MAX_AMOUNT // 100))
    _refuse(path, "amount", wrong, amount, first_row, f"more than 0 and at most {MAX_AMOUNT // 100}")
    for name, words in ENUMERATIONS.items():
        if name in batch.schema.names:
            known = pc.or_(pc.is_in(batch[name], pa.array(words)), pc.is_null(batch[name]))
            _refuse(path, name, pc.invert(known), batch[name], first_row, f"one of {', '.join(words)}")


def _refuse(
    path: Path, name: str, wrong: pa.BooleanArray, column: pa.Array, first_row: int, expected: str
) -> None:
    row = pc.index(wrong, True).as_py()
    if row >= 0:
        _fail(path, name, first_row + row, column[row].as_py(), expected)


def _fail(path: Path, name: str, row: int, found: object, expected: str) -> None:
    shown = "null" if found is None else repr(found if not isinstance(found, str) else found[:80])
    raise BadInput(f"{path}: column `{name}`, row {row + 1}: {shown}, expected {expected}")


def _expect(fits: bool, path: Path, name: str, found: pa.DataType, expected: str) -> None:
    if not fits:
        raise BadInput(f"{path}: column `{name}` is of type {found}, expected {expected}")


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _nested(row: dict[str, Any]) -> dict[str, Any]:
    """The JSON transaction of a flat row; what is null is left out."""
    known = {name: value for name, value in row.items() if value is not None}
    message = {name: known[name] for name in ("event_id", "occurred_at", "amount")}
    for party in ("payer", "payee"):
        prefix = party + "_"
        message[party] = {name[len(prefix) :]: known[name] for name in known if name.startswith(prefix)}
    device = {"id": known.get("device_id"), "registered": known.get("device_registered")}
    if device["id"] is not None:
        message["device"] = {name: value for name, value in device.items() if value is not None}
    return message | {name: known[name] for name in ("initiation", "direction") if name in known}
