"""A real worker on a real Kafka and Redis: everything decided, once, whatever is killed meanwhile."""

import asyncio
import base64
import json
import random
from collections.abc import Callable

import pytest

from features.catalog import vectors
from features.redis_state import RedisState
from features.replay import answers
from features.state import Entry, LogId, Span
from features.transaction import FraudReport, Transaction
from stream.kafka_log import record
from stream.pipeline import decode
from stream.simulate import SimulationConfig, simulate

from .conftest import World

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

Messages = list[tuple[str, bytes | None, bytes]]
Eventually = Callable[..., None]


def traffic(n: int, seed: int = 5) -> Messages:
    """n transactions and the reports among them, in event time."""
    simulation = simulate(SimulationConfig(seed=seed, days=4, transactions_per_day=n, fraud_rate=0.01)).first(
        n
    )
    return [(message.topic, message.key, message.value) for message in simulation.messages()]


def payments(messages: Messages) -> set[str]:
    return {json.loads(value)["event_id"] for topic, _, value in messages if topic == "transactions"}


def assert_each_once(decisions: dict[str, set[bytes]], messages: Messages) -> None:
    assert payments(messages) - set(decisions) == set(), "lost"
    assert {event for event, payloads in decisions.items() if len(payloads) > 1} == set(), "conflicting"


def assert_state_is_what_the_topics_say(world: World) -> None:
    """Replay both topics into another shard's keys of the same Redis, and compare what both shards answer."""
    records = [
        record(topic, message) for topic in ("transactions", "fraud-reports") for message in world.read(topic)
    ]
    events = [
        decode(r) for r in sorted(records, key=lambda r: (r.topic != "transactions", r.partition, r.offset))
    ]
    probes = [e._replace(event_id="probe" + e.event_id) for e in events if isinstance(e, Transaction)][::7]

    async def probed(shard: int, history: list[Transaction | FraudReport]) -> bytes:
        state = RedisState.at(world.redis.address, shard)
        log = LogId("test", "test", "test", shard)
        try:
            for start in range(0, len(history), 500):
                entries = [Entry(0, start + i, event) for i, event in enumerate(history[start : start + 500])]
                await state.apply([Span(log, 0, start, start + len(entries), healing=True)], entries)
            entries = [Entry(0, len(history) + i, event) for i, event in enumerate(probes)]
            stop = len(history) + len(entries)
            answer = await state.apply([Span(log, 0, len(history), stop, healing=True)], entries)
            return answer.slots.tobytes()
        finally:
            await state.close()

    replayed = asyncio.run(probed(1, events))
    assert asyncio.run(probed(0, [])) == replayed


def logged_vectors(world: World) -> dict[str, bytes]:
    messages = [json.loads(message.value() or b"") for message in world.read("feature-log")]
    return {message["event_id"]: base64.b64decode(message["vector"]) for message in messages}


def replayed_vectors(world: World) -> dict[str, bytes]:
    """What `features build` computes for the records of the topic, in their order."""
    events = [decode(record("transactions", message)) for message in world.read("transactions")]
    found: dict[str, bytes] = {}

    async def replay() -> None:
        state = RedisState.at(world.redis.address, shard=1)
        async for entries, answer in answers(state, iter(events)):
            matrix = vectors(answer.slots, [entry.event for entry in entries])
            found.update({e.event.event_id: row.tobytes() for e, row in zip(entries, matrix, strict=True)})
        await state.close()

    asyncio.run(replay())
    return found


def test_bad_input_and_repeats_stop_nothing(world: World, eventually: Eventually) -> None:
    good = traffic(600)
    transactions = [message for message in good if message[0] == "transactions"]
    bad: Messages = [
        ("transactions", b"k", value)
        for value in (b"{", b"\xff", b"[]", b"null", b"", b"x" * 1_000_000, b"[" * 10_000 + b"]" * 10_000)
    ]
    mixed = good + bad + transactions[-20:]  # the last 20 again: repeats
    random.Random(1).shuffle(mixed)
    world.publish(mixed)
    worker = world.worker()
    eventually(worker.ready, "ready")
    decisions = world.wait_for_decisions(len(transactions))
    assert_each_once(decisions, good)
    assert len(decisions) == len(transactions)
    eventually(lambda: len(world.read("dead-letters")) == len(bad), "every bad record is a dead letter")
    letters = world.read("dead-letters")
    assert {dict(letter.headers() or [])["source_topic"] for letter in letters} == {b"pix.transactions"}
    assert sorted(letter.value() or b"" for letter in letters) == sorted(value for _, _, value in bad)
    eventually(lambda: worker.metric("vigia_repeats_total") == 20, "repeats counted")
    alerts = [json.loads(message.value() or b"") for message in world.read("alerts")]
    stopped = {e for e, (p, *_) in decisions.items() if json.loads(p)["decision"] != "APPROVE"}
    assert {alert["event_id"] for alert in alerts} == stopped
    assert stopped, "the sample should have alerts"
    assert len(world.read("feature-log")) == len(transactions)
    assert worker.stop() == 0


