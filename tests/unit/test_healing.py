"""A state that lost something is made whole from the log of every partition, whatever fails meanwhile."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import Any

import orjson
import pytest

from features.memory_state import MemoryState
from features.state import Answer, Behind, Entry, LogId, LogState, Span, StateAway
from stream import healing, metrics, stands
from stream.fence import Fence
from stream.fields import rfc3339
from stream.healing import Healer
from stream.health import Health
from stream.pipeline import Pipeline
from stream.record import Record
from stream.stands import LostTail

from .fakes import FakeLog, Place

NOW = 1_795_275_000_000
LOGS: dict[Place, LogId] = {
    (topic, p): LogId("g", topic, f"id-{topic}", p)
    for topic in ("transactions", "fraud-reports")
    for p in (0, 1)
}


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(healing, "BATCH", 7)
    monkeypatch.setattr(healing, "_AGAIN_SECONDS", 0.0)


def payment(i: int, partition: int, offset: int) -> Record:
    message = {
        "event_id": f"e-{i}",
        "occurred_at": rfc3339(NOW + i * 1000),
        "amount": f"{i + 1}.00",
        "payer": {"account": f"a-{i % 4}"},
        "payee": {"account": f"b-{i % 3}"},
    }
    return Record("transactions", partition, offset, NOW + i * 1000, None, orjson.dumps(message))


def report(i: int, partition: int, offset: int) -> Record:
    message = {
        "report_id": f"r-{i}",
        "transaction_event_id": f"e-{i}",
        "payer_account": f"a-{i % 4}",
        "payee_account": f"b-{i % 3}",
        "reported_at": rfc3339(NOW + i * 1000),
        "status": "OPEN",
        "type": "SCAM",
    }
    return Record("fraud-reports", partition, offset, NOW + i * 1000, None, orjson.dumps(message))


def traffic() -> list[Record]:
    """100 payments, a bad record and 20 reports over two partitions; payers keep to a partition."""
    records = [payment(i, i % 2, i // 2) for i in range(100)]
    records[30] = records[30]._replace(value=b"{")
    return records + [report(i * 5, i % 2, i // 2) for i in range(20)]


class Watched(MemoryState):
    """Notes its calls, and may fail them."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[Sequence[Span], Sequence[Entry]]] = []
        self.faults: dict[int, Exception] = {}

    async def apply(self, spans: Sequence[Span], entries: Sequence[Entry], versions: str = "") -> Answer:
        self.calls.append((spans, entries))
        if fault := self.faults.pop(len(self.calls), None):
            if isinstance(fault, Behind):
                self.entities.clear(), self.rings.clear(), self.logs.clear()
            raise fault
        return await super().apply(spans, entries, versions)


def fence(health: Health) -> Fence:
    return Fence({}, health, lambda: pytest.fail("nothing is to begin anew"))


def heal(
    state: MemoryState,
    kafka: FakeLog,
    positions: Mapping[Place, int] | None = None,
    on_empty: str = "rebuild",
    lost: bool = False,
) -> Health:
    health = Health()
    health.start()
    pipeline: Any = Pipeline.__new__(Pipeline)
    pipeline.state = state
    healer = Healer(pipeline, kafka, health, fence(health), on_empty)  # type: ignore[arg-type]
    asyncio.run(healer.make_whole(LOGS, positions or {}, lost=lost))
    return health


def states(state: MemoryState) -> list[LogState | None]:
    return asyncio.run(state.log_states(list(LOGS.values())))


def whole(kafka: FakeLog) -> list[LogState]:
    return [LogState(kafka.ends.get(place, 0), kafka.ends.get(place, 0)) for place in LOGS]


def test_every_partition_is_read_in_record_time() -> None:
    state, kafka = Watched(), FakeLog(traffic())
    health = heal(state, kafka)
    assert states(state) == whole(kafka)
    applied = [entry for _, entries in state.calls for entry in entries]
    assert len(applied) == 119
    *before, last, every_shard = [entries for _, entries in state.calls]
    assert every_shard == []
    times = [e.event.occurred_at if hasattr(e.event, "occurred_at") else e.event.reported_at
             for entries in before for e in entries]  # fmt: skip
    assert times == sorted(times)
    assert len(last) == len(LOGS)
    assert all(span.healing for spans, _ in state.calls for span in spans)
    assert health.ready
    assert metrics.HEALING._value.get() == 0


