"""The columns of the files of history (DESIGN section 4, "Files"): their names, types, units and limits.

The one place that knows them. A wrong column is refused by name before any row is used; a wrong value is
its row's own matter: `features build` leaves that row out and counts it under the code that its dead letter
has, `vigia publish` sends it as it is, and the worker makes the dead letter.
"""

import difflib
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from features.errors import BadInput
from features.transaction import (
    DICT_SPANS,
    DICT_STATISTICS,
    DIRECTIONS,
    EARLIEST,
    INITIATIONS,
    ISPB,
    KEY_TYPES,
    LATEST,
    LONGEST_ID,
    LONGEST_KEY,
    LONGEST_NAME,
    MAX_AMOUNT,
    MAX_COUNT,
    PERSON_TYPES,
    REPORT_STATUSES,
    REPORT_TYPES,
    FraudReport,
    Transaction,
)

Kind = type[Transaction] | type[FraudReport]

MONEY = ("amount", "payer_balance")
TIMES = ("occurred_at", "reported_at", "payer_opened_at", "payee_opened_at", "dict_updated_at")
EVENT_TIMES = ("occurred_at", "reported_at")
FLAGS = ("device_registered",)
COUNTS = tuple(f"dict_{statistic}_{span}" for statistic in DICT_STATISTICS for span in DICT_SPANS)
ENUMS = {
    "payer_person_type": PERSON_TYPES,
    "payee_person_type": PERSON_TYPES,
    "payee_key_type": KEY_TYPES,
    "initiation": INITIATIONS,
    "direction": DIRECTIONS,
    "status": REPORT_STATUSES,
    "type": REPORT_TYPES,
}
PATTERNS = dict.fromkeys(("payer_ispb", "payee_ispb"), f"^{ISPB}$")
LONGEST = {
    **dict.fromkeys(("event_id", "report_id", "transaction_event_id"), LONGEST_ID),
    "payee_key": LONGEST_KEY,
}

_SATURATED = 10**12
"""BRL. More than any contract takes, and its centavos still fit 64 bits."""
_CENTAVO = 1e-4
"""Centavos. 1108.85 may be stored as 1108.8500000000001: what is this near to a whole centavo is one."""
_PLAIN = r"^-?[0-9]{1,25}(\.[0-9]{1,2})?$"


def required(kind: Kind) -> tuple[str, ...]:
    return tuple(name for name in kind._fields if name not in kind._field_defaults)


def check(path: Path, schema: pa.Schema, kind: Kind) -> None:
    """Raises BadInput that names every column that is missing, unknown, there twice, or of a wrong type."""
    names, known = schema.names, kind._fields
    problems = [f"required column `{name}` is missing" for name in required(kind) if name not in names]
    # A misspelt optional column would silently become unknown, so an unknown name is refused too.
    problems += [
        f"column `{name}` is not in the contract{_meant(name, names, known)}"
        for name in names
        if name not in known
    ]
    problems += [f"column `{n}` is there more than once" for n in sorted(set(names)) if names.count(n) > 1]
    problems += [problem for name in names if name in known and (problem := _type_problem(schema, name))]
    if problems:
        raise BadInput(f"{path}: {'; '.join(problems)}. Columns: {', '.join(known)}")


def _meant(name: str, names: list[str], known: tuple[str, ...]) -> str:
    """ "did you mean …" for a near match among the columns that the file does not have yet."""
    absent = [column for column in known if column not in names]
    lower = name.lower()
    near = [column for column in absent if lower.endswith(column) or column.endswith(lower)]
    near = near or difflib.get_close_matches(lower, absent, n=1, cutoff=0.6)
    return f" (did you mean `{near[0]}`?)" if near else ""


def _type_problem(schema: pa.Schema, name: str) -> str | None:
    kind = schema.field(schema.names.index(name)).type
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    text = pa.types.is_string(kind) or pa.types.is_large_string(kind)
    if name in MONEY:
        numeric = pa.types.is_decimal(kind) or pa.types.is_integer(kind) or pa.types.is_floating(kind)
        fits, wanted = numeric or text, "a decimal, a number or a string"
    elif name in TIMES:
        fits, wanted = pa.types.is_timestamp(kind), "a timestamp (UTC)"
    elif name in FLAGS:
        fits, wanted = pa.types.is_boolean(kind), "a boolean"
    elif name in COUNTS:
        fits, wanted = pa.types.is_integer(kind), "an integer"
    else:
        fits, wanted = text or pa.types.is_integer(kind), "a string"
    if fits or pa.types.is_null(kind):
        return None
    return f"column `{name}` is of type {kind}, expected {wanted}"


def plain(name: str, column: pa.ChunkedArray) -> pa.ChunkedArray:
    """The column of a checked file as one of few types: string, boolean, timestamp, integer, or (money) as
    it is."""
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if pa.types.is_null(column.type):
        return column.cast(_type_of_unknown(name))
    if name in (*FLAGS, *TIMES, *COUNTS) or (name in MONEY and not pa.types.is_large_string(column.type)):
        return column
    return column.cast(pa.string())


