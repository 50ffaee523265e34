"""Spans of a features file, or of an archive, as matrices. The columns are those of DESIGN 4, "Files"."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
from numpy.typing import NDArray

from features.errors import BadInput
from models.archive_files import FEATURES, REPORTS, archived_files

log = logging.getLogger("vigia.dataset")

Times = NDArray[np.datetime64]  # microseconds, UTC
_BATCH = 32_768
_KEYS = ["event_id", "payer_account", "occurred_at", "amount"]
_PREFERENCE = ["reapplied", "source_partition", "source_offset", "log_offset"]
_LOGGED = ["decision", "propensity", *_PREFERENCE]
"""What an archive has beside the columns of a features file."""


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
    """n transactions: `vectors` float32 (n, k), amounts in BRL.

    In the order of a features file; of an archive each event once, by time and id. `decision` (n, null where
    unknown) and `propensity` (n, that it was to be let through; NaN where unknown) are None for a file of
    `features build`, for nobody decided there.
    """

    event_id: pa.Array
    payer_account: pa.Array
    occurred_at: Times
    amount: NDArray[np.float64]
    vectors: NDArray[np.float32]
    decision: pa.Array | None = None
    propensity: NDArray[np.float64] | None = None

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
            None if self.decision is None else self.decision.filter(chosen),
            None if self.propensity is None else self.propensity[mask],
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
    wanted = within(source, span.start, span.end)
    archived = all(name in source.schema.names for name in _LOGGED)
    kept = [*_KEYS, *(_LOGGED if archived else ())]
    keys = pa.Table.from_batches(
        _batches(source, kept, wanted), source.schema.empty_table().select(kept).schema
    )
    if keys.num_rows == 0:
        raise BadInput(f"{path}: no transactions from {span}; choose days that the file holds")
    order = _once_in_order(keys) if archived else np.arange(keys.num_rows)
    vectors = _vectors(source, names, wanted, order, keys.num_rows)
    keys = keys.take(pa.array(order)) if archived else keys
    return Rows(
        _text(keys.column("event_id")),
        _text(keys.column("payer_account")),
        as_times(keys.column("occurred_at")),
        _amounts(path, keys.column("amount")),
        vectors,
        _text(keys.column("decision")) if archived else None,
        keys.column("propensity").to_numpy().astype(np.float64) if archived else None,
    )


def _vectors(
    source: ds.Dataset, names: Sequence[str], wanted: ds.Expression, order: NDArray[np.int64], n: int
) -> NDArray[np.float32]:
    """Row i is the source's row `order[i]` of its `n`."""
    places = np.full(n, len(order))  # of what is left out: one row behind the last
    places[order] = np.arange(len(order))
    vectors = np.empty((len(order) + 1, len(names)), dtype=np.float32)
    at = 0
    for batch in _batches(source, names, wanted):
        here = places[at : at + len(batch)]
        for column, name in enumerate(names):
            vectors[here, column] = batch.column(name).to_numpy(zero_copy_only=False)
        at += len(batch)
    return vectors[:-1]


def _once_in_order(keys: pa.Table) -> NDArray[np.int64]:
    """Each event once, by time and id: the log may tell one again after a crash.

    The vector that made the decision is preferred to one that was made anew (`reapplied`), the first source
    record to a replay of it, and of its tellings the last: an earlier one's decision may never have been
    delivered.
    """
    numbered = keys.select(["event_id", "occurred_at", *_LOGGED]).append_column(
        "row", pa.array(np.arange(len(keys)))
    )
    by_event = numbered.sort_by(
        [(n, "descending" if n == "log_offset" else "ascending") for n in ("event_id", *_PREFERENCE)]
    )
    events = by_event.column("event_id").combine_chunks()
    first = np.ones(len(keys), dtype=np.bool_)
    first[1:] = pc.not_equal(events[1:], events[:-1]).to_numpy(zero_copy_only=False)
    once = by_event.filter(pa.array(first)).sort_by([("occurred_at", "ascending"), ("event_id", "ascending")])
    return once.column("row").to_numpy()  # type: ignore[no-any-return]


