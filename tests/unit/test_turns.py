"""Batches that overlap: in order, bounded, and nobody else's once a rebalance came."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from functools import wraps
from types import SimpleNamespace
from typing import Any

import pytest

from features.state import Behind, LogId, StateAway
from stream.batch import Assignment
from stream.fence import Fence
from stream.health import Health
from stream.record import Record
from stream.stands import Stand
from stream.turns import Turns
from stream.worker import Skipped, Worker

PLACE = ("transactions", 0)


class Outputs:
    """Delivers when it is let; a delivery is the number of its batch."""

    def __init__(self) -> None:
        self.let, self.begun = asyncio.Event(), asyncio.Event()
        self.sent: list[int] = []
        self.done: list[int] = []

    def send(self, outcomes: Any) -> int:
        self.sent.append(outcomes.number)
        return int(outcomes.number)

    async def delivered(self, delivery: int) -> None:
        self.begun.set()
        await self.let.wait()
        self.done.append(delivery)


class Pipeline:
    """A batch is its first offset; the state answers when it is let."""

    def __init__(self) -> None:
        self.assignments: dict[Any, Any] = {}
        self.let = asyncio.Event()
        self.asked: list[int] = []
        self.read_: list[int] = []
        self.behind: set[int] = set()

    def decode(self, records: Any) -> Any:
        (record,) = records
        return SimpleNamespace(number=record.offset, stops={PLACE: record.offset}, taken=Counter())

    def ask(self, batch: Any) -> Any:
        self.asked.append(batch.number)
        return SimpleNamespace(batch=batch)

    async def call(self, asked: Any) -> Any:
        """Like the state: behind until it is healed, for all that comes after it too."""
        number = asked.batch.number
        await self.let.wait()
        if self.behind and number >= min(self.behind):
            raise Behind
        return number

    def answered(self, _: Any, answer: int) -> int:
        self.read_.append(answer)
        return answer

    def decide(self, answered: Any) -> Any:
        return SimpleNamespace(number=answered, dead_letters=[], decided=[])


class Intake:
    """One event at a time, always of the generation that is asked for."""

    flowing, generation = True, 1
    told: Any = None

    def is_current(self, _: Any) -> bool:
        return self.flowing

    def records(self, event: Any) -> list[Record]:
        return [Record(*PLACE, event.number, 0, None, b"{}")]

    def begins(self, event: Any) -> tuple[Any, int]:
        return PLACE, event.number

    def assigned(self) -> list[Any]:
        return [PLACE]

    def committed(self) -> dict[Any, int]:
        return {}

    def observe_lag(self, positions: Any) -> None:
        self.told = positions

    async def batches(self, stream: list[Any]) -> Any:
        for event in stream:
            yield [event]


class Scene:
    def __init__(self) -> None:
        self.pipeline, self.outputs, self.intake = Pipeline(), Outputs(), Intake()
        self.acks: list[int] = []
        self.attached = 0
        self.healed: list[list[int]] = []
        """What was delivered when the state was healed."""
        health, missing = Health(), SimpleNamespace()
        self.ids: dict[str, str | None] = {"transactions": "t", "fraud-reports": "r"}
        self.kafka = SimpleNamespace(topic_ids=lambda _: self.ids)
        self.log: list[Record] = []
        self.fence = Fence({"transactions": "t", "fraud-reports": "r"}, health, lambda: None)
        made: Any = (self.pipeline, self.outputs, self.kafka, health, self.fence, missing)
        self.worker = Worker(*made, group="g")
        self.worker.attach = self._attach  # type: ignore[assignment,method-assign]
        self.worker._make_whole = self._heal  # type: ignore[assignment,method-assign]
        self.commits = SimpleNamespace(in_doubt=False)
        turning: Any = (self.intake, self.worker, health, self.commits, 0)
        self.turns = Turns(*turning)

    async def _attach(self, *_: Any) -> None:
        self.attached += 1

    async def _heal(self, *_: Any, **__: Any) -> None:
        self.healed.append(list(self.outputs.done))
        self.pipeline.behind.clear()

    def begin(self, *numbers: int) -> "asyncio.Task[None]":
        """Take these batches."""
        return asyncio.create_task(self.turns.take([self._event(number) for number in numbers]))

    def _event(self, number: int) -> Any:
        message = SimpleNamespace(records=[None], received=0.0)
        return SimpleNamespace(number=number, message=message, ack=lambda: self.acks.append(number))

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(5):
            while not condition():  # noqa: ASYNC110 - of the scene's whole state
                await asyncio.sleep(0)

    async def settle(self) -> None:
        """Let everything go on that can."""
        for _ in range(100):
            await asyncio.sleep(0)


def on_scene(story: Callable[[Scene], Awaitable[None]]) -> Callable[[], None]:
    @wraps(story)
    def test() -> None:
        async def run() -> None:
            await story(Scene())

        asyncio.run(run())

    del test.__wrapped__  # type: ignore[attr-defined]  # pytest would ask for a fixture `scene`
    return test


@on_scene
async def test_who_was_frozen_asks_the_group_before_it_decides(scene: Scene) -> None:
    scene.outputs.let.set()
    scene.pipeline.let.set()
    scene.commits.in_doubt = True
    scene.begin(7)
    await scene.settle()
    assert (scene.pipeline.read_, scene.outputs.sent) == ([7], [])
    scene.commits.in_doubt = False  # it is a member still
    await scene.until(lambda: scene.acks == [7])
    scene.commits.in_doubt = True
    scene.begin(8)
    await scene.settle()
    scene.turns.forget()  # it is none: another has them
    await scene.until(lambda: scene.turns._left)
    assert (scene.pipeline.read_, scene.outputs.sent, scene.acks) == ([7, 8], [7], [7])


@on_scene
async def test_a_batch_that_is_no_longer_mine_is_not_delivered(scene: Scene) -> None:
    scene.outputs.let.set()
    scene.begin(7)
    await scene.settle()
    await scene.turns.give_up()
    scene.turns.forget()  # it joined again, as the first generation of a group that began anew
    scene.pipeline.let.set()
    await scene.settle()
    assert (scene.pipeline.read_, scene.outputs.sent, scene.acks) == ([7], [], [])
    scene.begin(7)
    await scene.until(lambda: bool(scene.acks))
    assert (scene.outputs.sent, scene.acks, scene.attached) == ([7], [7], 2)


@on_scene
async def test_the_lag_is_told_with_a_batch_on_its_way_and_only_of_what_is_attached(scene: Scene) -> None:
    await scene.turns.tell_lag()
    assert scene.intake.told is None
    scene.begin(7)
    await scene.settle()
    assert scene.acks == []
    await scene.turns.tell_lag()
    assert scene.intake.told == scene.worker.positions()
    scene.intake.told = None
    scene.intake.flowing = False
    await scene.turns.tell_lag()
    scene.intake.flowing = True
    scene.turns.forget()
    await scene.turns.tell_lag()
    assert scene.intake.told is None


@on_scene
async def test_records_of_a_topic_that_is_gone_are_delivered_by_whoever_has_them(scene: Scene) -> None:
    scene.ids["transactions"] = None
    scene.outputs.let.set()
    scene.begin(0)
    await scene.settle()
    await scene.turns.give_up()
    scene.turns.forget()
    scene.pipeline.let.set()
    await scene.outputs.begun.wait()
    await scene.settle()
    assert scene.acks == []  # the fence: nothing is acknowledged


@on_scene
async def test_a_delivery_in_flight_holds_the_rebalance(scene: Scene) -> None:
    scene.pipeline.let.set()
    scene.begin(3)
    await scene.outputs.begun.wait()
    rebalance = asyncio.create_task(scene.turns.give_up())
    await scene.settle()
    assert not rebalance.done()
    assert not await scene.worker.delivered(0.01)
    scene.outputs.let.set()
    await rebalance
    assert scene.outputs.done == [3]
    await scene.until(lambda: scene.acks == [3])


@on_scene
async def test_a_rebalance_while_attaching_attaches_again(scene: Scene) -> None:
    attach = scene.worker.attach

    async def and_rebalance(*args: Any) -> None:
        await attach(*args)
        if scene.attached == 1:
            scene.turns.forget()

    scene.worker.attach = and_rebalance  # type: ignore[assignment,method-assign]
    await scene.turns.attach()
    assert scene.attached == 2


@on_scene
async def test_batches_overlap_within_bounds_and_are_acknowledged_in_order(scene: Scene) -> None:
    scene.pipeline.let.set()
    taking = scene.begin(*range(10))
    await scene.settle()
    # Nothing is reported delivered, and still the next ones were read and sent: but only so many.
    assert scene.pipeline.read_ == scene.outputs.sent == [0, 1, 2, 3]
    assert scene.acks == []
    scene.outputs.let.set()
    await taking
    await scene.until(lambda: len(scene.acks) == 10)
    assert scene.pipeline.read_ == scene.outputs.sent == scene.acks == list(range(10))


@on_scene
async def test_a_later_delivery_that_is_done_first_waits_for_the_earlier_one(scene: Scene) -> None:
    first = asyncio.Event()

    async def delivered(delivery: int) -> None:
        if delivery == 0:
            await first.wait()
        scene.outputs.done.append(delivery)

    scene.outputs.delivered = delivered  # type: ignore[method-assign]
    scene.pipeline.let.set()
    scene.begin(0, 1, 2)
    await scene.until(lambda: scene.outputs.done == [1, 2])
    await scene.settle()
    assert scene.acks == []
    first.set()
    await scene.until(lambda: scene.acks == [0, 1, 2])


@on_scene
async def test_what_was_read_before_is_delivered_before_the_state_is_healed(scene: Scene) -> None:
    """A heal marks what it reads as decided: a worker that dies after it would leave the rest undecided."""
    scene.pipeline.let.set()
    scene.pipeline.behind = {2}
    scene.begin(0, 1, 2, 3)
    await scene.until(lambda: scene.outputs.sent == [0, 1])
    await scene.settle()
    assert scene.healed == []
    scene.outputs.let.set()
    await scene.until(lambda: scene.acks == [0, 1, 2, 3])
    assert scene.healed == [[0, 1]]


@on_scene
async def test_nobody_attaches_while_a_batch_is_on_its_way(scene: Scene) -> None:
    scene.pipeline.let.set()
    scene.begin(0, 1)
    await scene.until(lambda: scene.outputs.sent == [0, 1])
    scene.turns.forget()
    attaching = asyncio.create_task(scene.turns.attach())
    await scene.settle()
    assert (scene.attached, attaching.done()) == (1, False)
    scene.outputs.let.set()
    await attaching
    assert scene.attached == 2


@on_scene
async def test_behind_a_closed_fence_the_last_batch_acknowledges_for_all(scene: Scene) -> None:
    scene.pipeline.let.set()
    scene.begin(0, 1, 2)
    await scene.until(lambda: scene.outputs.sent == [0, 1, 2])
    scene.fence.look({"transactions": None, "fraud-reports": "r"})
    scene.outputs.let.set()
    await scene.until(lambda: sorted(scene.outputs.done) == [0, 1, 2])
    await scene.settle()
    assert scene.acks == []
    scene.fence.look({"transactions": "t", "fraud-reports": "r"})
    await scene.until(lambda: scene.acks == [0, 1, 2])


@on_scene
async def test_a_record_that_was_passed_over_is_never_acknowledged(scene: Scene) -> None:
    """Faust's own bookkeeping of gaps is off: should it ever hand on too little, nothing is committed."""
    scene.pipeline.assignments[PLACE] = Assignment(LogId("g", "transactions", "t", 0), 3, 3)
    asked: list[Any] = []

    def records(*wanted: Any) -> list[Record]:
        asked.append(wanted)
        return [record for record in scene.log if wanted[2] <= record.offset < wanted[3]]

    committed = 3
    scene.kafka.records = records
    scene.kafka.stands = lambda _: {PLACE: Stand(committed, 0, 9)}
    await scene.worker.check_holes({PLACE: 3})
    assert asked == []
    await scene.worker.check_holes({PLACE: 5})  # the marker of a transaction, say
    assert asked == [(*PLACE, 3, 5, 1)]
    scene.log = [Record(*PLACE, 4, 0, None, b"{}")]
    with pytest.raises(Skipped):
        await scene.worker.check_holes({PLACE: 5})
    committed = 5  # by a commit that was on its way when it attached
    await scene.worker.check_holes({PLACE: 5})


