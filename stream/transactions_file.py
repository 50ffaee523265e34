"""A transactions file (DESIGN section 4, "Files") as messages, in the order of the file.

`features.columns` knows the columns and refuses wrong ones before anything is sent. Values are sent as they
are, bad ones too: the worker judges them and keeps them as dead letters. A null is left out of the message.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc

from features import columns
from features.errors import BadInput
from features.files import open_checked
from features.transaction import DICT_STATISTICS, Transaction

BATCH = 8_192

_HUNDREDTH = pa.scalar("0.01").cast(pa.decimal128(3, 2))
_SCALED_EXACTLY = 10**13
"""Centavos that are written anew; far larger ones are sent in their own words."""
_NESTED = {
    "payer": "payer_",
    "payee": "payee_",
    "device": "device_",
    "dict": "dict_",
}


@dataclass(frozen=True)
class TransactionsFile:
    """A file whose columns passed every check."""

    path: Path
    rows: int

    def messages(self) -> Iterator[tuple[bytes | None, bytes]]:
        """(key, value) of each row, in the file's order: the payer's account and the JSON transaction.

        Raises BadInput where the file turns out to be damaged.
        """
        with open_checked(self.path, Transaction) as file:
            try:
                for batch in file.iter_batches(batch_size=BATCH):
                    batch.validate(full=True)
                    yield from _messages(pa.Table.from_batches([batch]))
            except (pa.ArrowException, OSError) as error:
                raise BadInput(f"{self.path}: damaged ({str(error).splitlines()[0]})") from None


def open_transactions(path: Path) -> TransactionsFile:
    """Check the columns before anything is used. Raises BadInput that names what is wrong."""
    with open_checked(path, Transaction) as file:
        return TransactionsFile(path, file.metadata.num_rows)


def _messages(table: pa.Table) -> Iterator[tuple[bytes | None, bytes]]:
    texts = {
        name: _as_sent(name, columns.plain(name, table.column(name))).to_pylist()
        for name in table.column_names
    }
    whole = {name: values for name, values in texts.items() if not name.startswith(tuple(_NESTED.values()))}
    for group, prefix in _NESTED.items():
        whole[group] = _grouped(texts, prefix, len(table))
    if "device_id" not in texts:  # what is said of a device means nothing without it
        del whole["device"]
    names = list(whole)
    for account, row in zip(texts["payer_account"], zip(*whole.values(), strict=True), strict=True):
        message = {name: value for name, value in zip(names, row, strict=True) if value is not None}
        yield None if account is None else account.encode(), orjson.dumps(message)


def _grouped(texts: dict[str, list[Any]], prefix: str, rows: int) -> list[dict[str, Any] | None]:
    """The columns of one prefix as one object a row, without nulls; a device without its id is none."""
    mine = _under(texts, prefix)
    if prefix == "dict_":
        return _statistics(mine, rows)
    objects = _objects(mine, rows)
    if prefix == "device_":
        return [one if "id" in one else None for one in objects]
    return list(objects)


def _statistics(mine: dict[str, list[Any]], rows: int) -> list[dict[str, Any] | None]:
    """DICT's, each statistic an object of its own; none where nothing is known."""
    nested: dict[str, list[Any]] = {
        name: [one or None for one in _objects(_under(mine, f"{name}_"), rows)] for name in DICT_STATISTICS
    }
    if "updated_at" in mine:
        nested["updated_at"] = mine["updated_at"]
    return [one or None for one in _objects(nested, rows)]


def _under(texts: dict[str, list[Any]], prefix: str) -> dict[str, list[Any]]:
    return {name.removeprefix(prefix): values for name, values in texts.items() if name.startswith(prefix)}


def _objects(mine: dict[str, list[Any]], rows: int) -> list[dict[str, Any]]:
    """One object a row, without nulls."""
    names = list(mine)
    return [
        {name: value for name, value in zip(names, row, strict=True) if value is not None}
        for row in zip(*mine.values(), strict=True)
    ] or [{} for _ in range(rows)]


def _as_sent(name: str, column: pa.ChunkedArray) -> pa.ChunkedArray:
    if name in columns.TIMES:
        whole = column.cast(pa.timestamp(column.type.unit)).cast(pa.timestamp("ms"), safe=False)
        return pc.strftime(whole, format="%Y-%m-%dT%H:%M:%SZ")
    if name in columns.MONEY and not pa.types.is_string(column.type):
        return _money(column)
    return column


def _money(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """What is a whole centavo with two decimals, anything else in its own words."""
    centavos = columns.centavos(column)
    near = pc.less(pc.abs(centavos), _SCALED_EXACTLY)
    exact = pc.multiply(pc.if_else(near, centavos, None).cast(pa.decimal128(19, 0)), _HUNDREDTH)
    return pc.coalesce(exact.cast(pa.decimal128(18, 2)).cast(pa.string()), column.cast(pa.string()))
