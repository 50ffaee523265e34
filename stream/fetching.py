"""What aiokafka hands over of its fetches: bounded in bytes, readable whatever it holds, without false gaps.

The one place that reaches into aiokafka's fetcher (docs/adr/0009):

- It unpacks all that was fetched at once, and a compressed fetch may hold a thousand times its size.
- One header whose name is not UTF-8 would end every worker, again after each restart. Such a record counts
  as one without headers, here and where confluent-kafka reads it (`kafka_client.headers_of`).
- Aborted transactions and markers take offsets that no record has. Whoever sees the records alone would
  have to look each of these holes up in the log; the fetcher knows that it passed over nothing else.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from aiokafka.consumer import fetcher
from aiokafka.errors import CorruptRecordException
from aiokafka.record.default_records import _DefaultRecordBatchPy
from aiokafka.record.memory_records import MemoryRecords, _MemoryRecordsPy

MOST_BYTES = 4 * 1024 * 1024
"""Of one partition, handed over at a time."""

_READABLE_MAGIC = 2


def size_of(record: Any) -> int:
    """Bytes of an aiokafka record."""
    size = len(record.value or b"") + len(record.key or b"")
    if record.headers:
        size += sum(len(name) + len(value or b"") for name, value in record.headers)
    return size


class Run(list[Any]):
    """Records of one partition that follow each other."""

    def __init__(self, begins: int, records: Any = ()) -> None:
        """`begins`: from there to the last one, all records there are."""
        super().__init__(records)
        self.begins = begins


class _FetchResult(fetcher.FetchResult):  # type: ignore[misc]
    """Hands over runs, of bounded size."""

    _partition_records: Any

    def getall(self, max_records: int | None = None) -> list[Any]:
        if not self.check_assignment(self._topic_partition) or not self.has_more():
            return []
        state, records = self._assignment.state_value(self._topic_partition), self._partition_records
        empty_from, empty_to = getattr(state, "passed_over", (0, -1))
        position = records.next_fetch_offset
        run, size = Run(empty_from if position == empty_to else position), 0
        for record in records:
            run.append(record)
            size += size_of(record)
            if size >= MOST_BYTES or len(run) == max_records:
                break
        else:
            self._partition_records = None
        state.consumed_to(records.next_fetch_offset)
        state.passed_over = (run[-1].offset + 1 if run else run.begins), records.next_fetch_offset
        return run


class _PartitionRecords(fetcher.PartitionRecords):  # type: ignore[misc]
    """Reads a batch again, and all behind it, if one of its headers has no proper name."""

    _records: Any

    def _unpack_records(self) -> Iterator[Any]:
        try:
            yield from super()._unpack_records()
        except (UnicodeDecodeError, CorruptRecordException) as error:
            if not isinstance(error.__cause__ or error, UnicodeDecodeError):
                raise
            self._records = self._records.again()
            yield from super()._unpack_records()  # what was read before is passed over by its offset


class _Records:
    """aiokafka's own reader of a fetch, and from any of its batches on the tolerant one."""

    def __init__(self, fetched: bytes) -> None:
        self._fetched, self._records, self._given = fetched, MemoryRecords(fetched), 0
        self.has_next, self.size_in_bytes = self._records.has_next, self._records.size_in_bytes

    def next_batch(self) -> Any:
        self._given += 1
        return self._records.next_batch()

    def again(self) -> "_TolerantRecords":
        """From the batch that was given last."""
        records = _TolerantRecords(self._fetched)
        for _ in range(self._given - 1):
            records.next_batch()
        return records


class _TolerantRecords(_MemoryRecordsPy):  # type: ignore[misc]
    def next_batch(self) -> Any:
        batch = self._next_slice
        if batch is None or batch[self.MAGIC_OFFSET] < _READABLE_MAGIC:
            return super().next_batch()
        self._cache_next()
        return _TolerantBatch(batch)


class _TolerantBatch(_DefaultRecordBatchPy):  # type: ignore[misc]
    _buffer: Any

    def _maybe_uncompress(self) -> None:
        super()._maybe_uncompress()
        self._buffer = _AnyName(self._buffer)

    def _read_msg(self) -> Any:
        record = super()._read_msg()
        return record if all(_is_utf8(name) for name, _ in record.headers) else replace(record, headers=[])


class _AnyName(bytearray):
    """Bytes of which the reader decodes the names of headers, and nothing else."""

    def __getitem__(self, at: Any) -> Any:
        found = super().__getitem__(at)
        return _AnyName(found) if isinstance(at, slice) else found

    def decode(self, encoding: str = "utf-8", _: str = "") -> str:
        return super().decode(encoding, "surrogateescape")


def _is_utf8(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def fetch_with_care() -> None:
    """Put these in the place of aiokafka's own, for the whole process."""
    fetcher.FetchResult, fetcher.PartitionRecords = _FetchResult, _PartitionRecords
    fetcher.MemoryRecords = _Records
