"""One suite for the contract of `features/state.py`, run on the plain oracle and on a real Redis."""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any

import numpy as np
import pytest
import redis

from features.catalog import SLOTS
from features.memory_state import MemoryState
from features.redis_state import RedisState
from features.state import (
    RING_SIZE,
    Answer,
    Behind,
    Entry,
    LogId,
    LogState,
    Span,
    State,
    StateAway,
    StateError,
    Status,
)
from features.transaction import FraudReport, Transaction
from features.windows import DAY, HOUR, RETENTION

LOG = LogId("g", "transactions", "t1", 0)
OTHER = LogId("g", "transactions", "t1", 1)
REPORTS = LogId("g", "fraud-reports", "r1", 0)
NOW = 1_795_275_000_000

APPLIED, STORED, STALE, REPEAT, REUSED, REPLAYED = map(int, Status)
Body = Callable[[State], Awaitable[None]]


@pytest.fixture(params=["memory", "redis", "redis-64", "cluster-64"])
def on_state(request: pytest.FixtureRequest) -> Callable[[Body], None]:
    """Runs a coroutine function on an empty state: the oracle, a Redis, and a real cluster of three."""
    url = None
    if request.param == "cluster-64":
        cluster = request.getfixturevalue("redis_cluster")
        cluster.flush()
        url = cluster.url
    elif request.param != "memory":
        url = request.getfixturevalue("redis_flushed")
    shards = 1 if request.param == "redis" else 64

    def run(body: Body) -> None:
        async def whole() -> None:
            state: State = MemoryState() if url is None else await RedisState.connect(url, shards)
            try:
                await body(state)
            finally:
                await state.close()

        asyncio.run(whole())

    return run


def pay(i: int, **changes: Any) -> Transaction:
    payment = Transaction(f"e-{i}", NOW + i * 1000, 1000 + i, "a-1", "b-1", device_id="d-1")
    return payment._replace(**changes)


def told(i: int, status: str = "CONFIRMED", at: int = NOW, **changes: Any) -> FraudReport:
    return FraudReport(f"r-{i}", f"e-{i}", "a-1", "b-1", at, status, "SCAM")._replace(**changes)


def entries(events: Iterable[Any], start: int = 0, span: int = 0, replay: bool = False) -> list[Entry]:
    return [Entry(span, start + i, event, replay) for i, event in enumerate(events)]


async def call(
    state: State, events: Sequence[Any], start: int = 0, *, floor: int = 0, log: LogId = LOG, **more: Any
) -> Answer:
    """One call over one log: `events` lie at start, start + 1, …"""
    span = Span(log, floor, start, start + len(events), more.pop("healing", False))
    return await state.apply([span], entries(events, start, replay=more.pop("replay", False)), **more)


def statuses(answer: Answer) -> list[int]:
    return list(answer.statuses.tolist())


async def stands(state: State, **ends: int) -> list[LogState | None]:
    """Where logs stand after the empty call by which a worker tells every shard how far it is."""
    logs = {"log": LOG, "other": OTHER, "reports": REPORTS}
    await state.apply([Span(logs[name], 0, end, end) for name, end in ends.items()], [])
    return await state.log_states([logs[name] for name in ends])


def slot(answer: Answer, entity: str, stat: str, window: str = "", row: int = -1) -> float:
    """One number of the last row (or of `row`)."""
    (column,) = [
        i
        for i, s in enumerate(SLOTS)
        if (s.entity, s.stat, s.delayed, s.night) == (entity, stat, False, False) and window in ("", s.window)
    ][:1]
    return float(answer.slots[row, column])


def test_a_new_event_is_applied_and_not_in_its_own_windows(on_state) -> None:
    async def body(state: State) -> None:
        answer = await call(state, [pay(0), pay(1)])
        assert statuses(answer) == [APPLIED, APPLIED]
        assert answer.slots.shape == (2, len(SLOTS))
        assert [slot(answer, "payer", "count", "24h", row) for row in (0, 1)] == [0, 1]
        assert slot(answer, "payer", "sum", "24h") == 1000
        assert slot(answer, "payer", "last") == NOW
        assert answer.versions == {}

    on_state(body)


