"""Records of the topics as the archive's tables, one for each UTC day (and length of vector)."""

import base64
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from confluent_kafka import Message

from features.catalog import FEATURES_VERSION, NAMES
from models.archive_files import DECISIONS, FEATURES, REPORTS
from stream.archive.folder import Part
from stream.contract import AppliedReportMessage, DecisionMessage, FeatureLogMessage
from stream.dead_letter import Rejected
from stream.kafka_client import headers_of
from stream.kafka_log import record
from stream.messages import decode_report

Row = Mapping[str, Any]

_WHEN = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
_REAIS = re.compile(r"\d{1,16}\.\d{2}")

_TIME, _MONEY = pa.timestamp("ms", "UTC"), pa.decimal128(18, 2)
_LOG = [("log_partition", pa.int32()), ("log_offset", pa.int64())]
_SOURCE = [("source_partition", pa.int32()), ("source_offset", pa.int64())]

_KEYS = [
    ("event_id", pa.string()),
    ("occurred_at", _TIME),
    ("payer_account", pa.string()),
    ("payee_account", pa.string()),
    ("amount", _MONEY),
]
_LOGGED = [
    ("decision", pa.string()),
    ("propensity", pa.float64()),
    ("reapplied", pa.bool_()),
    ("recorded_at", _TIME),
    *_SOURCE,
    *_LOG,
]
_DECISION = [
    *_KEYS,
    ("decision", pa.string()),
    ("score", pa.float64()),
    ("reasons", pa.list_(pa.string())),
    ("model", pa.string()),
    ("policy", pa.string()),
    ("features_version", pa.string()),
    ("recorded_at", _TIME),
    *_SOURCE,
    *_LOG,
]
_REPORT = [
    *((name, pa.string()) for name in ("report_id", "transaction_event_id", "payer_account", "payer_ispb")),
    *((name, pa.string()) for name in ("payee_account", "payee_ispb", "device_id", "payee_key")),
    ("reported_at", _TIME),
    ("status", pa.string()),
    ("type", pa.string()),
    ("recorded_at", _TIME),
    *_LOG,
]


class Skipped(Exception):
    """This record is not archived; the text says why, for a count."""


@dataclass(frozen=True)
class Kind:
    """One folder of the archive, and how a record of its topic becomes a row of a day."""

    name: str
    topic: str
    time: str
    """The column whose UTC day the row goes to."""
    row: Callable[[Message, bytes], Row]
    """(message, group) → row. Raises Skipped."""
    table: Callable[[Sequence[Row]], pa.Table]

    def parts(self, rows: Sequence[Row]) -> Iterator[Part]:
        """In the order of the log within each."""
        groups: dict[tuple[str, ...], list[Row]] = defaultdict(list)
        for row in rows:
            groups[row[self.time][:10], *_form(row)].append(row)
        for (day, *_), group in sorted(groups.items(), key=lambda item: item[0]):
            yield Part(day, self.table(group))


def _form(row: Row) -> tuple[str, ...]:
    """What has to be alike within a file of vectors."""
    return (row["features_version"], str(len(row["vector"]))) if "vector" in row else ()


def _vector(message: Message, group: bytes) -> Row:
    headers = _headers(message, group)
    logged = FeatureLogMessage.model_validate_json(message.value() or b"").root
    if isinstance(logged, AppliedReportMessage):
        raise Skipped("reports as applied")
    _require_ours(logged.occurred_at, logged.amount)
    vector = base64.b64decode(logged.vector, validate=True)
    if not vector or len(vector) % 4:
        raise ValueError("no vector of float32")
    return {
        **logged.model_dump(),
        **_place(message, headers),
        "vector": vector,
        "reapplied": "reapplied" in headers,
    }


def _decision(message: Message, group: bytes) -> Row:
    headers = _headers(message, group)
    decision = DecisionMessage.model_validate_json(message.value() or b"")
    _require_ours(decision.occurred_at, decision.amount)
    return {
        **decision.model_dump(),
        **_place(message, headers),
        "reasons": [reason.code for reason in decision.reasons],
    }


def _require_ours(occurred_at: str, amount: str) -> None:
    """Raises ValueError for what this program does not write: it would fail as a column, or as a folder."""
    if not (_WHEN.fullmatch(occurred_at) and _REAIS.fullmatch(amount)):
        raise ValueError("a time or an amount is not as this program writes it")
    np.datetime64(occurred_at[:-1], "ms")


def _report(message: Message, _: bytes) -> Row:
    found = record("fraud-reports", message)
    try:
        report = decode_report(found.value, found.timestamp)._asdict()
    except Rejected:
        raise Skipped("reports that the contract refuses") from None
    report["reported_at"] = _text(report["reported_at"])
    return {**report, **_place(message, None)}


def _headers(message: Message, group: bytes) -> dict[str, bytes]:
    headers: dict[str, Any] = dict(headers_of(message))
    if headers.get("group") != group:
        raise Skipped("of other groups")
    return headers


def _place(message: Message, headers: Mapping[str, bytes] | None) -> Row:
    place = {
        "recorded_at": message.timestamp()[1],
        "log_partition": message.partition(),
        "log_offset": message.offset(),
    }
    if headers is None:
        return place
    return {
        **place,
        "source_partition": int(headers["source_partition"]),
        "source_offset": int(headers["source_offset"]),
    }


def _text(ms: int) -> str:
    return str(np.datetime64(ms, "ms")) + "Z"


def _table(columns: Sequence[tuple[str, pa.DataType]], rows: Sequence[Row]) -> pa.Table:
    return pa.table({name: _column(kind, [row.get(name) for row in rows]) for name, kind in columns})


def _column(kind: pa.DataType, values: list[Any]) -> pa.Array:
    if kind == _TIME and isinstance(values[0], str):
        plain = [value.removesuffix("Z") for value in values]
        return pa.array(np.array(plain, dtype="datetime64[ms]")).cast(_TIME)
    return pa.array(values).cast(kind) if kind == _MONEY else pa.array(values, kind)


def _vectors(rows: Sequence[Row]) -> pa.Table:
    """Columns by name, as `features build` has them; vectors of other features as they came."""
    version, matrix = rows[0]["features_version"], _matrix(rows)
    table = _table(_KEYS, rows)
    if version == FEATURES_VERSION and matrix.shape[1] == len(NAMES):
        for i, name in enumerate(NAMES):
            table = table.append_column(name, pa.array(np.ascontiguousarray(matrix[:, i])))
    else:
        flat = pa.array(matrix.ravel())
        table = table.append_column("vector", pa.FixedSizeListArray.from_arrays(flat, matrix.shape[1]))
    logged = _table(_LOGGED, rows)
    for name in logged.column_names:
        table = table.append_column(name, logged.column(name))
    return table.replace_schema_metadata({"features_version": version})


def _matrix(rows: Sequence[Row]) -> Any:
    return np.frombuffer(b"".join(row["vector"] for row in rows), dtype="<f4").reshape(len(rows), -1)


ARCHIVED = (
    Kind(FEATURES, "feature-log", "occurred_at", _vector, _vectors),
    Kind(DECISIONS, "decisions", "occurred_at", _decision, lambda rows: _table(_DECISION, rows)),
    Kind(REPORTS, "fraud-reports", "reported_at", _report, lambda rows: _table(_REPORT, rows)),
)
