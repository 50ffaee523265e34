"""The door's matching, over a log that is a list: what answers which order."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import orjson
import pytest

from features.transaction import Transaction
from stream.dead_letter import Rejected
from stream.fields import reais, rfc3339
from stream.health import Health
from stream.http.door import Door, Order
from stream.http.index import KEEP_MS, Index
from stream.http.outcome import Outcome, Place, Source
from stream.http.problems import Problem
from stream.kafka_client import KafkaAway
from stream.messages import decode_transaction

NOW = 1_763_739_000_000


def order(event_id: str = "e", **other: object) -> bytes:
    payment = {
        "event_id": event_id,
        "occurred_at": "2025-11-21T15:30:00.000Z",
        "amount": "150.00",
        "payer": {"account": "a"},
        "payee": {"account": "b"},
    }
    return orjson.dumps(payment | other)


def decided(body: bytes, source: Source, at: int = 0) -> Outcome:
    """The decision on an order; `at` is its own offset."""
    event = decode_transaction(body, NOW)
    decision = {
        "event_id": event.event_id,
        "decision": "APPROVE",
        "occurred_at": rfc3339(event.occurred_at),
        "amount": reais(event.amount),
        "payer_account": event.payer_account,
        "payee_account": event.payee_account,
        "of": [source.partition, source.offset],
    }
    place = Place("decisions", source.partition, at)
    return Outcome(event.event_id, source, place, NOW, orjson.dumps(decision))


def letter(body: bytes, source: Source, code: str, at: int = 0) -> Outcome:
    event_id = orjson.loads(body)["event_id"]
    place = Place("dead-letters", source.partition, at)
    return Outcome(event_id, source, place, NOW, body, Rejected(code, "why", event_id))


class ListLog:
    """What was sent, and what lies where."""

    def __init__(self) -> None:
        self.sent: list[Order] = []
        self.orders: dict[tuple[int, int], Transaction] = {}
        self.outcomes: dict[Place, Outcome] = {}
        self.away = False
        self.full = False

    def send(self, order: Order) -> None:
        if self.full:
            raise Problem(503, "TOO_MANY_WAITING", "no room")
        self.sent.append(order)

    async def outcome(self, place: Place) -> Outcome | None:
        if self.away:
            raise KafkaAway("away")
        return self.outcomes.get(place)

    async def order(self, source: Source) -> Transaction | None:
        if self.away:
            raise KafkaAway("away")
        return self.orders.get(source[:2])


class World:
    """A door, its log, and requests under way."""

    def __init__(self, deadline: float = 5.0) -> None:
        self.log, self.health, self.now = ListLog(), Health(), NOW
        self.health.start()
        self.door = Door(self.log, Index(), self.health, deadline, lambda: self.now / 1000)

    def ask(self, body: bytes) -> "asyncio.Task[bytes | Problem]":
        async def asked() -> bytes | Problem:
            try:
                return await self.door.decide(body)
            except Problem as problem:
                return problem

        return asyncio.create_task(asked())

    def learn(self, outcome: Outcome, body: bytes) -> Outcome:
        """It lies on the log, and its order too."""
        self.log.outcomes[outcome.place] = outcome
        self.log.orders[outcome.source[:2]] = decode_transaction(body, NOW)
        return outcome

    def deliver(self, offset: int = 7, which: int = -1, topic_id: str | None = "t") -> Source:
        source = Source(0, offset, topic_id)
        self.door.delivered(self.log.sent[which], source)
        return source


def on_a_loop(test: Callable[[World], Awaitable[None]]) -> Callable[[], None]:
    """A test in a loop of its own. (Not wrapped: pytest should not see the world for a fixture.)"""

    def run() -> None:
        async def main() -> None:
            await asyncio.wait_for(test(World()), 10)

        asyncio.run(main())

    run.__doc__ = test.__doc__
    return run


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


def told(answer: bytes | Problem) -> tuple[int, str]:
    assert isinstance(answer, Problem), answer
    return answer.status, answer.code


@on_a_loop
async def test_an_order_is_answered_with_its_own_decision(world: World) -> None:
    asked = world.ask(order())
    await settle()
    source = world.deliver()
    others = [decided(order("other"), source), decided(order(amount="1.00"), Source(0, 3, "t"))]
    world.door.take(others)
    await settle()
    assert not asked.done()
    mine = decided(order(), source)
    world.door.take([mine])
    assert await asked == mine.body
    assert [sent.event.event_id for sent in world.log.sent] == ["e"]


@on_a_loop
async def test_a_decision_that_comes_before_the_acknowledgement_waits_for_it(world: World) -> None:
    asked = world.ask(order())
    await settle()
    mine = decided(order(), Source(0, 7, "t"))
    world.door.take([mine])
    await settle()
    assert not asked.done()
    world.deliver(7)
    assert await asked == mine.body


@on_a_loop
async def test_equal_requests_share_one_order_and_another_content_is_refused(world: World) -> None:
    spaced = order().replace(b",", b" , ")
    asked = [world.ask(order()), world.ask(spaced), world.ask(order(amount="1.00"))]
    await settle()
    assert len(world.log.sent) == 1
    assert told(await asked[2]) == (409, "EVENT_ID_REUSED")
    mine = decided(order(), world.deliver())
    world.door.take([mine])
    assert [await asked[0], await asked[1]] == [mine.body, mine.body]


@on_a_loop
async def test_a_repeat_gets_the_same_bytes_and_sends_nothing(world: World) -> None:
    first = world.learn(decided(order(), Source(0, 7, "t")), order())
    world.door.take([first])  # another door's, or before a restart
    assert await world.ask(order()) == first.body
    assert told(await world.ask(order(amount="1.00"))) == (409, "EVENT_ID_REUSED")
    assert told(await world.ask(order(device={"id": "d"}))) == (409, "EVENT_ID_REUSED")
    assert world.log.sent == []


@on_a_loop
async def test_an_own_answer_is_repeated_without_reading_the_log(world: World) -> None:
    asked = world.ask(order())
    await settle()
    mine = world.learn(decided(order(), world.deliver()), order())
    world.door.take([mine])
    await asked
    world.log.away = True
    assert await world.ask(order()) == mine.body


@on_a_loop
async def test_the_first_decision_stands_beside_a_replayed_one(world: World) -> None:
    first, again = decided(order(), Source(0, 7, "t"), 1), decided(order(), Source(0, 9, "t"), 2)
    world.door.take([world.learn(first, order()), world.learn(again, order())])
    assert await world.ask(order()) == first.body


@on_a_loop
async def test_what_an_equal_order_of_another_sender_got_is_the_answer(world: World) -> None:
    """The worker passes over a repeat in silence: ours came after theirs."""
    asked = world.ask(order())
    await settle()
    world.deliver(9)
    theirs = world.learn(decided(order(), Source(0, 7, "t")), order())
    world.door.take([theirs])
    assert await asked == theirs.body


@on_a_loop
async def test_what_differs_in_a_field_that_decisions_do_not_tell_is_no_answer(world: World) -> None:
    asked = world.ask(order())
    await settle()
    source = world.deliver(9)
    body = order(device={"id": "d"})
    world.door.take([world.learn(decided(body, Source(0, 7, "t")), body)])
    await settle()
    assert not asked.done()
    world.door.take([letter(order(), source, "EVENT_ID_REUSED")])
    assert told(await asked) == (409, "EVENT_ID_REUSED")


@on_a_loop
async def test_the_same_offset_of_a_topic_made_anew_is_another_record(world: World) -> None:
    asked = world.ask(order())
    await settle()
    world.deliver(7, topic_id="new")
    old = decided(order(amount="1.00"), Source(0, 7, "old"))
    world.door.take([old])
    await settle()
    assert not asked.done()


@pytest.mark.parametrize(
    ("code", "status"),
    [("EVENT_ID_REUSED", 409), ("TIME_AHEAD", 422), ("SCORING_ERROR", 500), ("MESSAGE_TOO_LARGE", 413)],
)
def test_a_dead_letter_answers_its_order(code: str, status: int) -> None:
    @on_a_loop
    async def run(world: World) -> None:
        asked = world.ask(order())
        await settle()
        world.door.take([letter(order(), world.deliver(), code)])
        assert told(await asked) == (status, code)

    run()


@on_a_loop
async def test_an_order_that_failed_to_score_is_told_again_until_it_is_decided(world: World) -> None:
    world.door.take([world.learn(letter(order(), Source(0, 7), "SCORING_ERROR", 1), order())])
    assert told(await world.ask(order())) == (500, "SCORING_ERROR")
    replayed = world.learn(decided(order(), Source(0, 9, "t"), 4), order())
    world.door.take([replayed])
    assert await world.ask(order()) == replayed.body


@on_a_loop
async def test_a_refused_order_may_be_asked_again(world: World) -> None:
    world.door.take([letter(order(), Source(0, 7), "TIME_AHEAD")])
    world.ask(order())
    await settle()
    assert len(world.log.sent) == 1


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"{", 422, "NOT_JSON"),
        (b"", 422, "EMPTY"),
        (b"\xff", 422, "NOT_UTF8"),
        (b"[]", 422, "NOT_AN_OBJECT"),
        (b"{}", 422, "FIELD_MISSING"),
        (order(amount="0"), 422, "AMOUNT_NOT_POSITIVE"),
        (order(occurred_at="2025-11-21T17:30:00Z"), 422, "TIME_AHEAD"),
        (b" " * 70_000, 413, "MESSAGE_TOO_LARGE"),
    ],
)
def test_a_bad_order_is_refused_with_the_dead_letters_code_and_not_sent(
    body: bytes, status: int, code: str
) -> None:
    @on_a_loop
    async def run(world: World) -> None:
        assert told(await world.ask(body)) == (status, code)
        assert world.log.sent == []

    run()


@on_a_loop
async def test_nothing_is_sent_while_a_decision_cannot_be_made(world: World) -> None:
    world.health.waiting("redis", "away")
    answer = await world.ask(order())
    assert told(answer) == (503, "DEPENDENCY_AWAY")
    assert isinstance(answer, Problem)
    assert answer.headers() == {"Retry-After": "2"}
    world.health.answered("redis")
    world.health.waiting("index", "loading")
    assert told(await world.ask(order())) == (503, "NOT_READY")
    assert world.log.sent == []


def late(before: Callable[[World], Any]) -> tuple[int, str]:
    async def main() -> bytes | Problem:
        world = World(deadline=0.05)
        asked = world.ask(order())
        await settle()
        before(world)
        return await asked

    return told(asyncio.run(main()))


def test_after_the_deadline_the_answer_says_what_is_known() -> None:
    assert late(lambda world: world.deliver()) == (504, "NO_DECISION_YET")
    assert late(lambda _: None) == (503, "DEPENDENCY_AWAY"), "Kafka did not acknowledge it"

    def redis_goes(world: World) -> None:
        world.deliver()
        world.health.waiting("redis", "away")

    assert late(redis_goes) == (503, "DEPENDENCY_AWAY")


def test_asked_again_after_the_deadline_it_is_the_same_order() -> None:
    async def main() -> None:
        world = World(deadline=0.05)
        assert told(await world.ask(order())) == (503, "DEPENDENCY_AWAY")
        source = world.deliver()
        assert told(await world.ask(order())) == (504, "NO_DECISION_YET")
        again = world.ask(order())
        await settle()
        mine = decided(order(), source)
        world.door.take([mine])
        assert await again == mine.body
        assert len(world.log.sent) == 1

    asyncio.run(main())


@on_a_loop
async def test_an_order_that_kafka_did_not_take_is_sent_anew(world: World) -> None:
    asked = world.ask(order())
    await settle()
    world.door.undelivered(world.log.sent[0], "timed out")
    assert told(await asked) == (503, "DEPENDENCY_AWAY")
    world.ask(order())
    await settle()
    assert len(world.log.sent) == 2


@on_a_loop
async def test_a_producer_without_room_is_a_503(world: World) -> None:
    world.log.full = True
    assert told(await world.ask(order())) == (503, "TOO_MANY_WAITING")
    world.log.full = False
    world.ask(order())
    await settle()
    assert len(world.log.sent) == 1


@on_a_loop
async def test_a_repeat_that_cannot_be_looked_up_is_a_503(world: World) -> None:
    world.door.take([world.learn(decided(order(), Source(0, 7, "t")), order())])
    world.log.away = True
    assert told(await world.ask(order())) == (503, "DEPENDENCY_AWAY")
    assert world.log.sent == []


@on_a_loop
async def test_a_topic_made_anew_answers_who_waits(world: World) -> None:
    asked = world.ask(order())
    await settle()
    world.deliver()
    world.door.give_up("made anew")
    assert told(await asked) == (503, "DEPENDENCY_AWAY")


@on_a_loop
async def test_after_15_minutes_it_is_forgotten(world: World) -> None:
    world.door.take([world.learn(decided(order(), Source(0, 7, "t")), order())])
    world.now += KEEP_MS + 120_000
    world.door.sweep()
    world.ask(order())
    await settle()
    assert len(world.log.sent) == 1


@on_a_loop
async def test_one_who_leaves_does_not_take_the_answer_of_the_others(world: World) -> None:
    leaves, stays = world.ask(order()), world.ask(order())
    await settle()
    leaves.cancel()
    await settle()
    mine = decided(order(), world.deliver())
    world.door.take([mine])
    assert await stays == mine.body
