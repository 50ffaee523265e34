"""The synchronous door: an order goes onto `transactions`, and its outcome comes back from the log.

Knows no HTTP and no Kafka. Everything here runs on one event loop, so between a look at what is known and the
registration of an order nothing can slip through. docs/adr/0008 says what is matched by what.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass, field
from typing import Any, Protocol

import orjson

from features.transaction import Transaction, content_hash
from stream import metrics
from stream.dead_letter import Rejected
from stream.fields import reais, rfc3339
from stream.health import Health
from stream.http import problems
from stream.http.index import KEEP_MS, Index
from stream.http.outcome import Outcome, Place, Source
from stream.http.problems import Problem
from stream.kafka_client import KafkaAway
from stream.messages import decode_transaction

Answer = bytes | Problem

_MOST_WAITING = 20_000
_MOST_RECENT = 20_000


@dataclass(eq=False)
class Order:
    """One payment order that this door was asked about and that has no outcome yet."""

    event: Transaction
    content: bytes
    body: bytes
    recorded_at: int
    """Its record's timestamp in ms: the door and the worker validate by the same clock."""
    traceparent: bytes | None
    answer: asyncio.Future[Answer]
    source: Source | None = None
    """Where it lies, once the broker said so."""
    early: list[Outcome] = field(default_factory=list)
    """What came before that."""


class Log(Protocol):
    """Kafka, as far as the door uses it."""

    def send(self, order: Order) -> None:
        """Produce the order; `Door.delivered` or `Door.undelivered` is called later. Raises Problem."""

    async def outcome(self, place: Place) -> Outcome | None:
        """The outcome that lies there, if there is one. Raises KafkaAway."""

    async def order(self, source: Source) -> Transaction | None:
        """The order that lies there; None if that can't be told any more. Raises KafkaAway."""