@on_scene
async def test_nothing_is_healed_behind_a_batch_that_was_left_to_its_new_owner(scene: Scene) -> None:
    """A heal takes what was read for decided; what was read and not sent would be passed over for ever."""
    answering = asyncio.Event()
    call = scene.pipeline.call

    async def call_slowly(asked: Any) -> Any:
        if asked.batch.number == 1:
            await answering.wait()
        return await call(asked)

    scene.pipeline.call = call_slowly  # type: ignore[method-assign]
    scene.pipeline.behind = {1}
    scene.begin(0, 1)
    await scene.settle()
    scene.turns.forget()  # a rebalance, while both are with the state
    scene.pipeline.let.set()
    await scene.settle()
    answering.set()
    await scene.settle()
    assert (scene.outputs.sent, scene.healed, scene.acks) == ([], [], [])


@on_scene
async def test_who_leaves_sends_nothing_more_and_waits_for_what_is_sent(scene: Scene) -> None:
    scene.pipeline.let.set()
    scene.begin(0)
    await scene.outputs.begun.wait()
    leaving = asyncio.create_task(scene.turns.finish())
    await scene.settle()
    assert not leaving.done()
    scene.begin(1)
    await scene.settle()
    scene.outputs.let.set()
    await leaving
    await scene.until(lambda: scene.acks == [0])
    assert scene.outputs.sent == [0]


