"""Chunks come in record time, and what they commit is what was acknowledged."""

from collections import defaultdict
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

from faust.types import TP

from stream.chunks import Chunk, ChunkedConsumer, in_chunks
from stream.fetching import Run

BUSY, QUIET, OTHER = TP("transactions", 0), TP("transactions", 1), TP("fraud-reports", 0)


def order(size: int, **times: Sequence[int]) -> list[tuple[TP, list[int]]]:
    """Chunks of records that were recorded at these times, which stand for them."""
    places = {"busy": BUSY, "quiet": QUIET, "other": OTHER}
    records = {
        places[name]: Run(0, [SimpleNamespace(timestamp=t, offset=i) for i, t in enumerate(found)])
        for name, found in times.items()
    }
    return [(tp, [record.timestamp for record in chunk]) for tp, chunk in in_chunks(size)().iterate(records)]


def test_every_record_comes_once_in_the_order_of_its_partition() -> None:
    found: dict[TP, list[int]] = defaultdict(list)
    for tp, records in order(4, busy=range(11), quiet=range(3), other=range(4)):
        assert 0 < len(records) <= 4
        found[tp] += records
    assert found == {BUSY: list(range(11)), QUIET: list(range(3)), OTHER: list(range(4))}


def test_who_waited_longest_goes_first() -> None:
    chunks = order(4, busy=range(100, 200), quiet=[90, 150], other=[111])
    assert [tp for tp, _ in chunks[:3]] == [QUIET, BUSY, BUSY]
    assert chunks[4] == (OTHER, [111]), "between those recorded before it and after it"
    firsts = [records[0] for _, records in chunks]
    assert firsts == sorted(firsts)


def test_a_chunk_begins_where_the_one_before_it_ended() -> None:
    """Offsets that no record has (markers, aborted transactions) belong to the chunk behind them."""
    run = Run(3, [record(offset) for offset in (4, 5, 8, 9, 12)])
    chunks = [(c.begins, [r.offset for r in c]) for _, c in in_chunks(2)().iterate({BUSY: run})]
    assert chunks == [(3, [4, 5]), (6, [8, 9]), (10, [12])]


def test_no_records_are_no_chunks() -> None:
    assert order(4, busy=[], quiet=[]) == []


def consumer() -> Any:
    made = ChunkedConsumer.__new__(ChunkedConsumer)
    made._acked, made._acked_index = defaultdict(list), defaultdict(set)
    return made


def test_what_is_committed_lies_behind_the_last_chunk_that_was_acknowledged() -> None:
    made = consumer()
    assert made._new_offset(BUSY) is None
    made._acked[BUSY] += [255, 300]
    made._acked_index[BUSY] |= {255, 300}
    assert made._new_offset(BUSY) == 301
    assert made._new_offset(BUSY) is None
    assert not made._acked_index[BUSY]


def record(offset: int, size: int = 400, header: int = 0) -> Any:
    headers = [("h", bytes(header))] if header else []
    return SimpleNamespace(
        offset=offset,
        timestamp=1_000 * offset,
        timestamp_type=0,
        key=b"k",
        value=bytes(size),
        headers=headers,
    )


def test_a_large_record_weighs_as_many_as_it_has_room_for() -> None:
    assert Chunk(BUSY, Run(0, [record(i) for i in range(10)]), 1, 0.0).weight == 10
    assert Chunk(BUSY, Run(0, [record(0, 2**20), record(1)]), 1, 0.0).weight == 128
    assert Chunk(BUSY, Run(0, [record(0, header=2**20), record(1)]), 1, 0.0).weight == 128


def test_a_chunk_stands_for_its_last_record() -> None:
    records = Run(6, [record(offset) for offset in (7, 8, 11)])
    chunk = Chunk(BUSY, records, 3, 0.5)
    assert chunk.begins == 6
    assert (chunk.tp, chunk.offset, chunk.timestamp, chunk.generation_id) == (BUSY, 11, 11.0, 3)
    assert (chunk.records, chunk.received) == (records, 0.5)