def test_killed_three_times_under_load(world: World, eventually: Eventually) -> None:
    messages = traffic(14_000)
    worker = world.worker()
    eventually(worker.ready, "ready")
    world.publish(messages[:2000], rate=2000)
    for part in range(3):
        world.publish(messages[2000 + part * 4000 : 6000 + part * 4000], rate=2000)
        worker.kill()  # with the backlog of the moment in flight
        worker.start()
    world.publish(messages[14_000:])
    decisions = world.wait_for_decisions(len(payments(messages)))
    assert_each_once(decisions, messages)
    assert worker.stop() == 0
    assert_state_is_what_the_topics_say(world)


def test_a_worker_joins_and_another_dies_under_load(world: World, eventually: Eventually) -> None:
    messages = traffic(9000, seed=6)
    first = world.worker()
    eventually(first.ready, "ready")
    world.publish(messages[:3000], rate=2000)
    second = world.worker()
    world.publish(messages[3000:6000], rate=1000)
    eventually(second.ready, "the second worker is assigned partitions")
    first.kill()
    world.publish(messages[6000:], rate=2000)
    decisions = world.wait_for_decisions(len(payments(messages)))
    assert_each_once(decisions, messages)
    assert second.stop() == 0
    assert_state_is_what_the_topics_say(world)


def test_redis_and_kafka_go_away_and_come_back(world: World, eventually: Eventually) -> None:
    from deploy.local import start_kafka, start_redis

    messages = traffic(3000)
    worker = world.worker()
    eventually(worker.ready, "ready")
    world.publish(messages[:1000])
    world.wait_for_decisions(len(payments(messages[:1000])))
    world.redis.kill()
    world.publish(messages[1000:2000])
    eventually(lambda: not worker.ready(), "not ready without Redis")
    assert json.loads(worker.get("/readyz")[1])["waiting_for"].keys() == {"redis"}
    assert worker.get("/healthz")[0] == 200
    world.redis = start_redis(world.redis.folder, port=world.redis.port)
    world.wait_for_decisions(len(payments(messages[:2000])))
    world.kafka.kill()
    eventually(lambda: "kafka" in worker.get("/readyz")[1], "an idle worker notices that Kafka is away")
    assert not worker.ready()
    world.kafka = start_kafka(world.kafka.folder, world.kafka.port)
    world.publish(messages[2000:])
    decisions = world.wait_for_decisions(len(payments(messages)))
    assert_each_once(decisions, messages)
    eventually(worker.ready, "ready again")


def test_flushed_redis_is_noticed_and_healed(world: World, eventually: Eventually) -> None:
    import redis

    messages = traffic(3000)
    worker = world.worker()
    eventually(worker.ready, "ready")
    world.publish(messages[:2000])
    world.wait_for_decisions(len(payments(messages[:2000])))
    with redis.Redis.from_url(world.redis.address) as client:
        client.flushall()
    world.publish(messages[2000:])
    decisions = world.wait_for_decisions(len(payments(messages)))
    assert_each_once(decisions, messages)
    healed = sum(worker.metric(f'vigia_healed_events_total{{topic="{topic}"}}')
                 for topic in ("transactions", "fraud-reports"))  # fmt: skip
    assert healed == 2000


def test_read_again_from_the_start_gives_the_same_bytes(world: World, eventually: Eventually) -> None:
    """Another group, on a copy of the state before the first delivery (it was empty), reads from offset 0.

    One partition: what several partitions add to one payee comes in the order of arrival.
    """
    import redis

    world.prefix, world.partitions = "one.", 1
    world.create_topics()
    messages = [message for message in traffic(2000) if message[0] == "transactions"]
    world.publish(messages)
    worker = world.worker()
    first = world.wait_for_decisions(len(payments(messages)))
    assert logged_vectors(world) == replayed_vectors(world), "online is offline, bit for bit"
    worker.kill()
    with redis.Redis.from_url(world.redis.address) as client:
        client.flushall()
    sent = len(world.read("decisions"))
    world.group = "another"
    world.worker()
    eventually(lambda: len(world.read("decisions")) == 2 * sent, "decided again by the other group", 60)
    again = world.decisions()
    assert again == first
    assert_each_once(again, messages)
