"""Spans of a features file as matrices. The columns are those of DESIGN section 4, "Files"."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
from numpy.typing import NDArray

from features.errors import BadInput

Times = NDArray[np.datetime64]  # microseconds, UTC
_BATCH = 32_768


@dataclass(frozen=True, slots=True)
class Span:
    """Whole UTC days from `first` to `last`, both included."""

    first: date
    last: date

    @property
    def start(self) -> datetime:
        """The first instant."""
        return start_of(self.first)

    @property
    def end(self) -> datetime:
        """The first instant after it."""
        return start_of(self.last + timedelta(days=1))

    def __str__(self) -> str:
        return f"{self.first} to {self.last}"


@dataclass(frozen=True, slots=True)
class Rows:
    """n transactions in the order of the file: `vectors` float32 (n, k), amounts in BRL."""

    event_id: pa.Array
    payer_account: pa.Array
    occurred_at: Times
    amount: NDArray[np.float64]
    vectors: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.amount)

    @property
    def day(self) -> Times:
        """The UTC day of each row, (n,) datetime64[D]."""
        return self.occurred_at.astype("datetime64[D]")

    def take(self, mask: NDArray[np.bool_]) -> "Rows":
        """The rows where `mask` (n,) holds."""
        chosen = pa.array(mask)
        return Rows(
            self.event_id.filter(chosen),
            self.payer_account.filter(chosen),
            self.occurred_at[mask],
            self.amount[mask],
            self.vectors[mask],
        )


def start_of(day: date) -> datetime:
    """Midnight UTC at which `day` begins."""
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def to_numpy_time(moment: datetime) -> np.datetime64:
    """An aware datetime as numpy's UTC microseconds."""
    return np.datetime64(moment.astimezone(UTC).replace(tzinfo=None), "us")


def read_rows(path: Path, span: Span, names: Sequence[str], features_version: str) -> Rows:
    """The rows of `span`; only the needed columns and row groups are read.

    Raises BadInput when the file, a column or the span's rows are missing, or when the file was built with
    other features than `features_version`.
    """
    source = open_features(path, names, features_version)
    wanted = _within(source, span.start, span.end)
    n = source.count_rows(filter=wanted)
    if n == 0:
        raise BadInput(f"{path}: no transactions from {span}; choose days that the file holds")
    vectors = np.empty((n, len(names)), dtype=np.float32)
    parts: dict[str, list[Any]] = {"event_id": [], "payer_account": [], "occurred_at": [], "amount": []}
    at = 0
    for batch in _batches(source, [*parts, *names], wanted):
        for column, name in enumerate(names):
            vectors[at : at + len(batch), column] = batch.column(name).to_numpy(zero_copy_only=False)
        for name, part in parts.items():
            part.append(batch.column(name))
        at += len(batch)
    return Rows(
        _text(parts["event_id"]),
        _text(parts["payer_account"]),
        as_times(pa.chunked_array(parts["occurred_at"])),
        _amounts(path, parts["amount"]),
        vectors,
    )


def open_features(path: Path, names: Sequence[str], features_version: str) -> ds.Dataset:
    """The opened features file. Raises BadInput as `read_rows` does, before any row is read."""
    source = open_parquet(path, "--features", ["event_id", "occurred_at", "payer_account", "amount"])
    found = (source.schema.metadata or {}).get(b"features_version", b"none").decode()
    if found != features_version:
        raise BadInput(
            f"--features: {path} was built with features {found}, this version has {features_version}; "
            "build it again with `vigia features build`"
        )
    require_columns(source, path, "--features", names)
    return source


def open_parquet(path: Path, option: str, columns: Sequence[str]) -> ds.Dataset:
    """A Parquet file that has these columns and UTC times. Raises BadInput that names option and column."""
    if not path.exists():
        raise BadInput(f"{option}: {path} does not exist")
    try:
        source = ds.dataset(path, format="parquet")
    except (pa.ArrowInvalid, OSError) as error:
        raise BadInput(f"{option}: {path} is not a Parquet file ({str(error).splitlines()[0]})") from None
    require_columns(source, path, option, columns)
    for name in ("occurred_at", "reported_at"):
        if name in columns and not pa.types.is_timestamp(source.schema.field(name).type):
            raise BadInput(f"{option}: column {name!r} of {path} must be a timestamp in UTC")
    return source


def require_columns(source: ds.Dataset, path: Path, option: str, columns: Sequence[str]) -> None:
    """Raises BadInput that names the first missing column."""
    missing = [name for name in columns if name not in source.schema.names]
    if missing:
        more = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
        raise BadInput(f"{option}: {path} has no column {missing[0]!r}{more}")


def as_times(column: pa.ChunkedArray) -> Times:
    """A timestamp column, of whatever unit, as numpy's UTC microseconds."""
    times: Times = column.cast(pa.timestamp("us", column.type.tz), safe=False).to_numpy()
    return times.astype("datetime64[us]")


def occurred_within(path: Path, event_ids: Sequence[str], since: datetime, before: datetime) -> set[str]:
    """Those of `event_ids` that the features file has within [since, before)."""
    source = open_parquet(path, "--features", ["event_id", "occurred_at"])
    wanted = _within(source, since, before) & ds.field("event_id").isin(pa.array(event_ids, pa.string()))
    return set(source.to_table(columns=["event_id"], filter=wanted).column("event_id").to_pylist())


def _within(source: ds.Dataset, start: datetime, end: datetime) -> ds.Expression:
    kind = source.schema.field("occurred_at").type
    low, high = (pa.scalar(to_numpy_time(moment)).cast(pa.timestamp(kind.unit)) for moment in (start, end))
    occurred_at = ds.field("occurred_at")
    return (occurred_at >= pa.scalar(low.value, kind)) & (occurred_at < pa.scalar(high.value, kind))


def _batches(source: ds.Dataset, columns: Sequence[str], wanted: ds.Expression) -> Iterator[pa.RecordBatch]:
    """Batches in the order of the file; little read ahead, for the matrix itself is large."""
    return source.scanner(  # type: ignore[no-any-return]
        columns=list(columns), filter=wanted, batch_size=_BATCH, batch_readahead=1, fragment_readahead=1
    ).to_batches()


def _text(chunks: list[Any]) -> pa.Array:
    joined = pa.chunked_array(chunks).cast(pa.string()).combine_chunks()
    return joined if isinstance(joined, pa.Array) else pa.concat_arrays(joined.chunks)


def _amounts(path: Path, chunks: list[Any]) -> NDArray[np.float64]:
    try:
        amount: NDArray[np.float64] = pc.cast(pa.chunked_array(chunks), pa.float64()).to_numpy()
    except pa.ArrowInvalid as error:
        raise BadInput(f"--features: column 'amount' of {path} is not a number in BRL ({error})") from None
    return amount