def test_a_call_again_is_answered_from_the_log_byte_for_byte(on_state) -> None:
    async def body(state: State) -> None:
        events = [pay(i) for i in range(6)]
        first = await call(state, events, versions="model-1 policy-1")
        again = await call(state, events, versions="model-2 policy-1")
        assert statuses(again) == [STORED] * 6
        assert again.slots.tobytes() == first.slots.tobytes()
        assert again.versions == dict.fromkeys(range(6), "model-1 policy-1")
        following = await call(state, [pay(6)], 6)
        assert slot(following, "payer", "count", "24h") == 6

    on_state(body)


@pytest.mark.parametrize("sizes", [(1,) * 9, (2, 7), (5, 4)])
def test_a_redelivery_cut_into_other_batches_gives_the_same_rows(on_state, sizes: tuple[int, ...]) -> None:
    async def body(state: State) -> None:
        events = [pay(i) for i in range(9)]
        rows = [await call(state, events[:3]), await call(state, events[3:7], 3)]
        known = np.concatenate([answer.slots for answer in rows])
        found, start = [], 0
        for size in sizes:
            found.append(await call(state, events[start : start + size], start))
            start += size
        got = [status for answer in found for status in statuses(answer)]
        assert got == [STORED] * 7 + [APPLIED] * 2
        assert np.concatenate([a.slots for a in found])[:7].tobytes() == known.tobytes()
        assert slot(found[-1], "payer", "count", "24h") == 8

    on_state(body)


def test_stored_repeats_and_reuses_stay_what_they_were(on_state) -> None:
    async def body(state: State) -> None:
        events = [pay(0), pay(0), pay(0, amount=7)]
        assert statuses(await call(state, events)) == [APPLIED, REPEAT, REUSED]
        again = await call(state, events)
        assert statuses(again) == [STORED, REPEAT, REUSED]
        assert list(again.versions) == [0]
        assert not again.slots[1:].any()

    on_state(body)


def test_what_lies_below_the_floor_is_stale_and_trimmed(on_state) -> None:
    async def body(state: State) -> None:
        events = [pay(i) for i in range(4)]
        await call(state, events)
        await call(state, [], 4, floor=2)
        assert await state.log_states([LOG]) == [LogState(2, 4)]
        again = await call(state, events)
        assert statuses(again) == [STALE, STALE, STORED, STORED]
        assert not again.slots[:2].any()
        await call(state, [], 4, floor=1)  # a floor never falls
        assert await state.log_states([LOG]) == [LogState(2, 4)]
        await call(state, [], 4, floor=4)
        assert statuses(await call(state, events)) == [STALE] * 4
        following = await call(state, [pay(4)], 4)
        assert slot(following, "payer", "count", "24h") == 4  # stale changed nothing

    on_state(body)


def test_a_floor_beyond_next_moves_next_too(on_state) -> None:
    async def body(state: State) -> None:
        await call(state, [pay(0)])
        span = Span(LOG, 5, 1, 6)
        answer = await state.apply([span], [Entry(0, 3, pay(3)), Entry(0, 5, pay(5))])
        assert statuses(answer) == [STALE, APPLIED]
        await call(state, [], 6, floor=5)
        assert await state.log_states([LOG]) == [LogState(5, 6)]

    on_state(body)


def test_behind_changes_nothing_in_any_log(on_state) -> None:
    async def body(state: State) -> None:
        await call(state, [pay(0)])
        spans = [Span(OTHER, 0, 0, 1), Span(LOG, 0, 2, 3)]
        with pytest.raises(Behind):
            await state.apply(spans, [Entry(0, 0, pay(1)), Entry(1, 2, pay(2))])
        assert await stands(state, log=1) == [LogState(0, 1)]
        assert await state.log_states([OTHER]) == [None]
        answer = await call(state, [pay(1)], 1)
        assert statuses(answer) == [APPLIED]
        assert slot(answer, "payer", "count", "24h") == 1

    on_state(body)