def _type_of_unknown(name: str) -> pa.DataType:
    """The plain type of a column that holds nothing but nulls."""
    if name in TIMES:
        return pa.timestamp("ms")
    if name in COUNTS:
        return pa.int64()
    return pa.bool_() if name in FLAGS else pa.string()


def in_units(name: str, column: pa.ChunkedArray) -> pa.ChunkedArray:
    """A plain column in our units: centavos, milliseconds, counts, strings.

    Money is null where it is no centavos; a count beyond 63 bits turns negative, and its row is refused.
    """
    if name in MONEY:
        return centavos(column)
    if name in TIMES:
        return column.cast(pa.timestamp("ms"), safe=False).cast(pa.int64())
    if name in COUNTS:
        return column.cast(pa.int64(), safe=False)
    return column


def centavos(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """BRL → int64 centavos, far beyond the limits saturated; null where they are not whole, or no number."""
    if pa.types.is_floating(column.type):
        return _centavos_of_floats(column)
    if pa.types.is_string(column.type):
        digits = pc.match_substring_regex(column, _PLAIN)
        column = pc.if_else(digits, column, pa.scalar(None, pa.string())).cast(pa.decimal128(38, 2))
    if pa.types.is_integer(column.type):
        column = column.cast(pa.decimal128(20, 0))
    whole = pc.equal(pc.round(column, 2), column)
    wide = column.cast(pa.decimal256(76, column.type.scale))
    high, low = (pa.scalar(Decimal(sign * _SATURATED)).cast(wide.type) for sign in (1, -1))
    near = pc.max_element_wise(pc.min_element_wise(wide, high, skip_nulls=False), low, skip_nulls=False)
    scaled = pc.multiply(
        near.cast(pa.decimal128(20, 2), safe=False), pa.scalar(Decimal(100), pa.decimal128(3, 0))
    )
    return pc.if_else(whole, scaled.cast(pa.int64()), None)


def _centavos_of_floats(column: pa.ChunkedArray) -> pa.ChunkedArray:
    if not pa.types.is_float64(column.type):  # by its own shortest text: 1108.85 in 32 bits is not 1108.84998
        column = column.cast(pa.string()).cast(pa.float64())
    limit = _SATURATED * 100.0
    scaled = np.clip(column.to_numpy(zero_copy_only=False) * 100, -limit, limit)
    whole = np.round(scaled)
    exact = np.abs(scaled - whole) < _CENTAVO  # False for NaN, which null is too
    return pa.chunked_array([pa.array(np.where(exact, whole, 0).astype(np.int64), mask=~exact)])


def problems(
    name: str, column: pa.ChunkedArray, converted: pa.ChunkedArray, needed: bool
) -> Iterator[tuple[str, Any]]:
    """(code, rows that have it as a mask) of a plain column; the first code that fits a row is its own."""
    if needed:
        yield "FIELD_MISSING", pc.is_null(column)
    if name in MONEY:
        yield from _money_problems(name, column, converted)
    elif name in EVENT_TIMES:
        yield "TIME_OUT_OF_RANGE", pc.or_(pc.less(converted, EARLIEST), pc.greater_equal(converted, LATEST))
    elif name in COUNTS:
        yield "FIELD_TYPE", pc.or_(pc.less(converted, 0), pc.greater(converted, MAX_COUNT))
    elif name in ENUMS:
        known = pc.is_in(column, value_set=pa.array(ENUMS[name]))
        yield "ENUM_UNKNOWN", pc.and_(pc.is_valid(column), pc.invert(known))
    elif name in PATTERNS:
        yield "FIELD_FORMAT", pc.invert(pc.match_substring_regex(column, PATTERNS[name]))
    elif name not in TIMES and name not in FLAGS:
        length = pc.utf8_length(column)
        longest = LONGEST.get(name, LONGEST_NAME)
        yield "FIELD_LENGTH", pc.or_(pc.less(length, 1), pc.greater(length, longest))


def _money_problems(
    name: str, column: pa.ChunkedArray, converted: pa.ChunkedArray
) -> Iterator[tuple[str, Any]]:
    lost = pc.and_(pc.is_valid(column), pc.is_null(converted))
    if pa.types.is_string(column.type):
        digits = pc.match_substring_regex(column, r"^-?[0-9]+\.[0-9]+$")
        yield "AMOUNT_NOT_A_NUMBER", pc.and_(lost, pc.invert(digits))
    elif pa.types.is_floating(column.type):
        yield "AMOUNT_NOT_A_NUMBER", pc.and_(lost, pc.is_nan(column))
    yield "AMOUNT_PRECISION", lost
    if name == "amount":
        yield "AMOUNT_NOT_POSITIVE", pc.less_equal(converted, 0)
        yield "AMOUNT_TOO_LARGE", pc.greater(converted, MAX_AMOUNT)
    else:
        yield "AMOUNT_TOO_LARGE", pc.greater_equal(converted, _SATURATED * 100)
