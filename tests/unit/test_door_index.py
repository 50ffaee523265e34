"""The index of recent outcomes, and how they are read from records."""

import pytest

from stream.http import index as module
from stream.http.index import KEEP_MS, Index
from stream.http.outcome import Ours, Place, Source

OURS = Ours("vigia", "pix.transactions")
HEADERS: dict[str, bytes | None] = {
    "group": b"vigia",
    "source_partition": b"2",
    "source_offset": b"9",
    "source_topic_id": b"t",
}


def test_what_was_added_is_found_whatever_block_it_is_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_BLOCK", 64)
    index = Index()
    for i in range(1000):
        index.add(f"e{i}", Place("dead-letters" if i % 3 == 0 else "decisions", i % 8, i << 30), 1000 + i)
    assert len(index) == 1000
    assert [index.find(f"e{i}") for i in range(1000)] == [
        [Place("dead-letters" if i % 3 == 0 else "decisions", i % 8, i << 30)] for i in range(1000)
    ]
    assert index.find("nobody") == []


@pytest.mark.parametrize("block", [2, 1000])
def test_several_of_one_id_come_in_their_order_and_once(monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    monkeypatch.setattr(module, "_BLOCK", block)
    index = Index()
    places = [Place("decisions", 0, offset) for offset in (5, 3, 8)]
    for place in (*places, places[0]):
        index.add("e", place, 0)
        index.add("other", Place("decisions", 1, place.offset), 0)
    assert index.find("e") == places


def test_what_is_old_leaves_and_what_is_new_stays() -> None:
    index = Index()
    for minute in range(20):
        index.add(f"e{minute}", Place("decisions", 0, minute), minute * 61_000)
    index.expire(KEEP_MS + 5 * 61_000)
    assert [bool(index.find(f"e{minute}")) for minute in range(20)] == [False] * 5 + [True] * 15
    index.expire(KEEP_MS * 10)
    assert len(index) == 0


def test_beyond_its_room_the_oldest_leave(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_BLOCK", 10)
    index = Index(most=50)
    for i in range(200):
        index.add(f"e{i}", Place("decisions", 0, i), i)
    assert 40 <= len(index) <= 50
    assert index.find("e199")
    assert not index.find("e100")


def test_a_decision_is_read_from_its_record() -> None:
    place = Place("decisions", 2, 4)
    outcome = OURS.read(place, 123, b'{"event_id":"e"}', HEADERS)
    assert outcome is not None
    assert (outcome.event_id, outcome.source, outcome.place) == ("e", Source(2, 9, "t"), place)
    assert outcome.is_final


@pytest.mark.parametrize(
    ("value", "headers"),
    [
        (b'{"event_id":"e"}', {**HEADERS, "group": b"shadow"}),
        (b'{"event_id":"e"}', {}),
        (b'{"event_id":"e"}', {**HEADERS, "source_offset": None}),
        (b"not JSON", HEADERS),
        (b"[]", HEADERS),
        (None, HEADERS),
    ],
)
def test_what_is_no_decision_of_ours_is_passed_over(
    value: bytes | None, headers: dict[str, bytes | None]
) -> None:
    assert OURS.read(Place("decisions", 0, 0), 0, value, headers) is None


def test_a_dead_letter_is_read_from_its_record() -> None:
    headers: dict[str, bytes | None] = {
        "error_code": b"SCORING_ERROR",
        "error": b"why",
        "event_id": b"e",
        "source_topic": b"pix.transactions",
        "source_partition": b"1",
        "source_offset": b"5",
    }
    place = Place("dead-letters", 1, 0)
    outcome = OURS.read(place, 0, b"{}", headers)
    assert outcome is not None
    assert (outcome.event_id, outcome.source, outcome.body) == ("e", Source(1, 5), b"{}")
    assert outcome.rejected is not None
    assert outcome.rejected.code == "SCORING_ERROR"
    assert OURS.read(place, 0, b"{}", {**headers, "source_topic": b"pix.fraud-reports"}) is None
    assert OURS.read(place, 0, b"{}", {**headers, "group": b"shadow"}) is None


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (Source(0, 1, "t"), Source(0, 1, "t"), True),
        (Source(0, 1, "t"), Source(0, 1, None), True),
        (Source(0, 1, "t"), Source(0, 1, "u"), False),
        (Source(0, 1, "t"), Source(0, 2, "t"), False),
    ],
)
def test_a_source_is_a_record_of_one_topic(one: Source, other: Source, same: bool) -> None:
    assert one.is_at(other) is same