def test_a_log_that_was_lost_is_behind(on_state) -> None:
    async def body(state: State) -> None:
        with pytest.raises(Behind):
            await call(state, [pay(7)], 7)
        assert await state.log_states([LOG]) == [None]

    on_state(body)


def test_log_states_of_known_and_unknown_logs(on_state) -> None:
    async def body(state: State) -> None:
        assert await state.log_states([]) == []
        anew = LOG._replace(topic_id="t2")
        assert await state.log_states([LOG, anew]) == [None, None]
        await call(state, [])
        await call(state, [told(0)], log=REPORTS)
        assert await stands(state, log=0, reports=1) == [LogState(0, 0), LogState(0, 1)]
        assert await state.log_states([LOG, anew]) == [LogState(0, 0), None]

    on_state(body)


def test_healing_applies_what_is_missing_and_stores_no_answer(on_state) -> None:
    async def body(state: State) -> None:
        events = [pay(i) for i in range(5)]
        await call(state, events[:2])
        await state.log_states([LOG])
        healed = await call(state, events, healing=True)
        assert statuses(healed)[2:] == [APPLIED] * 3
        await call(state, [], 5, healing=True)  # a heal ends by telling every shard
        assert await state.log_states([LOG]) == [LogState(5, 5)]
        assert statuses(await call(state, events)) == [STALE] * 5
        following = await call(state, [pay(5)], 5)
        assert slot(following, "payer", "count", "24h") == 5

    on_state(body)


def test_healing_may_begin_ahead_and_be_made_again(on_state) -> None:
    async def body(state: State) -> None:
        events = [pay(i) for i in range(3)]
        for _ in range(2):
            await call(state, events, 10, floor=10, healing=True)  # the log begins at 10
            await call(state, [], 13, floor=10, healing=True)
            assert await state.log_states([LOG]) == [LogState(13, 13)]
        following = await call(state, [pay(3)], 13)
        assert slot(following, "payer", "count", "24h") == 3
        await call(state, [], 20, floor=20, healing=True)  # marks an empty log as known
        assert await state.log_states([LOG]) == [LogState(20, 20)]

    on_state(body)


def test_several_logs_in_one_call(on_state) -> None:
    async def body(state: State) -> None:
        spans = [Span(REPORTS, 0, 0, 1), Span(LOG, 0, 0, 2), Span(OTHER, 0, 0, 1)]
        events = [
            Entry(0, 0, told(9, at=NOW)),
            Entry(1, 0, pay(0)),
            Entry(2, 0, pay(1)),
            Entry(1, 1, pay(2)),
        ]
        answer = await state.apply(spans, events, "v")
        assert statuses(answer) == [APPLIED] * 4
        assert answer.slots.shape == (3, len(SLOTS))
        assert [slot(answer, "payer", "count", "24h", row) for row in range(3)] == [0, 1, 2]
        assert slot(answer, "payee", "confirmed", "7d", 0) == 1
        assert await stands(state, reports=1, log=2, other=1) == [LogState(0, s.stop) for s in spans]
        again = await state.apply(spans, events, "w")
        assert statuses(again) == [STORED] * 4
        assert again.slots.tobytes() == answer.slots.tobytes()
        assert again.versions == {1: "v", 2: "v", 3: "v"}

    on_state(body)


def test_offsets_may_be_missing_between(on_state) -> None:
    """Dead letters and compaction leave gaps: they are covered by the span, not by an entry."""

    async def body(state: State) -> None:
        await state.apply([Span(LOG, 0, 0, 10)], [Entry(0, 3, pay(3)), Entry(0, 8, pay(8))])
        assert await stands(state, log=10) == [LogState(0, 10)]
        again = await state.apply([Span(LOG, 0, 10, 10)], [Entry(0, 8, pay(8)), Entry(0, 3, pay(3))])
        assert statuses(again) == [STORED, STORED]

    on_state(body)


