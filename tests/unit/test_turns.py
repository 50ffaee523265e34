"""A batch that went to another worker is not delivered; a delivery in flight holds the rebalance."""

import asyncio
from types import SimpleNamespace
from typing import Any

from stream.agents import Turns
from stream.fence import Fence
from stream.health import Health
from stream.pipeline import Outcomes, Record
from stream.worker import Worker

PLACE = ("transactions", 0)
RECORD = Record(*PLACE, 0, 0, None, b"{}")


class Outputs:
    """Delivers when it is let."""

    def __init__(self) -> None:
        self.let, self.begun, self.sent = asyncio.Event(), asyncio.Event(), 0

    async def deliver(self, _: Outcomes) -> None:
        self.begun.set()
        await self.let.wait()
        self.sent += 1


class Pipeline:
    def __init__(self) -> None:
        self.assignments: dict[Any, Any] = {}
        self.let = asyncio.Event()

    async def process(self, _: Any) -> Outcomes:
        await self.let.wait()
        return Outcomes()


class Intake:
    """One event at a time, always of the generation that is asked for."""

    flowing, generation = True, 1

    def is_current(self, _: Any) -> bool:
        return self.flowing

    def record(self, _: Any) -> Record:
        return RECORD

    def assigned(self) -> list[Any]:
        return [PLACE]

    def committed(self) -> dict[Any, int]:
        return {}

    def observe_lag(self, _: Any) -> None:
        pass

    async def batches(self, stream: list[Any]) -> Any:
        for event in stream:
            yield [event]


class Scene:
    def __init__(self) -> None:
        self.pipeline, self.outputs, self.intake = Pipeline(), Outputs(), Intake()
        self.acks = self.attached = 0
        health, missing = Health(), SimpleNamespace()
        self.ids: dict[str, str | None] = {"transactions": "t", "fraud-reports": "r"}
        kafka = SimpleNamespace(topic_ids=lambda _: self.ids)
        fence = Fence({"transactions": "t", "fraud-reports": "r"}, health, lambda: None)
        made: Any = (self.pipeline, self.outputs, kafka, health, fence, missing)
        self.worker = Worker(*made, group="g")
        self.worker.attach = self._attach  # type: ignore[assignment,method-assign]
        turning: Any = (self.intake, self.worker, health, missing)
        self.turns = Turns(*turning)

    async def _attach(self, *_: Any) -> None:
        self.attached += 1

    def begin(self) -> "asyncio.Task[None]":
        return asyncio.create_task(self.turns.take([SimpleNamespace(ack=self._ack)]))

    def _ack(self) -> None:
        self.acks += 1


def test_a_batch_that_is_no_longer_mine_is_not_delivered() -> None:
    async def run() -> None:
        scene = Scene()
        scene.outputs.let.set()
        turn = scene.begin()
        await asyncio.sleep(0)
        await scene.turns.give_up()
        scene.turns.forget()  # it joined again, as the first generation of a group that began anew
        scene.pipeline.let.set()
        await turn
        assert (scene.outputs.sent, scene.acks) == (0, 0)
        await scene.begin()
        assert (scene.outputs.sent, scene.acks, scene.attached) == (1, 1, 2)

    asyncio.run(run())


def test_records_of_a_topic_that_is_gone_are_delivered_by_whoever_has_them() -> None:
    async def run() -> None:
        scene = Scene()
        scene.ids["transactions"] = None
        scene.outputs.let.set()
        turn = scene.begin()
        await asyncio.sleep(0)
        await scene.turns.give_up()
        scene.turns.forget()
        scene.pipeline.let.set()
        await scene.outputs.begun.wait()
        assert scene.acks == 0  # the fence: nothing is acknowledged
        turn.cancel()

    asyncio.run(run())


def test_a_delivery_in_flight_holds_the_rebalance() -> None:
    async def run() -> None:
        scene = Scene()
        scene.pipeline.let.set()
        turn = scene.begin()
        await scene.outputs.begun.wait()
        rebalance = asyncio.create_task(scene.turns.give_up())
        await asyncio.sleep(0.02)
        assert not rebalance.done()
        assert not await scene.worker.delivered(0.01)
        scene.outputs.let.set()
        await rebalance
        assert scene.outputs.sent == 1
        await turn
        assert scene.acks == 1

    asyncio.run(run())


def test_a_rebalance_while_attaching_attaches_again() -> None:
    async def run() -> None:
        scene = Scene()
        attach = scene.worker.attach

        async def and_rebalance(*args: Any) -> None:
            await attach(*args)
            if scene.attached == 1:
                scene.turns.forget()

        scene.worker.attach = and_rebalance  # type: ignore[assignment,method-assign]
        await scene.turns.attach()
        assert scene.attached == 2

    asyncio.run(run())
