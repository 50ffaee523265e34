"""What the audit asks of a Redis and does to it, without Kafka: whose it is, its logs, what is deleted."""

import asyncio
from collections.abc import Awaitable, Callable
from itertools import pairwise
from typing import Any, NoReturn, TypeVar

import numpy as np
import pytest
import redis
from numpy.typing import NDArray

from deploy.local.process import wait_until
from features import redis_client
from features.errors import VigiaError
from features.memory_state import MemoryState
from features.redis_state import RedisState
from features.state import Entry, LogId, Span, StateAway
from features.transaction import Transaction
from stream.audit.rebuild import make_room
from stream.audit.store import inventory, require_state

pytestmark = pytest.mark.redis

T = TypeVar("T")

NOW = 1_795_275_000_000
LOG = LogId("g", "transactions", "id", 0)
SHARDS = pytest.mark.parametrize("shards", [1, 4])


def run(url: str, shards: int, do: Callable[[RedisState], Awaitable[T]]) -> T:
    async def whole() -> T:
        state = await RedisState.connect(url, shards)
        try:
            return await do(state)
        finally:
            await state.close()

    return asyncio.run(whole())


def dump(url: str) -> dict[bytes, bytes | None]:
    with redis.Redis.from_url(url) as client:
        return {key: client.dump(key) for key in client.scan_iter()}


async def pay(state: RedisState, log: LogId = LOG) -> None:
    """Two payments and a repeat, applied but not committed: their answers are kept."""
    events = [Transaction(f"e-{i}", NOW + i, 100, "a", f"b-{i}") for i in (0, 1)]
    entries = [Entry(0, i, event) for i, event in enumerate([*events, events[0]])]
    await state.apply([Span(log, 0, 0, 3, healing=False)], entries)


@SHARDS
@pytest.mark.parametrize("flush", [True, False])
@pytest.mark.parametrize("held", [True, False])
def test_no_room_is_made_in_the_state_of_another_group(
    redis_flushed: str, shards: int, flush: bool, held: bool
) -> None:
    async def live(state: RedisState) -> None:
        await state.claim("live")
        if held:
            await pay(state)

    run(redis_flushed, shards, live)
    before = dump(redis_flushed)
    with pytest.raises(VigiaError, match=r"'live'.*'g'"):
        run(redis_flushed, shards, lambda state: make_room(state, "g", flush))
    assert dump(redis_flushed) == before


def test_a_refusal_claims_nothing(redis_flushed: str) -> None:
    run(redis_flushed, 1, pay)  # a history that `features build --redis` left is nobody's
    before = dump(redis_flushed)
    with pytest.raises(VigiaError, match="--flush"):
        run(redis_flushed, 1, lambda state: make_room(state, "g", flush=False))
    assert dump(redis_flushed) == before


@SHARDS
def test_the_claim_outlives_the_deletion(redis_flushed: str, shards: int) -> None:
    run(redis_flushed, shards, pay)
    held = len(dump(redis_flushed))
    assert run(redis_flushed, shards, lambda state: make_room(state, "g", flush=True)) == held
    assert [key.rpartition(b":")[2] for key in dump(redis_flushed)] == [b"group"]
    assert run(redis_flushed, shards, lambda state: make_room(state, "g", flush=False)) == 0
    assert run(redis_flushed, shards, lambda state: state.claim("other")) == "g"


@SHARDS
@pytest.mark.parametrize("group", ["g", "a:b", "log:answers"])
def test_what_goes_with_a_log_is_no_log(redis_flushed: str, shards: int, group: str) -> None:
    log = LogId(group, "transactions", "id", 0)

    async def found(state: RedisState) -> set[tuple[str, str, str]]:
        await pay(state, log)
        return (await inventory(state)).logs

    assert run(redis_flushed, shards, found) == {(group, "transactions", "id")}
    kept = {key.rpartition(b":")[2] for key in dump(redis_flushed)}
    assert b"answers" in kept, "two payments are not committed yet"
    assert (b"passed" in kept) == (shards > 1), "and one was a repeat"