def test_a_repeat_changes_nothing_and_beyond_the_ring_counts_as_new(on_state) -> None:
    async def body(state: State) -> None:
        first = [pay(i) for i in range(RING_SIZE)]
        await call(state, first)
        at = len(first)
        assert statuses(await call(state, [pay(0)], at)) == [REPEAT]
        assert statuses(await call(state, [pay(0, amount=1)], at + 1)) == [REUSED]
        await call(state, [pay(RING_SIZE)], at + 2)  # the 33rd pushes the first out
        assert statuses(await call(state, [pay(1)], at + 3)) == [REPEAT]
        answer = await call(state, [pay(0)], at + 4)
        assert statuses(answer) == [APPLIED]
        assert slot(answer, "payer", "count", "24h") == RING_SIZE + 1

    on_state(body)


def test_the_ring_is_of_the_payer(on_state) -> None:
    async def body(state: State) -> None:
        others = [pay(0), pay(0, payer_account="a-2"), pay(0, payer_ispb="90400888")]
        assert statuses(await call(state, others)) == [APPLIED] * 3

    on_state(body)


def test_a_replay_is_answered_and_applied_to_nothing_twice(on_state) -> None:
    async def body(state: State) -> None:
        await call(state, [pay(0), pay(1)])
        answer = await call(state, [pay(0)], 2, replay=True)
        assert statuses(answer) == [REPLAYED]
        assert slot(answer, "payer", "count", "24h") == 2  # each once: its own windows hold it now
        again = await call(state, [pay(0)], 2, replay=True)
        assert statuses(again) == [REPLAYED]
        assert again.slots.tobytes() == answer.slots.tobytes()
        assert statuses(await call(state, [pay(0, amount=1)], 3, replay=True)) == [REUSED]
        unseen = await call(state, [pay(9)], 4, replay=True)
        assert statuses(unseen) == [APPLIED]
        assert slot(unseen, "payer", "count", "24h") == 2

    on_state(body)


def test_a_report_twice_counts_once(on_state) -> None:
    async def body(state: State) -> None:
        await call(state, [told(0), told(0), told(0, at=NOW + 5)], log=REPORTS)
        again = await call(state, [told(0), told(0)], log=REPORTS)
        assert statuses(again) == [STORED, STORED]
        assert slot(await call(state, [pay(10)]), "payee", "confirmed", "7d") == 1

    on_state(body)


@pytest.mark.parametrize("final", ["REJECTED", "WITHDRAWN"])
@pytest.mark.parametrize("order", [(0, 1, 2), (1, 0, 2), (2, 1, 0)])
def test_a_final_report_is_final_in_whatever_order(on_state, final: str, order: tuple[int, ...]) -> None:
    async def body(state: State) -> None:
        reports = [told(0, "OPEN"), told(0, "CONFIRMED", NOW + 1), told(0, final, NOW + 2)]
        await call(state, [reports[i] for i in order], log=REPORTS)
        answer = await call(state, [pay(10)])
        assert slot(answer, "payee", "open", "7d") == slot(answer, "payee", "confirmed", "7d") == 0
        assert slot(answer, "payer", "confirmed", "7d") == 0

    on_state(body)


def test_reports_count_by_their_own_times(on_state) -> None:
    async def body(state: State) -> None:
        await call(state, [told(0, "OPEN", NOW), told(1, "OPEN", NOW + HOUR)], log=REPORTS)
        answer = await call(state, [pay(0), pay(1, occurred_at=NOW + 2 * HOUR)])
        assert [slot(answer, "payee", "open", "7d", row) for row in (0, 1)] == [1, 2]
        assert slot(answer, "payee", "confirmed", "7d") == 0

    on_state(body)