class Door:
    """Asks for decisions and gives each order's own outcome back."""

    def __init__(
        self, log: Log, index: Index, health: Health, deadline: float, clock: Callable[[], float] = time.time
    ) -> None:
        self._log, self._index, self._health = log, index, health
        self._deadline, self._clock = deadline, clock
        self._waiting: dict[str, Order] = {}
        self._recent: OrderedDict[str, tuple[bytes, bytes]] = OrderedDict()
        """Event id → (content, decision) of this door's last answers: a retry costs no read of the log."""
        self._tasks: set[asyncio.Task[None]] = set()

    async def decide(self, body: bytes, traceparent: bytes | None = None) -> bytes:
        """The decision on this order, byte for byte as it lies on `decisions`. Raises Problem."""
        now = self._now()
        try:
            event = decode_transaction(body, now)
        except Rejected as why:
            raise problems.rejected(why) from None
        if not self._health.ready:
            raise problems.away(self._health.waits, event.event_id)
        content = content_hash(event)
        if (known := self._recent.get(event.event_id)) and known[0] == content:
            return known[1]
        order = self._waiting.get(event.event_id) or self._begin(event, content, body, now, traceparent)
        if order.content != content:
            raise problems.reused(event.event_id)
        return await self._answer(order)

    async def _answer(self, order: Order) -> bytes:
        done, _ = await asyncio.wait({order.answer}, timeout=self._deadline)
        answer = order.answer.result() if done else self._late(order)
        if isinstance(answer, Problem):
            raise answer
        return answer

    def _late(self, order: Order) -> Problem:
        event_id = order.event.event_id
        if waits := self._health.waits:
            return problems.away(waits, event_id)
        if order.source is None:
            return problems.unsent(event_id, f"within {self._deadline:g} s")
        return problems.late(event_id, self._deadline)

    def _begin(
        self, event: Transaction, content: bytes, body: bytes, now: int, traceparent: bytes | None
    ) -> Order:
        if len(self._waiting) >= _MOST_WAITING:
            raise problems.crowded(event.event_id)
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        order = Order(event, content, body, now, traceparent, answer)
        self._waiting[event.event_id] = order
        if places := self._index.find(event.event_id):
            self._spawn(order, self._look_up(order, places))
        else:
            self._send(order)
        return order

    def _send(self, order: Order) -> None:
        try:
            self._log.send(order)
        except Problem as problem:
            self._settle(order, problem)

    # What the producer says.

    def delivered(self, order: Order, source: Source) -> None:
        """The broker has it, there."""
        order.source, order.body = source, b""
        early, order.early = order.early, []
        for outcome in early:
            self._consider(order, outcome)

    def undelivered(self, order: Order, why: str) -> None:
        """The broker does not have it, or did not say so in time."""
        self._settle(order, problems.unsent(order.event.event_id, why))

    # What the log says.

    def take(self, outcomes: Iterable[Outcome]) -> None:
        """Outcomes as they come, of this door's orders and of all others."""
        for outcome in outcomes:
            if outcome.is_final:
                self._index.add(outcome.event_id, outcome.place, outcome.timestamp)
            if order := self._waiting.get(outcome.event_id):
                self._consider(order, outcome)

    def _consider(self, order: Order, outcome: Outcome) -> None:
        if order.source is None:
            order.early.append(outcome)
        elif outcome.source.is_at(order.source):
            self._settle(order, _answer(outcome))
        elif (
            outcome.is_final
        ):  # of another record of this event id: the worker passes over ours if it is equal
            self._spawn(order, self._compare(order, outcome))

    async def _compare(self, order: Order, outcome: Outcome) -> None:
        if await self._is_equal(order, outcome):
            self._settle(order, _answer(outcome))

    async def _look_up(self, order: Order, places: list[Place]) -> None:
        """Answer from the log; an order that nobody knows after all is sent."""
        found = [await self._log.outcome(place) for place in places]
        known = [each for each in found if each and each.event_id == order.event.event_id]
        for outcome in sorted(known, key=lambda each: each.rejected is not None):  # decisions before letters
            if await self._is_equal(order, outcome):
                self._settle(order, _answer(outcome))
                return
        if known:
            self._settle(order, problems.reused(order.event.event_id))
        else:
            self._send(order)

    async def _is_equal(self, order: Order, outcome: Outcome) -> bool:
        """Whether the outcome's order has the same content, in every field that we decode."""
        if outcome.rejected is not None:
            return content_hash(decode_transaction(outcome.body, outcome.timestamp)) == order.content
        if not _agrees(outcome.body, order.event):
            return False
        original = await self._log.order(outcome.source)
        if original is None or original.event_id != order.event.event_id:
            return True  # it is gone: the five fields of the decision have to do
        return content_hash(original) == order.content

    def _spawn(self, order: Order, work: Coroutine[Any, Any, None]) -> None:
        async def run() -> None:
            try:
                await work
            except KafkaAway as away:
                self._settle(order, problems.unsent(order.event.event_id, str(away)))
            except Rejected as why:
                self._settle(order, problems.rejected(why))

        task = asyncio.create_task(run())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _settle(self, order: Order, answer: Answer) -> None:
        event_id = order.event.event_id
        if self._waiting.get(event_id) is order:
            del self._waiting[event_id]
        if order.answer.done():
            return
        order.answer.set_result(answer)
        if isinstance(answer, bytes):
            self._recent[event_id] = order.content, answer
            if len(self._recent) > _MOST_RECENT:
                self._recent.popitem(last=False)

    # Housekeeping.

    def sweep(self) -> None:
        """Forget what is older than 15 minutes; call it every second or so."""
        now = self._now()
        self._index.expire(now)
        for order in list(self._waiting.values()):
            if order.recorded_at < now - KEEP_MS:
                self._settle(order, problems.late(order.event.event_id, KEEP_MS / 1000))
        metrics.DOOR_WAITING.set(len(self._waiting))
        metrics.DOOR_KNOWN.set(len(self._index))

    def give_up(self, why: str) -> None:
        """Answer everyone who waits: what was sent will have no outcome that this door can see."""
        for order in list(self._waiting.values()):
            self._settle(order, problems.unsent(order.event.event_id, why))

    def _now(self) -> int:
        return int(self._clock() * 1000)


def _answer(outcome: Outcome) -> Answer:
    return outcome.body if outcome.rejected is None else problems.rejected(outcome.rejected)


def _agrees(decision: bytes, event: Transaction) -> bool:
    """What a decision tells of its order."""
    told = orjson.loads(decision)
    return bool(
        told["occurred_at"] == rfc3339(event.occurred_at)
        and told["amount"] == reais(event.amount)
        and told["payer_account"] == event.payer_account
        and told["payee_account"] == event.payee_account
    )
