"""`verify` finds what differs, and nothing else, whether or not the state moves meanwhile."""

import asyncio
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from zlib import crc32

import numpy as np
import orjson
import pytest
from numpy.typing import NDArray

from features.catalog import ENTITIES
from features.errors import VigiaError
from features.memory_state import MemoryState
from features.state import LogId
from features.transaction import Transaction
from features.windows import DAY, MINUTE
from stream.audit.inputs import Offsets
from stream.audit.recount import Histories
from stream.audit.replay import Replay, read
from stream.audit.sample import KINDS, Sample, names
from stream.audit.store import excuses
from stream.audit.verify import Question, Verification, verify
from stream.fields import rfc3339
from stream.merge import Merge, Range
from stream.record import Record
from stream.stands import Place, Stand

NOW = 1_795_275_000_000
PLACES = [(topic, p) for topic in ("transactions", "fraud-reports") for p in (0, 1)]
Logs = dict[Place, list[Record]]


@dataclass
class ListInputs:
    """The topics as lists; `committed` are offsets, the end where there is none."""

    records_of: Logs
    committed: dict[Place, int] = field(default_factory=dict)
    first: int = 0

    def __post_init__(self) -> None:
        self.logs = {place: LogId("g", place[0], "id", place[1]) for place in PLACES}

    def stands(self) -> dict[Place, Stand]:
        ends = {place: len(records) for place, records in self.records_of.items()}
        return {place: Stand(self.committed.get(place, end), self.first, end) for place, end in ends.items()}

    def records(self, start: Offsets, stop: Offsets) -> Iterator[Record]:
        def read(topic: str, partition: int, low: int, high: int, size: int) -> list[Record]:
            return self.records_of[topic, partition][low:high][:size]

        merge = Merge(read, [Range(log, start[place], stop[place]) for place, log in self.logs.items()])
        yield from merge.next(10**9)

    def starts(self) -> dict[Place, int]:
        return dict.fromkeys(PLACES, 0)

    def ends(self) -> dict[Place, int]:
        return {place: stand.end for place, stand in self.stands().items()}


@cache
def traffic() -> tuple[tuple[Place, Record], ...]:
    """600 payments over 20 days among few, so that all meet often; one in ten is reported a day later."""
    draw, made = random.Random(4), []
    for i in range(600):
        at = NOW + i * 48 * MINUTE
        payer, payee = f"a-{draw.randrange(12)}", f"a-{draw.randrange(8, 24)}"
        parties = {"payer": {"account": payer}, "payee": {"account": payee, "key": f"k-{payee}"}}
        device = {"device": {"id": f"d-{draw.randrange(9)}"}} if draw.random() < 0.8 else {}
        paid = {"event_id": f"e-{i}", "occurred_at": rfc3339(at), "amount": draw.randrange(1, 90_000) / 100}
        made.append((at, "transactions", payer, paid | parties | device))
        if i % 10 == 0:
            made.append((at + DAY, "fraud-reports", payer, reported(i, payer, payee, at + DAY)))
    return tuple(records(sorted(made, key=lambda message: message[0])))


def reported(i: int, payer: str, payee: str, at: int) -> dict[str, object]:
    return {
        "report_id": f"r-{i}", "transaction_event_id": f"e-{i}", "payer_account": payer,
        "payee_account": payee, "payee_key": f"k-{payee}", "reported_at": rfc3339(at),
        "status": "CONFIRMED", "type": "SCAM",
    }  # fmt: skip


def records(made: list[tuple[int, str, str, dict[str, object]]]) -> Iterator[tuple[Place, Record]]:
    offsets = dict.fromkeys(PLACES, 0)
    for at, topic, key, message in made:
        place = topic, crc32(key.encode()) % 2
        yield place, Record(*place, offsets[place], at, key.encode(), orjson.dumps(message))
        offsets[place] += 1


def logs(n: int | None = None) -> Logs:
    found: Logs = {place: [] for place in PLACES}
    for place, record in traffic()[:n]:
        found[place].append(record)
    return found