def test_no_log_looks_whole_before_all_are() -> None:
    state, kafka = Watched(), FakeLog(traffic())
    heal(state, kafka)
    for spans, _ in state.calls[:-2]:
        assert all(span.stop < kafka.ends[span.log.topic, span.log.partition] for span in spans)
    starts = {span.log: span.start for span in state.calls[0][0]}
    for spans, _ in state.calls:
        for span in spans:
            assert span.start == starts[span.log]
            starts[span.log] = span.stop


def test_what_the_state_has_is_not_read() -> None:
    state, kafka = Watched(), FakeLog(traffic())
    heal(state, kafka)
    calls, reads = len(state.calls), kafka.reads
    heal(state, kafka)
    assert (len(state.calls), kafka.reads) == (calls, reads)
    heal(state, kafka, lost=True)  # it lost something all the same: its logs are marked anew
    assert (len(state.calls), kafka.reads) == (calls + 2, reads)
    assert states(state) == whole(kafka)


def test_from_where_the_state_stands_to_the_position_of_this_worker() -> None:
    state, kafka = Watched(), FakeLog(traffic())
    kafka.committed = {("transactions", 0): 20, ("transactions", 1): 30}
    heal(state, kafka)
    kafka.committed = {("transactions", 0): 25, ("transactions", 1): 20}
    heal(state, kafka, {("transactions", 0): 40})
    applied = [spans[entry.span].log for spans, entries in state.calls for entry in entries]
    # Offset 15 of partition 0 is the bad record.
    assert applied.count(LOGS["transactions", 0]) == 39
    assert applied.count(LOGS["transactions", 1]) == 30
    assert states(state)[:2] == [LogState(40, 40), LogState(30, 30)]


def test_answers_that_another_worker_has_not_committed_are_kept() -> None:
    """It is further than what is committed; it may die before it delivers, and who follows asks again."""
    state, kafka = Watched(), FakeLog(traffic())
    kafka.committed = dict.fromkeys(LOGS, 10)
    heal(state, kafka)
    log, event = LOGS["transactions", 1], payment(21, 1, 10)
    (entry,) = [Entry(0, 10, decoded) for decoded in [healing.decode(event)]]
    asyncio.run(state.apply([Span(log, 10, 10, 11)], [entry]))
    heal(state, kafka, lost=True)
    answer = asyncio.run(state.apply([Span(log, 10, 10, 11)], [entry]))
    assert answer.statuses.tolist() == [1], "STORED"


def test_a_loss_while_healing_begins_again() -> None:
    state, kafka = Watched(), FakeLog(traffic())
    state.faults[4] = Behind()
    heal(state, kafka)
    assert states(state) == whole(kafka)
    oracle = MemoryState()
    heal(oracle, kafka)
    assert {k: (v.newest, sorted(p.time for p in v.payments)) for k, v in state.entities.items()} == {
        k: (v.newest, sorted(p.time for p in v.payments)) for k, v in oracle.entities.items()
    }


def test_redis_and_kafka_are_waited_for() -> None:
    state, kafka = Watched(), FakeLog(traffic())
    state.faults[2] = StateAway("gone")
    kafka.away = 2
    assert heal(state, kafka).ready
    assert states(state) == whole(kafka)
    assert len([e for _, entries in state.calls for e in entries]) == 119 + 7, "one call was made again"


def test_records_that_retention_took_are_not_missed() -> None:
    kafka = FakeLog(traffic(), first={("transactions", 0): 12})
    state = Watched()
    heal(state, kafka)
    assert states(state) == whole(kafka)
    kafka.first = {("transactions", 0): 50, ("transactions", 1): 45}
    heal(state, kafka, lost=True)
    assert states(state) == whole(kafka)


def test_a_gap_at_the_end_hangs_nothing() -> None:
    """Transaction markers, or what compaction took: committed offsets that hold no record."""
    state, kafka = Watched(), FakeLog(traffic())
    kafka.committed = {("transactions", 0): 53}
    heal(state, kafka)
    assert states(state)[0] == LogState(53, 53)