@on_scene
async def test_two_calls_are_with_the_state_at_a_time(scene: Scene) -> None:
    scene.outputs.let.set()
    scene.begin(*range(4))
    await scene.settle()
    assert scene.pipeline.asked == [0, 1]
    scene.pipeline.let.set()
    await scene.until(lambda: scene.acks == [0, 1, 2, 3])
    assert scene.pipeline.asked == [0, 1, 2, 3]


def calls(scene: Scene, answer: Callable[[int, list[int]], Awaitable[Any]]) -> list[int]:
    """The calls as they are made from now on; `answer` may raise."""
    made: list[int] = []

    async def call(asked: Any) -> Any:
        made.append(asked.batch.number)
        await answer(asked.batch.number, made)
        return asked.batch.number

    scene.pipeline.call = call  # type: ignore[method-assign]
    scene.outputs.let.set()
    return made


@on_scene
async def test_a_call_that_failed_is_made_again_before_the_next_one_counts(scene: Scene) -> None:
    """The second call may be answered, for the first one may have been applied. It waits all the same: a loss
    between them would be healed up to a batch that nobody decided."""
    back = asyncio.Event()

    async def away(number: int, _: list[int]) -> None:
        if number == 0 and not back.is_set():
            raise StateAway("it is away")

    made = calls(scene, away)
    scene.begin(0, 1, 2)
    await scene.until(lambda: made.count(0) > 1)
    assert (made.count(1), made.count(2)) == (1, 0)
    assert (scene.pipeline.read_, scene.outputs.sent) == ([], [])
    back.set()
    await scene.until(lambda: scene.acks == [0, 1, 2])
    assert scene.pipeline.read_ == scene.outputs.sent == [0, 1, 2]
    assert (made.count(1), made.count(2)) == (1, 1), "they had their answers"