def test_a_run_of_reported_days_ends_at_a_day_that_was_not(on_state) -> None:
    noon = NOW // DAY * DAY + 12 * HOUR

    def paid(number: int, day: float) -> Transaction:
        return pay(number, occurred_at=int(noon + day * DAY), payer_account=f"a-{number}")

    async def body(state: State) -> None:
        await call(state, [paid(0, 0), paid(1, 1), paid(2, 1.1), paid(3, 2), paid(4, 4)])
        await call(
            state,
            [
                told(1, at=noon + 8 * DAY),  # half of the first day's
                told(3, at=noon + 9 * DAY),
                told(4, at=noon + 11 * DAY),
                told(9, "OPEN", noon + 7 * DAY),  # no CONFIRMED one
            ],
            log=REPORTS,
        )
        # Day by day from one report delay later on. What is asked for is a payment too, which nobody reports.
        days = range(7, 16)
        answer = await call(state, [paid(20 + i, day) for i, day in enumerate(days)], 5)
        runs = [slot(answer, "payee", "run", row=row) for row in range(len(days))]
        assert runs == [0, 1, 2, 3, 4, 5, 6, 7, 0]

    on_state(body)


def test_a_report_that_did_not_stand_is_in_no_run(on_state) -> None:
    async def body(state: State) -> None:
        await call(state, [pay(0)])
        await call(state, [told(0, at=NOW + 7 * DAY)], log=REPORTS)
        before = await call(state, [pay(1, occurred_at=NOW + 7 * DAY + 1)], 1)
        await call(state, [told(0, "WITHDRAWN", NOW + 7 * DAY + 2)], 1, log=REPORTS)
        after = await call(state, [pay(2, occurred_at=NOW + 7 * DAY + 3)], 2)
        assert [slot(answer, "payee", "run") for answer in (before, after)] == [1, 0]

    on_state(body)


def test_equal_times_are_applied_in_their_order(on_state) -> None:
    async def body(state: State) -> None:
        answer = await call(state, [pay(i, occurred_at=NOW) for i in range(3)])
        assert [slot(answer, "payer", "count", "5m", row) for row in range(3)] == [0, 1, 2]
        assert [slot(answer, "pair", "count", "24h", row) for row in range(3)] == [0, 1, 2]

    on_state(body)


def test_an_entity_older_than_its_retention_reads_as_never_seen(on_state) -> None:
    async def body(state: State) -> None:
        await call(state, [pay(0, occurred_at=NOW)])
        edge = await call(
            state, [pay(1, occurred_at=NOW + RETENTION, payee_account="b-2", device_id=None)], 1
        )
        assert slot(edge, "payer", "last") == NOW
        later = await call(state, [pay(2, occurred_at=NOW + RETENTION + DAY)], 2)
        fresh = await call(state, [pay(3, payer_account="a-9", payee_account="b-9", device_id="d-9")], 3)
        payee = slice(*[[s.entity for s in SLOTS].index(e) for e in ("payee", "pair")])
        assert later.slots[0, payee].tobytes() == fresh.slots[0, payee].tobytes()

    on_state(body)


def test_a_device_that_is_unknown_has_no_history(on_state) -> None:
    async def body(state: State) -> None:
        answer = await call(state, [pay(i, device_id=None) for i in range(2)])
        at = [s.entity for s in SLOTS].index("device")
        assert answer.slots[0, at:].tobytes() == answer.slots[1, at:].tobytes()

    on_state(body)


def test_an_empty_call_is_answered(on_state) -> None:
    async def body(state: State) -> None:
        answer = await state.apply([], [])
        assert statuses(answer) == []
        assert answer.slots.shape == (0, len(SLOTS))

    on_state(body)


def test_a_redis_that_evicts_is_refused_with_what_to_do(redis_flushed: str) -> None:
    with redis.Redis.from_url(redis_flushed) as client:
        before = client.config_get("maxmemory-policy")["maxmemory-policy"]
        client.config_set("maxmemory-policy", "allkeys-lru")
        try:
            with pytest.raises(
                StateError, match=r"allkeys-lru.*set maxmemory-policy to noeviction"
            ) as caught:
                asyncio.run(RedisState.connect(redis_flushed))
            assert not isinstance(caught.value, StateAway)
        finally:
            client.config_set("maxmemory-policy", before)


def test_no_redis_is_away() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, and nobody listens
        url = f"redis://127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(StateAway):
            asyncio.run(RedisState.connect(url))

        async def body() -> None:
            state = RedisState(url)
            with pytest.raises(StateAway):
                await call(state, [pay(0)])
            with pytest.raises(StateAway):
                await state.log_states([LOG])
            await state.close()

        asyncio.run(body())


