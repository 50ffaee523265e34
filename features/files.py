"""The Parquet files of history (DESIGN section 4, "Files"), read into the values that the state knows.

A wrong column stops the reading with its name; a row that the message contract would refuse is left out
and counted under the code that its dead letter would have, so that history and the live path agree.
"""

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

from features import columns
from features.errors import BadInput
from features.transaction import FraudReport, Transaction

_CHUNK = 8192


@dataclass
class History:
    """A file's valid rows in event time (ties in the order of the file), and what was left out."""

    path: Path
    kind: columns.Kind
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
            values = [
                chunk.column(name).to_pylist() if name in have else missing for name in self.kind._fields
            ]
            yield from map(self.kind._make, zip(*values, strict=False))


def open_checked(path: Path, kind: columns.Kind) -> pq.ParquetFile:
    """A file whose columns are the contract's. Raises BadInput that names what is wrong."""
    try:
        file = pq.ParquetFile(path)
    except FileNotFoundError:
        raise BadInput(f"{path}: there is no such file") from None
    except (pa.ArrowException, OSError) as error:
        raise BadInput(f"{path}: not a Parquet file ({str(error).splitlines()[0]})") from None
    columns.check(path, file.schema_arrow, kind)
    return file


def read_transactions(path: Path) -> History:
    """Raises BadInput for a file that cannot be read or whose columns are not the contract's."""
    return _read(path, Transaction, "occurred_at")


def read_reports(path: Path) -> History:
    """Raises BadInput for a file that cannot be read or whose columns are not the contract's."""
    return _read(path, FraudReport, "reported_at")


def _read(path: Path, kind: columns.Kind, time: str) -> History:
    with open_checked(path, kind) as file:
        try:
            raw = file.read()
            raw.validate(full=True)
        except (pa.ArrowException, OSError) as error:
            raise BadInput(f"{path}: damaged ({str(error).splitlines()[0]})") from None
    plain = {name: columns.plain(name, raw.column(name)) for name in raw.column_names}
    table = pa.table({name: columns.in_units(name, column) for name, column in plain.items()})
    valid, rejected = _valid_rows(plain, table, kind)
    table = _without_orphans(table).filter(pa.array(valid))
    times = table.column(time).to_numpy()
    order = np.argsort(times, kind="stable")
    return History(path, kind, table.take(pa.array(order)).combine_chunks(), times[order], rejected)


def _valid_rows(
    plain: dict[str, pa.ChunkedArray], table: pa.Table, kind: columns.Kind
) -> tuple[NDArray[np.bool_], Counter[str]]:
    valid = np.ones(table.num_rows, dtype=np.bool_)
    rejected: Counter[str] = Counter()
    needed = columns.required(kind)
    for name in kind._fields:
        if name not in plain:
            continue
        for code, bad in columns.problems(name, plain[name], table.column(name), name in needed):
            mask = np.asarray(pc.fill_null(bad, False)) & valid
            if count := int(mask.sum()):
                rejected[code] += count
                valid[mask] = False
    return valid, rejected


def _without_orphans(table: pa.Table) -> pa.Table:
    """Whether a device is registered means nothing without the device; a message can't say it either."""
    if "device_registered" not in table.column_names:
        return table
    at = table.column_names.index("device_registered")
    known = pc.is_valid(table.column("device_id")) if "device_id" in table.column_names else False
    flags = pc.if_else(known, table.column(at), pa.scalar(None, pa.bool_()))
    return table.set_column(at, "device_registered", flags)