def test_fresh_skips_the_history_of_an_empty_state_alone(caplog: pytest.LogCaptureFixture) -> None:
    state, kafka = Watched(), FakeLog(traffic())
    kafka.committed = {("transactions", 0): 20}
    heal(state, kafka, {("transactions", 0): 24}, on_empty="fresh")
    assert states(state) == [LogState(24, 24), *whole(kafka)[1:]]
    assert kafka.reads == 0
    assert state.entities == {}
    assert [r.message for r in caplog.records if r.levelno == logging.CRITICAL] == [
        "the state is empty and VIGIA_STATE_ON_EMPTY=fresh: it begins WITHOUT HISTORY"
    ]
    heal(state, kafka, {("transactions", 0): 30}, on_empty="fresh")
    assert sum(len(entries) for _, entries in state.calls) == 6, "a state that knows something is healed"


def test_two_heal_at_once() -> None:
    async def both() -> MemoryState:
        state, kafka = MemoryState(), FakeLog(traffic())
        pipeline: Any = Pipeline.__new__(Pipeline)
        pipeline.state = state
        healers = [Healer(pipeline, kafka, Health(), fence(Health()), "rebuild") for _ in range(2)]  # type: ignore[arg-type]
        await asyncio.gather(*(healer.make_whole(LOGS, {}) for healer in healers))
        return state

    state, alone, kafka = asyncio.run(both()), MemoryState(), FakeLog(traffic())
    heal(alone, kafka)
    assert states(state) == whole(kafka)
    assert state.number == alone.number == 119


def test_a_log_that_ends_before_the_state_lost_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    state, kafka = Watched(), FakeLog(traffic())
    heal(state, kafka)
    monkeypatch.setattr(stands, "_LOST_SECONDS", 0.1)
    kafka.ends["transactions", 0] = 45
    with pytest.raises(LostTail, match=r"transactions\[0\] ends at 45, before the state's 50"):
        heal(state, kafka)


TOPICS = {"transactions": "id-transactions", "fraud-reports": "id-fraud-reports"}


class Left(Exception):
    pass


def heal_beside_a_deletion(
    state: MemoryState, kafka: FakeLog, *, in_flight: bool, gone_topics: Sequence[str] = ("fraud-reports",)
) -> None:
    """`gone_topics` are made anew after the first read of the heal."""

    def leave() -> None:
        raise Left

    health = Health()
    gone = Fence(TOPICS, health, leave)
    read = kafka.records

    def records(*args: Any) -> list[Record]:
        gone.look({**TOPICS, **dict.fromkeys(gone_topics, "another")})
        return read(*args)

    kafka.records = records  # type: ignore[method-assign]
    pipeline: Any = Pipeline.__new__(Pipeline)
    pipeline.state = state
    healer = Healer(pipeline, kafka, health, gone, "rebuild")  # type: ignore[arg-type]
    positions = dict.fromkeys([("transactions", 0), ("fraud-reports", 0)], 5)
    asyncio.run(healer.make_whole(LOGS, positions, lost=True, in_flight=in_flight))


def test_the_fence_is_obeyed_between_turns() -> None:
    with pytest.raises(Left):
        heal_beside_a_deletion(MemoryState(), FakeLog(traffic()), in_flight=False)


def test_a_batch_in_flight_is_healed_from_the_topics_that_are_left() -> None:
    """A new process would take the batch for repeats: it is decided and delivered first."""
    state = MemoryState()
    kafka = FakeLog([record for record in traffic() if record.topic == "transactions"])
    heal_beside_a_deletion(state, kafka, in_flight=True)
    assert states(state)[:3] == [LogState(50, 50), LogState(50, 50), LogState(5, 5)]


def test_a_batch_in_flight_is_decided_when_every_topic_is_gone() -> None:
    state = MemoryState()
    heal_beside_a_deletion(state, FakeLog(traffic()), in_flight=True, gone_topics=list(TOPICS))
    assert states(state)[::2] == [LogState(5, 5), LogState(5, 5)]