@on_scene
async def test_a_call_is_not_made_again_while_another_is_on_its_way(scene: Scene) -> None:
    late = asyncio.Event()

    async def away(number: int, made: list[int]) -> None:
        if made == [0]:
            raise StateAway("it is away")
        if number == 1:
            await late.wait()

    made = calls(scene, away)
    scene.begin(0, 1)
    await scene.settle()
    assert made == [0, 1]
    late.set()
    await scene.until(lambda: scene.acks == [0, 1])
    assert made == [0, 1, 0]


@on_scene
async def test_what_is_behind_because_the_call_before_it_failed_heals_nothing(scene: Scene) -> None:
    async def away(_: int, made: list[int]) -> None:
        if made == [0]:
            raise StateAway("it is away")
        if made == [0, 1]:
            raise Behind

    made = calls(scene, away)
    scene.begin(0, 1)
    await scene.until(lambda: scene.acks == [0, 1])
    assert (made, scene.healed) == ([0, 1, 0, 1], [])


@on_scene
async def test_no_call_begins_while_the_state_is_healed(scene: Scene) -> None:
    """Who heals has forgotten what the shards had: a call that came then would be taken for whole."""
    lost, healing, whole = True, asyncio.Event(), asyncio.Event()

    async def behind(_: int, __: list[int]) -> None:
        if lost:
            raise Behind

    async def heal(*_: Any, **__: Any) -> None:
        nonlocal lost
        healing.set()
        await whole.wait()
        lost = False

    made = calls(scene, behind)
    scene.worker._make_whole = heal  # type: ignore[assignment,method-assign]
    scene.begin(0)
    await healing.wait()
    scene.begin(1, 2)
    await scene.settle()
    assert made == [0, 0]
    whole.set()
    await scene.until(lambda: scene.acks == [0, 1, 2])
    assert made == [0, 0, 0, 1, 2]
