"""A world on the session's Kafka with topics of its own, a load that goes on meanwhile, and the verdict."""

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import Any

from deploy.local import Service
from deploy.local.process import Process, wait_until
from stream.simulate import SimulationConfig, simulate

from ..world import World, running

Message = tuple[str, bytes | None, bytes]
Messages = list[Message]


def elsewhere(name: str, address: str, folder: Path) -> Service:
    """A service that somebody else starts and ends."""
    return Service(name, address, None, folder, Process(0, ""))


@contextmanager
def world_on(kafka: str, redis: Service, model: Path, folder: Path) -> Iterator[World]:
    """Topics and a group named after the folder; its workers end with it."""
    name = folder.name.strip("_").replace("[", "-").replace("]", "")
    world = World(folder, elsewhere("Kafka", kafka, folder), redis, model, prefix=f"{name}.", group=name)
    with running(world):
        yield world


def traffic(n: int, seed: int) -> Messages:
    """n transactions over about 20 days, and the reports that come meanwhile, in event time."""
    config = SimulationConfig(seed=seed, days=30, transactions_per_day=n // 20, fraud_rate=0.02)
    made = simulate(config).first(n)
    return [(message.topic, message.key, message.value) for message in made.messages()]


@contextmanager
def load(world: World, messages: Iterable[Message], rate: float) -> Iterator[None]:
    """Publishes meanwhile; all of it is sent at the end."""
    failed: list[BaseException] = []

    def send() -> None:
        try:
            world.publish(messages, rate=rate)
        except BaseException as error:
            failed.append(error)

    sender = Thread(target=send)
    sender.start()
    try:
        yield
    finally:
        sender.join()
    assert not failed, failed


def wait_taken(world: World, n: int) -> None:
    """Until the workers took n transactions in."""

    def taken() -> float:
        return sum(w.metric('vigia_events_total{topic="transactions"}') for w in world.workers)

    assert wait_until(lambda: taken() >= n, 90, every=0.02), f"{taken()} of {n} taken\n{world.logs()}"


def healed(world: World) -> float:
    """Records that the workers read again."""
    topics = ("transactions", "fraud-reports")
    return sum(w.metric(f'vigia_healed_events_total{{topic="{t}"}}') for w in world.workers for t in topics)


def assert_each_once(world: World, messages: Messages) -> None:
    """Every payment was decided, and no decision contradicts another on the same payment."""
    wanted = {json.loads(value)["event_id"] for topic, _, value in messages if topic == "transactions"}
    decisions = world.wait_for_decisions(len(wanted))
    assert wanted - set(decisions) == set(), "lost"
    assert {event for event, payloads in decisions.items() if len(payloads) > 1} == set(), "conflicting"


def assert_verified(world: World, sample: int = 1000, **environment: str) -> dict[str, Any]:
    """`vigia state verify` finds that the state is what the topics say."""
    sound, report, said = world.verify(sample, **environment)
    assert sound, f"{report}\n{said}\n{world.logs()}"
    print(f"{world.group}: {report}")
    assert report["sound"]
    assert report["differences"] == 0
    assert sum(report["entities"].values()) == sample
    return report
