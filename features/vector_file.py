"""The features file (DESIGN section 4, "Files"): written in row groups, joined from parts, moved in whole."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from features.catalog import FEATURES_VERSION, NAMES
from features.errors import BadInput
from features.transaction import Transaction

ROW_GROUP = 32_768
"""Rows, about: a row group ends with the batch that reaches it, or with the file."""

SCHEMA = pa.schema(
    [
        ("event_id", pa.string()),
        ("occurred_at", pa.timestamp("ms", "UTC")),
        ("payer_account", pa.string()),
        ("payee_account", pa.string()),
        ("amount", pa.decimal128(18, 2)),
        *((name, pa.float32()) for name in NAMES),
    ],
    metadata={"features_version": FEATURES_VERSION},
)

_KEPT: dict[str, Any] = {"compression": "zstd"}
_PASSING: dict[str, Any] = {"compression": "lz4", "use_dictionary": False, "write_statistics": False}
"""A part is read once, soon: what is quick to write."""


class VectorWriter:
    """Rows to `path`. It is a whole Parquet file, and on the disk, once the block ends without an error."""

    def __init__(self, path: Path, *, part: bool = False) -> None:
        self._path, self._options = path, _PASSING if part else _KEPT
        self._events: list[Transaction] = []
        self._matrices: list[NDArray[np.float32]] = []

    def __enter__(self) -> "VectorWriter":
        try:
            self._file = pq.ParquetWriter(self._path, SCHEMA, **self._options)
        except OSError as error:
            raise BadInput(f"--out: {self._path} can't be written: {error.strerror}") from None
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            self._flush()
        self._file.close()
        if kind is None:
            sync(self._path)

    def add(self, events: Sequence[Transaction], matrix: NDArray[np.float32]) -> None:
        """Rows in order; `matrix` is (events, catalog.NAMES)."""
        self._events += events
        self._matrices.append(matrix)
        if len(self._events) >= ROW_GROUP:
            self._flush()

    def _flush(self) -> None:
        if self._events:
            self._file.write_table(_table(self._events, np.concatenate(self._matrices)))
            self._events, self._matrices = [], []


def _table(events: list[Transaction], matrix: NDArray[np.float32]) -> pa.Table:
    centavos = pa.array([e.amount for e in events], pa.int64()).cast(pa.decimal128(19, 0))
    hundredth = pa.scalar("0.01").cast(pa.decimal128(3, 2))
    keys = [
        pa.array([e.event_id for e in events]),
        pa.array([e.occurred_at for e in events], pa.timestamp("ms", "UTC")),
        pa.array([e.payer_account for e in events]),
        pa.array([e.payee_account for e in events]),
        pc.multiply(centavos, hundredth).cast(pa.decimal128(18, 2)),
    ]
    columns = [pa.array(np.ascontiguousarray(matrix[:, i])) for i in range(matrix.shape[1])]
    return pa.Table.from_arrays([*keys, *columns], schema=SCHEMA)


def join(parts: Sequence[Path], path: Path) -> None:
    """The parts' row groups, one after another, as one file; no more than one of them is in memory."""
    with pq.ParquetWriter(path, SCHEMA, **_KEPT) as file:
        for part in parts:
            with pq.ParquetFile(part) as source:
                for group in range(source.num_row_groups):
                    file.write_table(source.read_row_group(group))
    sync(path)


def check_out(out: Path) -> None:
    """Raises BadInput if there is no place for the file."""
    if out.is_dir() or not out.parent.is_dir():
        raise BadInput(f"--out: {out} should be a file in a folder that exists")


@contextmanager
def in_place(out: Path) -> Iterator[Path]:
    """A path beside `out`: what is written there replaces `out` whole, if the block ends without an error."""
    beside = out.with_name(out.name + ".part")
    try:
        yield beside
        beside.replace(out)
        sync(out.parent)
    finally:
        beside.unlink(missing_ok=True)


def sync(path: Path) -> None:
    """Returns once the file, or the folder's list of files, is on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
