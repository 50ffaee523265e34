"""Redis loses what it had, in every way it can, while a real worker decides: the state mends itself.

Each ends alike: every payment decided once, no delivered decision contradicted, and `vigia state verify`
recomputes 1,000 entities from the topics and finds the same, bit for bit.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event
from typing import Any, NamedTuple

import pytest
from confluent_kafka.admin import AdminClient

from deploy.local import Service
from deploy.local.process import wait_until

from .. import redis_loss
from ..world import World
from .shared import Message, Messages, assert_each_once, assert_verified, healed, load, traffic, wait_taken

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

EVENTS, RATE = 6000, 1500


class Loss(NamedTuple):
    """`prepare`: what is there before the load; `before`: what is kept of an earlier time, of what was
    prepared; `strike`: the Redis that answers afterwards."""

    before: Callable[[Service, Any], Any]
    strike: Callable[[Service, Any], Service]
    prepare: Callable[[Service, Path], Any] = lambda _, folder: folder
    heals: bool = True
    """Whether anything is lost for certain. The append-only file keeps what a kill would have taken."""


LOSSES = {
    "kill -9": Loss(lambda *_: None, lambda redis, _: redis_loss.kill9_and_restart(redis), heals=False),
    "flushall": Loss(lambda *_: None, lambda redis, _: redis_loss.flushall(redis)),
    "snapshot": Loss(redis_loss.take_snapshot, redis_loss.restore_snapshot),
    "replica": Loss(
        lambda _, replica: redis_loss.fall_behind(replica),
        redis_loss.old_replica_takes_over,
        prepare=redis_loss.follow,
    ),
}


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
def test_a_loss_under_load_is_mended(world: World, loss: Loss, eventually: Callable[..., None]) -> None:
    messages = traffic(EVENTS, seed=11)
    worker = world.worker()
    eventually(worker.ready, "ready")
    prepared = loss.prepare(world.redis, world.folder / "kept")
    with load(world, messages, RATE):
        wait_taken(world, EVENTS // 4)
        kept = loss.before(world.redis, prepared)
        wait_taken(world, EVENTS // 2)
        world.redis = loss.strike(world.redis, kept)
    assert_each_once(world, messages)
    eventually(worker.ready, "ready again")
    assert_verified(world)
    assert healed(world) > 0 or not loss.heals
    assert worker.stop() == 0


def test_verified_under_load(world: World, eventually: Callable[..., None]) -> None:
    """Nobody needs to stop for it: what moves is asked again until it stands still."""
    messages = traffic(10 * EVENTS, seed=14)
    verified = Event()
    sent: Messages = []

    def until_verified() -> Iterator[Message]:
        for message in messages:
            if verified.is_set():
                return
            sent.append(message)
            yield message

    worker = world.worker()
    eventually(worker.ready, "ready")
    with load(world, until_verified(), RATE / 4):
        try:
            wait_taken(world, EVENTS // 8)
            report = assert_verified(world, 300)
        finally:
            verified.set()
    assert len(sent) < len(messages), "the load ended before"
    assert report["events"] >= EVENTS // 8
    assert_each_once(world, sent)


def test_a_topic_deleted_and_made_anew_under_load(world: World, eventually: Callable[..., None]) -> None:
    """Its producer sends everything again. What was applied counts once, what was decided stands."""
    messages = traffic(EVENTS, seed=12)
    half = [message for message in messages[: EVENTS // 2] if message[0] == "transactions"]
    worker = world.worker()
    eventually(worker.ready, "ready")
    with load(world, messages[: EVENTS // 2], RATE):
        wait_taken(world, EVENTS // 8)
    delete_and_make(world, "transactions")  # with its commits under way
    decided = world.decisions()
    with load(world, half + messages[EVENTS // 2 :], RATE):
        wait_taken(world, 1)
    assert_each_once(world, messages)
    now = world.decisions()
    assert all(now[event] == payloads for event, payloads in decided.items()), "what was delivered stands"
    eventually(worker.ready, "ready again")
    assert_verified(world)


def delete_and_make(world: World, name: str) -> None:
    admin = AdminClient(world.settings.kafka_client_config())
    topic = world.settings.topic(name)
    admin.delete_topics([topic], operation_timeout=10)[topic].result()
    assert wait_until(lambda: topic not in admin.list_topics(timeout=10).topics, 20, every=0.05)
    world.create_topics()