def test_numbers_of_a_shard_only_grow_and_come_back_with_a_stored_answer(on_state) -> None:
    async def body(state: State) -> None:
        events = [pay(0), told(3), pay(1), pay(1), pay(2, payer_account="a-2", device_id=None)]
        answer = await call(state, events)
        assert answer.sequences[3] == ()  # a repeat is applied nowhere
        last: dict[int, int] = {}
        for numbers in answer.sequences:
            for shard, number in numbers:
                assert number > last.get(shard, 0)
                last[shard] = number
        assert [len(numbers) > 0 for numbers in answer.sequences] == [True, True, True, False, True]
        again = await call(state, events)
        assert again.sequences == answer.sequences

    on_state(body)


def test_what_is_read_is_what_the_next_event_would_see(on_state) -> None:
    async def body(state: State) -> None:
        await call(state, [pay(i, payee_key="k-1") for i in range(5)])
        asked = [pay(9, payee_key="k-1"), pay(9, payer_account="a-2", device_id=None)]
        read = [await state.read(asked), await state.read(asked)]
        assert read[0].tobytes() == read[1].tobytes()  # nothing is applied
        answer = await call(state, asked, 5)
        assert answer.slots[0].tobytes() == read[0][0].tobytes()

    on_state(body)


def test_the_state_belongs_to_the_group_that_asked_first(on_state) -> None:
    async def body(state: State) -> None:
        assert [await state.claim(group) for group in ("g", "other", "g")] == ["g", "g", "g"]

    on_state(body)


def test_a_second_loss_while_healing_is_noticed(redis_flushed: str) -> None:
    async def body() -> None:
        for shards in (1, 64):
            state = await RedisState.connect(redis_flushed, shards)
            events = [pay(i) for i in range(6)]
            await state.log_states([LOG])
            await call(state, events[:3], healing=True)
            with redis.Redis.from_url(redis_flushed) as client:
                client.flushall()
            with pytest.raises(Behind):
                await call(state, events[3:], 3, healing=True)
            await state.close()

    asyncio.run(body())


def test_a_loss_of_another_s_events_is_noticed(redis_flushed: str) -> None:
    """An older snapshot may hold all of this worker's partition and miss another's."""

    async def two() -> None:
        mine, other = await RedisState.connect(redis_flushed), await RedisState.connect(redis_flushed)
        await call(mine, [pay(0)])
        with redis.Redis.from_url(redis_flushed) as client:
            snapshot = {key: client.dump(key) for key in client.keys("*")}
            await call(other, [pay(1, payer_account="a-2")], log=OTHER)
            await call(mine, [pay(2)], 1)
            snapshot |= {key: client.dump(key) for key in client.keys("*") if b"log:" in key}
            client.flushall()
            for key, value in snapshot.items():
                client.restore(key, 0, value)
        with pytest.raises(Behind):
            await call(mine, [pay(3)], 2)
        await mine.close()
        await other.close()

    asyncio.run(two())


def test_rings_tell_a_heal_what_was_a_repeat(redis_flushed: str) -> None:
    """A payee's shard is lost, the payer's is not: the repeat between is not counted there."""

    async def body() -> None:
        state = await RedisState.connect(redis_flushed, 64)
        events = [pay(0), pay(0), pay(1), pay(1, amount=5), pay(2)]
        before = await call(state, events)
        assert statuses(before) == [APPLIED, REPEAT, APPLIED, REUSED, APPLIED]
        await call(state, [], 5, floor=5)
        asked = [pay(9, payer_account="a-2", device_id=None)]
        whole = await state.read(asked)
        with redis.Redis.from_url(redis_flushed) as client:
            (payee,) = client.keys("*:payee:*")
            lost = payee.split(b"}")[0]
            client.delete(*client.keys(lost.decode() + "}*"))
        assert (await state.read(asked)).tobytes() != whole.tobytes()
        with pytest.raises(Behind):
            await call(state, [pay(3)], 5, floor=5)
        assert await state.log_states([LOG]) == [LogState(0, 0)]
        await call(state, events, healing=True)
        await call(state, [], 5, healing=True)
        assert (await state.read(asked)).tobytes() == whole.tobytes()
        await state.close()

    asyncio.run(body())