def newest(n: int) -> Logs:
    """The last of each partition, as if they were all."""
    return {
        place: [record._replace(offset=i) for i, record in enumerate(records[-n:])]
        for place, records in logs().items()
    }


async def fed(
    inputs: ListInputs, *, to: Offsets | None = None, without: Sequence[Record] = ()
) -> MemoryState:
    """A state that read one partition after the other, in batches, and some records as if they were bad."""
    state = Histories()
    replay = Replay(state, inputs.logs, inputs.starts())
    for place in PLACES:
        records = inputs.records_of[place][: None if to is None else to[place]]
        records = [r._replace(value=b"{") if r in without else r for r in records]
        for i in range(0, len(records), 100):
            await replay.apply(read(records[i : i + 100]))
    await replay.reach(to or inputs.ends())
    return answering(MemoryState(), state)


def answering(state: MemoryState, held: MemoryState) -> MemoryState:
    """`state` with all that another holds."""
    state.entities, state.rings, state.logs = held.entities, held.rings, held.logs
    return state


def check(inputs: ListInputs, state: MemoryState, question: Question) -> Verification:
    return asyncio.run(verify(inputs, state, question))


def test_a_state_that_read_all_is_sound() -> None:
    inputs = ListInputs(logs())
    report = check(inputs, asyncio.run(fed(inputs)), Question(100))
    assert report.sound
    assert sum(report.entities.values()) == 100
    assert set(report.entities) == set(KINDS)
    assert report.values > 10_000
    assert report.events == len(traffic())


def test_one_lost_payment_and_one_lost_report_are_found() -> None:
    inputs = ListInputs(newest(15))
    for place in PLACES:
        # A report that was still open and is withdrawn later is rightly missed by nobody.
        telling = [
            r for r in inputs.records_of[place] if place[0] == "transactions" or b"CONFIRMED" in r.value
        ]
        state = asyncio.run(fed(inputs, without=telling[-1:]))
        report = check(inputs, state, Question(10**6))
        assert not report.sound
        assert 2 <= report.differing <= 5, "the entities of one event"
        assert report.differences >= len(report.first) >= 5


def test_differences_tell_no_account() -> None:
    inputs = ListInputs(logs(100))
    state = asyncio.run(fed(inputs, without=[inputs.records_of["transactions", 0][-1]]))
    first = check(inputs, state, Question(10**6)).first[0]
    assert len(bytes.fromhex(first.entity.split()[1])) == 12
    assert first.slot.split()[0] in ENTITIES
    assert first.state != first.oracle


def test_an_entity_that_no_event_names_is_found() -> None:
    inputs = ListInputs(logs(400))
    state = asyncio.run(fed(inputs))
    known = frozenset(id_ for _, id_ in state.entities)
    assert check(inputs, state, Question(50, ids=known)).unexplained == 0
    report = check(inputs, state, Question(50, ids=known | {b"twelve bytes"}))
    assert (report.keys, report.unexplained, report.sound) == (len(known) + 1, 1, False)


def test_keys_that_nothing_was_compared_with_are_not_sound() -> None:
    inputs = ListInputs({place: [] for place in PLACES})
    assert check(inputs, MemoryState(), Question(50)).sound, "nothing published, nothing kept"
    for first in (0, 7):  # of a topic without its beginning no key is unexplained
        report = check(
            ListInputs(inputs.records_of, first=first),
            MemoryState(),
            Question(50, ids=frozenset({b"twelve bytes"})),
        )
        assert (report.entities, report.unexplained, report.sound) == ({}, int(not first), False)