def test_redis_goes_away_while_its_keys_are_counted(
    redis_flushed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Going:
        async def scan(self, cursor: int, **_: Any) -> Any:
            if cursor == 0:
                return 1, [b"{s00}:anotherlayout:pair:x"]
            raise redis.ConnectionError("gone")

    async def dial(_: RedisState) -> Any:
        return Going()

    async def count(state: RedisState) -> NoReturn:
        with monkeypatch.context() as patch:
            patch.setattr(RedisState, "client", dial)
            await inventory(state)
        raise AssertionError

    with pytest.raises(StateAway, match="gone"):
        run(redis_flushed, 1, count)


@pytest.mark.parametrize("claimed", [True, False])
@pytest.mark.parametrize(("theirs", "mine"), [(1, 4), (4, 1)])
def test_keys_of_another_number_of_shards_are_told(
    redis_flushed: str, claimed: bool, theirs: int, mine: int
) -> None:
    run(redis_flushed, theirs, pay)
    if claimed:
        run(redis_flushed, mine, lambda state: state.claim("g"))
    before = dump(redis_flushed)
    with pytest.raises(VigiaError, match=f"set VIGIA_STATE_SHARDS={theirs}, not {mine}"):
        run(redis_flushed, mine, lambda state: require_state(state, "g"))
    assert dump(redis_flushed) == before


def test_keys_of_another_version_are_told(redis_flushed: str) -> None:
    with redis.Redis.from_url(redis_flushed) as client:
        client.set("{s00}:0123abcd-64:pair:x", "1")
    with pytest.raises(VigiaError, match=r"1 of layout 0123abcd-64\): another version"):
        run(redis_flushed, 1, lambda state: require_state(state, "g"))


@SHARDS
def test_only_a_state_of_the_group_is_verified(redis_flushed: str, shards: int) -> None:
    def check(says: str) -> None:
        before = dump(redis_flushed)
        with pytest.raises(VigiaError, match=says):
            run(redis_flushed, shards, lambda state: require_state(state, "g"))
        assert dump(redis_flushed) == before

    check("the state is empty")
    run(redis_flushed, shards, pay)
    check("no group has claimed")
    run(redis_flushed, shards, lambda state: state.claim("g"))
    run(redis_flushed, shards, lambda state: require_state(state, "g"))
    with redis.Redis.from_url(redis_flushed) as client:
        client.set(next(client.scan_iter(match="*:group")), "live")
    check("'live'.*'g'")


def test_a_call_is_on_its_way_before_others_get_the_processor(redis_flushed: str) -> None:
    """A worker that then decides another batch, for 20 ms, would hold it up as long."""

    async def ask(state: RedisState) -> None:
        await state.apply([Span(LOG, 0, 0, 0)], [])  # connected, and the script is known
        with redis.Redis.from_url(redis_flushed) as client:
            made = client.info("commandstats")["cmdstat_evalsha"]["calls"]
            call = asyncio.create_task(state.apply([Span(LOG, 0, 0, 1)], []))
            await asyncio.sleep(0)  # it begins; from here on nothing else runs in this loop

            def arrived() -> bool:
                return bool(client.info("commandstats")["cmdstat_evalsha"]["calls"] > made)

            assert wait_until(arrived, 5)
        await call

    run(redis_flushed, 1, ask)


def test_a_server_that_keeps_silent_is_away_and_the_next_call_gets_its_own_answer(
    redis_flushed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_client, "_ANSWER_SECONDS", 0.5)

    async def ask(state: RedisState) -> None:
        await state.claim("mine")
        client = await state.client()
        with pytest.raises(StateAway, match="nothing came within"):
            await redis_client.answer(client.execute_command("DEBUG", "SLEEP", "1"))
        with redis.Redis.from_url(redis_flushed) as other:  # answers when the server is awake again
            assert other.ping()
        assert await state.owner() == "mine"

    run(redis_flushed, 1, ask)


@SHARDS
def test_calls_that_are_made_before_the_one_before_is_answered_are_applied_in_order(
    redis_flushed: str, shards: int
) -> None:
    """Some heavy and some light, as one call would have applied it."""
    events = [Transaction(f"e-{i}", NOW + 1000 * i, 100, f"a-{i % 3}", f"b-{i % 5}") for i in range(600)]
    stops = [0]
    while stops[-1] < len(events):
        stops.append(min(len(events), stops[-1] + (1, 40, 3, 2)[len(stops) % 4]))
    parts = [range(*ends) for ends in pairwise(stops)]

    async def overlapping(state: RedisState) -> NDArray[np.float64]:
        await state.apply([Span(LOG, 0, 0, 0)], [])  # connected, and the script is known
        calls = [
            state.apply(
                [Span(LOG, 0, part.start, part.stop)], [Entry(0, offset, events[offset]) for offset in part]
            )
            for part in parts
        ]
        return np.vstack([answer.slots for answer in await asyncio.gather(*calls)])

    async def expected() -> NDArray[np.float64]:
        entries = [Entry(0, offset, event) for offset, event in enumerate(events)]
        return (await MemoryState().apply([Span(LOG, 0, 0, len(events))], entries)).slots

    np.testing.assert_array_equal(run(redis_flushed, shards, overlapping), asyncio.run(expected()))


def test_an_error_is_the_answer_to_its_own_command(redis_flushed: str) -> None:
    async def ask(line: redis_client.Line) -> None:
        before, wrong, after = await asyncio.gather(
            line("ECHO", "before"), line("NONE"), line("ECHO", "after"), return_exceptions=True
        )
        assert (before, after) == (b"before", b"after")
        assert isinstance(wrong, redis.ResponseError)

    on_a_line(redis_flushed, ask)


def test_what_waits_on_a_connection_that_ends_fails_and_the_next_command_has_another(
    redis_flushed: str,
) -> None:
    async def ask(line: redis_client.Line) -> None:
        name = await line("CLIENT", "ID")
        waiting = [
            asyncio.create_task(line("BLPOP", "nothing", "0")),
            asyncio.create_task(line("ECHO", "lost")),
        ]
        with redis.Redis.from_url(redis_flushed) as other:
            while other.info("clients")["blocked_clients"] == 0:  # noqa: ASYNC110 - the server's
                await asyncio.sleep(0.01)
            other.execute_command("CLIENT", "KILL", "ID", name)
        said = await asyncio.gather(*waiting, line("ECHO", "meanwhile"), return_exceptions=True)
        assert all(isinstance(each, redis.ConnectionError) for each in said[:2]), said
        assert isinstance(said[2], redis.ConnectionError) or said[2] == b"meanwhile"
        assert await line("ECHO", "next") == b"next"
        assert await line("CLIENT", "ID") != name

    on_a_line(redis_flushed, ask)


def on_a_line(url: str, do: Callable[[redis_client.Line], Awaitable[None]]) -> None:
    async def whole() -> None:
        client = await redis_client.dial(url)
        line = redis_client.Line(client)
        try:
            async with asyncio.timeout(20):
                await do(line)
        finally:
            await line.aclose()
            await client.aclose()

    asyncio.run(whole())
