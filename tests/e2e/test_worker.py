"""A real worker on a real Kafka and Redis: everything decided, once, whatever is killed meanwhile."""

import asyncio
import json
import random
from collections.abc import Callable
from threading import Thread

import numpy as np
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from confluent_kafka import Producer
from numpy.typing import NDArray

from deploy.local.process import wait_until
from features.catalog import SLOTS
from features.memory_state import MemoryState
from features.redis_state import RedisState
from features.state import PARTS, Entry, LogId, Span, State
from features.transaction import Transaction, entity_key, names_part
from stream.simulate import SimulationConfig, simulate
from stream.stands import commit_metadata

from ..odd_records import BadName, send
from ..world import WorkerProcess, World

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
    """The worker's Redis answers as the oracle that was fed with both topics in record time."""
    events = [event for _, event in world.events()]
    payments = [event for event in events if isinstance(event, Transaction)]
    probes = payments[:: max(1, len(payments) // 100)]

    async def asked(state: State) -> NDArray[np.float64]:
        try:
            return await state.read(probes)
        finally:
            await state.close()

    oracle = MemoryState({key for probe in probes for key in entity_keys(probe)})
    log = LogId("test", "test", "test", 0)
    entries = [Entry(0, offset, event) for offset, event in enumerate(events)]
    asyncio.run(oracle.apply([Span(log, 0, 0, len(entries), healing=True)], entries))
    found, wanted = asyncio.run(asked(RedisState(world.redis.address))), asyncio.run(asked(oracle))
    differing = {SLOTS[column]: (found[row, column], wanted[row, column], int(row))
                 for row, column in np.argwhere(found != wanted)}  # fmt: skip
    assert differing == {}


def entity_keys(event: Transaction) -> list[bytes]:
    return [
        entity_key(entity, event)
        for entity in (*PARTS, "pair")
        if entity == "pair" or names_part(entity, event)
    ]


def test_bad_input_and_repeats_stop_nothing(
    world: World, eventually: Eventually, fragile: dict[str, str]
) -> None:
    good = traffic(600)
    transactions = [message for message in good if message[0] == "transactions"]
    bad: Messages = [
        ("transactions", b"k", value)
        for value in (b"{", b"\xff", b"[]", b"null", b"", b"x" * 1_000_000, b"[" * 10_000 + b"]" * 10_000)
    ]
    mixed = good + bad + transactions[-20:]  # the last 20 again: repeats
    random.Random(1).shuffle(mixed)
    world.publish(mixed)
    worker = world.worker(**fragile)
    eventually(worker.ready, "ready")
    decisions = world.wait_for_decisions(len(transactions))
    assert_each_once(decisions, good)
    assert len(decisions) == len(transactions)
    eventually(lambda: world.held("dead-letters") == len(bad), "every bad record is a dead letter")
    letters = world.read("dead-letters")
    assert {dict(letter.headers() or [])["source_topic"] for letter in letters} == {
        f"{world.prefix}transactions".encode()
    }
    assert sorted(letter.value() or b"" for letter in letters) == sorted(value for _, _, value in bad)
    eventually(lambda: worker.metric("vigia_repeats_total") == 20, "repeats counted")
    alerts = [json.loads(message.value() or b"") for message in world.read("alerts")]
    stopped = {e for e, (p, *_) in decisions.items() if json.loads(p)["decision"] != "APPROVE"}
    assert {alert["event_id"] for alert in alerts} == stopped
    assert stopped, "the sample should have alerts"
    assert len(world.feature_log()) == len(good), "reports are logged too"
    assert worker.stop() == 0


def test_what_no_ordinary_client_sends_stops_nothing(world: World, eventually: Eventually) -> None:
    """A header's name that is not UTF-8, an order too large for its dead letter, orders that were aborted."""
    good = [message for message in traffic(60) if message[0] == "transactions"]
    topic, (order, *aborted) = world.prefix + "transactions", [value for _, _, value in good[:6]]
    world.publish(good[6:30])
    send(world.kafka.address, topic, [(order, [(BadName("x"), b"1")])], compression="gzip")
    config = world.settings.kafka_client_config()
    large = order[:-1] + b',"later":"' + b"x" * (5 * 2**20) + b'"}'
    producer = Producer({**config, "compression.type": "gzip", "message.max.bytes": 2**24})
    producer.produce(topic, large, b"k", 0)
    producer.flush()
    producer = Producer({**config, "transactional.id": world.prefix})
    producer.init_transactions(30)
    producer.begin_transaction()
    for value in aborted:
        producer.produce(topic, json.dumps(json.loads(value) | {"amount": "0.77"}), b"k", 0)
    producer.flush()
    producer.abort_transaction(30)
    world.publish(good[1:6])
    world.publish(good[30:])
    worker = world.worker()
    decisions = world.wait_for_decisions(len(good))
    assert_each_once(decisions, good)
    told = {event_id: json.loads(payload)["amount"] for event_id, (payload,) in decisions.items()}
    assert told == {event["event_id"]: event["amount"] for event in map(json.loads, (v for _, _, v in good))}
    eventually(lambda: world.held("dead-letters") == 1, "the large one is a dead letter")
    (letter,) = world.read("dead-letters")
    headers = dict(letter.headers() or [])
    assert (headers["error_code"], headers["truncated"]) == (b"MESSAGE_TOO_LARGE", str(len(large)).encode())
    assert letter.value() == large[: 64 * 1024]
    assert worker.ready()
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


def test_redis_and_kafka_go_away_and_come_back(own_world: World, eventually: Eventually) -> None:
    from deploy.local import start_kafka, start_redis

    world = own_world
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


def flush(world: World) -> None:
    import redis

    with redis.Redis.from_url(world.redis.address) as client:
        client.flushall()


def test_flushed_redis_is_noticed_by_an_idle_worker(world: World, eventually: Eventually) -> None:
    messages = traffic(3000)
    worker = world.worker()
    eventually(worker.ready, "ready")
    world.publish(messages[:2000])
    world.wait_for_decisions(len(payments(messages[:2000])))
    eventually(lambda: lag(worker) == 0, "no lag when idle")
    flush(world)

    def healed() -> float:
        return sum(worker.metric(f'vigia_healed_events_total{{topic="{topic}"}}')
                   for topic in ("transactions", "fraud-reports"))  # fmt: skip

    eventually(lambda: healed() == 2000, "everything is read again")
    eventually(worker.ready, "ready again")
    assert worker.metric("vigia_healing_left_records") == 0
    world.publish(messages[2000:])
    decisions = world.wait_for_decisions(len(payments(messages)))
    assert_each_once(decisions, messages)
    assert_state_is_what_the_topics_say(world)


def lag(worker: WorkerProcess) -> float:
    lines = [line for line in worker.get("/metrics")[1].splitlines() if line.startswith("vigia_lag_records{")]
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines) if len(lines) == 8 else -1.0


def test_two_workers_lose_what_redis_held_under_load(world: World, eventually: Eventually) -> None:
    messages = traffic(9000, seed=7)
    workers = [world.worker(), world.worker()]
    for worker in workers:
        eventually(worker.ready, "ready")
    load = Thread(target=world.publish, args=(messages, 600))
    load.start()
    for n in (2000, 5000):
        world.wait_for_decisions(n)
        flush(world)
    load.join()
    decisions = world.wait_for_decisions(len(payments(messages)))
    assert_each_once(decisions, messages)
    for worker in workers:
        eventually(worker.ready, "ready again")
    assert_state_is_what_the_topics_say(world)


def test_a_topic_made_anew_under_load_is_read_from_its_start(world: World, eventually: Eventually) -> None:
    messages = traffic(4000, seed=8)
    before, after = messages[:2000], messages[2000:]
    worker = world.worker()
    eventually(worker.ready, "ready")
    world.publish(before)
    world.wait_for_decisions(100)
    made_anew(world)  # with commits of the old topic under way
    decided = world.decisions()
    world.publish([message for message in before if message[0] == "transactions"] + after)
    decisions = world.wait_for_decisions(len(payments(messages)))
    assert_each_once(decisions, messages)
    assert decided.items() <= decisions.items(), "what was delivered stands"
    assert "beginning anew: transactions was deleted and made anew" in worker.log.read_text()
    eventually(lambda: worker.metric("vigia_repeats_total") >= len(decided) - 20, "repeats are told")
    assert worker.stop() == 0


def made_anew(world: World) -> None:
    from confluent_kafka.admin import AdminClient

    admin = AdminClient(world.settings.kafka_client_config())
    topic = world.settings.topic("transactions")
    admin.delete_topics([topic], operation_timeout=10)[topic].result()
    assert wait_until(lambda: topic not in admin.list_topics(timeout=10).topics, 20, every=0.05)
    world.create_topics()


def test_what_was_committed_to_a_deleted_topic_skips_nothing(world: World, eventually: Eventually) -> None:
    """As a worker of the old topic may commit a moment after it was made anew."""
    messages = traffic(800, seed=9)
    world.publish(messages)
    asyncio.run(commit_to_another_topic(world, 150))
    worker = world.worker()
    decisions = world.wait_for_decisions(len(payments(messages)))
    assert_each_once(decisions, messages)
    assert "commits of a deleted topic" in worker.log.read_text()
    eventually(worker.ready, "ready")
    assert worker.stop() == 0


async def commit_to_another_topic(world: World, offset: int) -> None:
    consumer = AIOKafkaConsumer(
        bootstrap_servers=world.kafka.address, group_id=world.group, enable_auto_commit=False
    )
    await consumer.start()
    places = [TopicPartition(f"{world.prefix}transactions", p) for p in range(world.partitions)]
    consumer.assign(places)
    await consumer.commit({place: (offset, commit_metadata("another")) for place in places})
    await consumer.stop()


def test_another_group_is_refused_the_same_redis(world: World, eventually: Eventually) -> None:
    worker = world.worker()
    eventually(worker.ready, "ready")
    mine, world.group = world.group, f"{world.group}-another"
    other = world.worker()
    assert other.process.wait(60) == 1
    assert f"this Redis holds the state of group {mine!r}" in other.log.read_text()
    assert worker.ready()


def test_read_again_from_the_start_gives_the_same_bytes(world: World, eventually: Eventually) -> None:
    """Another group, on a copy of the state before the first delivery (it was empty), reads from offset 0.

    One partition: what several partitions add to one payee comes in the order of arrival.
    """
    import redis

    world.prefix, world.partitions = f"one-{world.prefix}", 1
    world.create_topics()
    messages = [message for message in traffic(2000) if message[0] == "transactions"]
    world.publish(messages)
    worker = world.worker()
    first = world.wait_for_decisions(len(payments(messages)))
    worker.kill()
    with redis.Redis.from_url(world.redis.address) as client:
        client.flushall()
    sent = len(world.read("decisions"))
    world.group += "-another"
    world.worker()
    eventually(lambda: world.held("decisions") == 2 * sent, "decided again by the other group", 60)
    again = world.decisions()
    assert again == first
    assert_each_once(again, messages)