def test_only_an_earlier_topic_or_a_named_history_excuses_keys() -> None:
    mine = [LogId("g", topic, "id", 0) for topic in ("transactions", "fraud-reports")]
    history, other = (LogId("history", "history", name, 0) for name in ("this", "that"))
    earlier, read, unread = ("g", "transactions", "old"), history[:3], other[:3]
    found = {earlier, read, unread, ("g2", "transactions", "id"), ("g", "decisions", "id")}
    assert excuses(found, mine) == {earlier}
    assert excuses(found, mine, history) == {earlier, unread}
    assert not Verification(entities={"payer": 1}, unexplained=1, strangers=[list(unread)]).sound
    assert Verification(entities={"payer": 1}, unexplained=1, excused=True).sound


def test_what_the_state_lost_is_missing_even_if_nothing_differs() -> None:
    inputs = ListInputs(logs(400))
    report = check(inputs, MemoryState(), Question(50, wait=0))
    assert (report.missing, report.differences, report.sound) == (400, 0, False)


def test_what_is_not_read_yet_is_no_difference() -> None:
    inputs = ListInputs(logs())
    half = {place: end // 2 for place, end in inputs.ends().items()}
    inputs.committed = half
    report = check(inputs, asyncio.run(fed(inputs, to=half)), Question(100))
    assert report.sound
    assert report.events == sum(half.values())


class Moving(MemoryState):
    """Takes in another record of each partition before each answer, until the logs are read."""

    def __init__(self, state: MemoryState, inputs: ListInputs, at: dict[Place, int]) -> None:
        super().__init__()
        answering(self, state)
        self._inputs, self._replay = inputs, Replay(self, inputs.logs, inputs.starts())
        self._replay.position = at

    async def read(self, transactions: Sequence[Transaction]) -> NDArray[np.float64]:
        at, ends = self._replay.position, self._inputs.ends()
        await self._replay.apply(read(self._inputs.records(at, {p: min(at[p] + 1, ends[p]) for p in PLACES})))
        return await super().read(transactions)


@pytest.mark.parametrize("shards", [1, 64])
def test_a_state_that_moves_is_compared_where_it_stands_still(shards: int) -> None:
    inputs = ListInputs(logs(60))
    part = {place: end - min(end, 6) for place, end in inputs.ends().items()}
    inputs.committed = part
    state = Moving(asyncio.run(fed(inputs, to=part)), inputs, dict(part))
    report = check(inputs, state, Question(10**6, shards=shards))
    assert report.sound
    assert sum(part.values()) < report.events <= 60


def test_what_never_stands_still_is_said() -> None:
    inputs = ListInputs(logs(60))
    part = {place: end - min(end, 6) for place, end in inputs.ends().items()}
    state = Moving(asyncio.run(fed(inputs, to=part)), inputs, dict(part))
    inputs.committed = part
    report = check(inputs, state, Question(10**6, wait=0))
    assert report.moving > 0
    assert (report.differences, report.sound) == (0, False)


def test_a_state_that_loses_events_meanwhile_is_not_judged() -> None:
    inputs = ListInputs(logs(400))
    state = asyncio.run(fed(inputs))

    class Forgetful(MemoryState):
        async def read(self, transactions: Sequence[Transaction]) -> NDArray[np.float64]:
            self.logs.clear()
            return await super().read(transactions)

    with pytest.raises(VigiaError, match="lost events"):
        check(inputs, answering(Forgetful(), state), Question(50))


def test_a_log_without_its_beginning_judges_neither_age_nor_keys() -> None:
    inputs = ListInputs(logs(), first=100)
    whole = asyncio.run(fed(ListInputs(inputs.records_of)))
    report = check(inputs, whole, Question(5, ids=frozenset({b"twelve bytes"})))
    assert report.unexplained == 0
    assert not any("first" in difference.slot for difference in report.first)


def test_the_sample_is_the_same_for_a_seed_and_another_for_another() -> None:
    events = [event for _, event in read(record for _, record in traffic())]

    def ids(seed: int) -> set[bytes]:
        sample = Sample(20, seed)
        for event in events:
            assert event is not None
            sample.meet(event, names(event))
        chosen = sample.chosen(100)
        assert all(entity.name.id in sample for entity in chosen)
        return {entity.name.id for entity in chosen}

    assert ids(1) == ids(1) != ids(2)