def open_features(path: Path, names: Sequence[str], features_version: str) -> ds.Dataset:
    """The opened features file, or those files of a folder that have these features (it says so).

    Raises BadInput as `read_rows` does, before any row is read.
    """
    source = open_parquet(path, "--features", _KEYS)
    versions = {part.path: _version(part.physical_schema) for part in source.get_fragments()}
    kept = [file for file, version in versions.items() if version == features_version]
    if not kept:
        found = ", ".join(sorted(set(versions.values())))
        raise BadInput(
            f"--features: {path} was built with features {found}, this version has {features_version}; "
            "build it again with `vigia features build`"
        )
    if len(kept) < len(versions):
        others = ", ".join(sorted(set(versions.values()) - {features_version}))
        log.warning(
            "%s: %d of %d files have features %s, not %s, and are left out",
            path, len(versions) - len(kept), len(versions), others, features_version,
        )  # fmt: skip
        source = ds.dataset(kept, format="parquet")
    require_columns(source, path, "--features", names)
    return source


def open_parquet(path: Path, option: str, columns: Sequence[str]) -> ds.Dataset:
    """A Parquet file, a folder of such or an archive, with these columns and UTC times.

    Raises BadInput that names option and column.
    """
    if not path.exists():
        raise BadInput(f"{option}: {path} does not exist")
    try:
        files = archived_files(path, REPORTS if option == "--reports" else FEATURES)
        if files == []:
            raise BadInput(f"{option}: {path} holds none yet; run `vigia features archive`")
        source = ds.dataset(path if files is None else list(map(str, files)), format="parquet")
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
    wanted = within(source, since, before) & ds.field("event_id").isin(pa.array(event_ids, pa.string()))
    return set(source.to_table(columns=["event_id"], filter=wanted).column("event_id").to_pylist())


def within(source: ds.Dataset, start: datetime, end: datetime) -> ds.Expression:
    """Rows that occurred within [start, end)."""
    kind = source.schema.field("occurred_at").type
    low, high = (pa.scalar(to_numpy_time(moment)).cast(pa.timestamp(kind.unit)) for moment in (start, end))
    occurred_at = ds.field("occurred_at")
    return (occurred_at >= pa.scalar(low.value, kind)) & (occurred_at < pa.scalar(high.value, kind))


def _batches(source: ds.Dataset, columns: Sequence[str], wanted: ds.Expression) -> Iterator[pa.RecordBatch]:
    """Batches in the order of the file; little read ahead, for the matrix itself is large."""
    return source.scanner(  # type: ignore[no-any-return]
        columns=list(columns), filter=wanted, batch_size=_BATCH, batch_readahead=1, fragment_readahead=1
    ).to_batches()


def _version(schema: pa.Schema) -> str:
    found: bytes = (schema.metadata or {}).get(b"features_version", b"none")
    return found.decode()


def _text(column: pa.ChunkedArray) -> pa.Array:
    joined = column.cast(pa.string()).combine_chunks()
    return joined if isinstance(joined, pa.Array) else pa.concat_arrays(joined.chunks)


def _amounts(path: Path, column: pa.ChunkedArray) -> NDArray[np.float64]:
    try:
        amount: NDArray[np.float64] = pc.cast(column, pa.float64()).to_numpy()
    except pa.ArrowInvalid as error:
        raise BadInput(f"--features: column 'amount' of {path} is not a number in BRL ({error})") from None
    if wrong := len(amount) - int(((amount > 0) & (amount < np.inf)).sum()):  # a null reads as NaN
        raise BadInput(
            f"--features: column 'amount' of {path}: {wrong:,} of {len(amount):,} are unknown or not above "
            "0; build the features again from payments that have amounts"
        )
    return amount