def test_a_worker_notices_a_loss_that_another_is_healing(redis_flushed: str) -> None:
    """Its own partition is idle, so nothing of it is missing; the other healed a part, and numbers grew."""

    async def body() -> None:
        finder, other = await RedisState.connect(redis_flushed), await RedisState.connect(redis_flushed)
        events = [pay(i) for i in range(6)]
        await call(finder, events)
        await call(other, [], 0, log=OTHER)
        with redis.Redis.from_url(redis_flushed) as client:
            client.flushall()
        with pytest.raises(Behind):
            await call(finder, [], 6)
        await finder.log_states([LOG, OTHER])
        await call(finder, events[:3], healing=True)
        with pytest.raises(Behind):
            await call(other, [pay(9, payer_account="a-9")], 0, log=OTHER)
        await other.log_states([LOG, OTHER])
        for state in (other, finder):  # both heal the whole, neither ends the other's life
            await call(state, events, healing=True)
        for state, log, at in ((other, OTHER, 0), (finder, LOG, 6), (other, OTHER, 0)):
            await call(state, [], at, log=log)
        await finder.close()
        await other.close()

    asyncio.run(body())


def test_a_wrong_password_is_told(redis_cluster: Any) -> None:
    url = redis_cluster.url.replace("://", "://user:wrong@")
    with pytest.raises(StateError, match="VIGIA_REDIS_URL") as caught:
        asyncio.run(RedisState.connect(url))
    assert not isinstance(caught.value, StateAway)


@pytest.mark.parametrize("shards", [1, 64])
def test_numbers_grow_over_an_older_snapshot_of_an_earlier_life(redis_flushed: str, shards: int) -> None:
    async def body() -> None:
        state, given = await RedisState.connect(redis_flushed, shards), [0]
        events = [pay(i) for i in range(9)]

        async def heal(stop: int) -> None:
            await state.log_states([LOG])
            await call(state, events[:stop], healing=True)
            await call(state, [], stop, healing=True)

        async def live(at: int) -> None:
            answer = await call(state, [events[at]], at)
            numbers = [number for _, number in answer.sequences[0]]
            assert min(numbers) > max(given) or shards > 1
            given.extend(numbers)

        for i in range(3):
            await live(i)
        with redis.Redis.from_url(redis_flushed) as client:
            dump = {key: client.dump(key) for key in client.keys("*")}
            client.flushall()
            await heal(3)
            for i in range(3, 6):
                await live(i)
            client.flushall()
            for key, value in dump.items():
                client.restore(key, 0, value)
        with pytest.raises(Behind):
            await call(state, [events[6]], 6)
        before = max(given)
        await heal(6)
        answer = await call(state, [events[6]], 6)
        assert all(number > before for _, number in answer.sequences[0])
        await state.close()

    asyncio.run(body())


def test_many_reports_of_one_payee_are_told_quickly(redis_flushed: str) -> None:
    """What a report costs must not grow with how many there are: a wave of them would stop the shard."""

    async def body() -> None:
        state = await RedisState.connect(redis_flushed)
        for start in range(0, 3000, 500):
            batch = [told(i, at=NOW + i) for i in range(start, start + 500)]
            await call(state, batch, start, log=REPORTS, healing=True)
        assert slot(await call(state, [pay(0, occurred_at=NOW + DAY)]), "payee", "confirmed", "7d") == 3000
        late = NOW + RETENTION + 3 * DAY
        await call(state, [pay(i, occurred_at=late + i) for i in (1, 2)], 1)
        with redis.Redis.from_url(redis_flushed) as client:
            (payee,) = client.keys("*:payee:*")
            assert client.strlen(payee) < 1000  # reports that fell behind go with the next payments
        await state.close()

    asyncio.run(body())
