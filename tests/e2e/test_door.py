"""`vigia serve` before a real worker, Kafka and Redis: one path, one state, one record."""

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from deploy.local import start_kafka, start_redis
from stream.kafka_log import record

from ..world import World, private_world
from .door import DoorProcess, order

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]

Eventually = Callable[..., None]
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, model_folder: Path) -> Iterator[World]:
    """Services and a worker that the tests of this file share; each uses event ids of its own."""
    with private_world(tmp_path_factory.mktemp("door"), model_folder) as world:
        world.worker()
        yield world


@pytest.fixture(scope="module")
def door(shared: World) -> Iterator[DoorProcess]:
    with DoorProcess(shared) as door:
        yield door


@pytest.fixture(autouse=True)
def ready(shared: World, door: DoorProcess, eventually: Eventually) -> None:
    eventually(shared.workers[0].ready, "the worker is ready")
    eventually(door.ready, "the door is ready")


def decided(world: World, event_id: str) -> list[bytes]:
    values = [message.value() or b"" for message in world.read("decisions")]
    return [value for value in values if json.loads(value)["event_id"] == event_id]


def sent(world: World, event_id: str) -> list[bytes]:
    values = [message.value() or b"" for message in world.read("transactions")]
    return [value for value in values if f'"{event_id}"'.encode() in value]


def test_the_answer_is_the_decision_on_the_topic(shared: World, door: DoorProcess) -> None:
    body = json.dumps(order("bytes"), indent=1).encode()
    got = door.ask(body, traceparent=TRACE)
    assert (got.status, got.headers["content-type"]) == (200, "application/json")
    assert decided(shared, "bytes") == [got.body]
    assert sent(shared, "bytes") == [body]
    message = next(m for m in shared.read("transactions") if m.value() == body)
    assert message.key() == b"a-1"
    assert record("transactions", message).traceparent == TRACE.encode()
    decision = next(m for m in shared.read("decisions") if m.value() == got.body)
    assert dict(decision.headers() or [])["traceparent"] == TRACE.encode()


def test_a_payer_stays_in_the_partition_that_other_producers_use(shared: World, door: DoorProcess) -> None:
    accounts = [f"payer-{i}" for i in range(12)]
    bodies = [json.dumps(order(f"p{i}", payer={"account": a})).encode() for i, a in enumerate(accounts)]
    for body in bodies:
        assert door.ask(body).status == 200
    shared.publish([("transactions", a.encode(), b"other") for a in accounts])
    places: dict[bytes, set[int]] = {}
    for message in shared.read("transactions"):
        places.setdefault(message.key() or b"", set()).add(message.partition() or 0)
    assert {len(places[account.encode()]) for account in accounts} == {1}
    assert len({partition for found in places.values() for partition in found}) > 1


def test_a_repeat_gets_the_same_bytes_and_other_content_is_refused(shared: World, door: DoorProcess) -> None:
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(door.ask, [order("repeat")] * 8))
    assert {got.status for got in together} == {200}
    bodies = {got.body for got in together} | {door.ask(order("repeat")).body}
    assert bodies == set(decided(shared, "repeat"))
    assert len(bodies) == len(sent(shared, "repeat")) == 1
    for other in ({"amount": "1.00"}, {"device": {"id": "d"}}, {"payer": {"account": "somebody"}}):
        got = door.ask(order("repeat", **other))
        assert (got.status, got.code) == (409, "EVENT_ID_REUSED")
    assert len(sent(shared, "repeat")) == 1


def test_doors_know_each_others_answers_and_their_own_after_a_restart(
    shared: World, door: DoorProcess, eventually: Eventually
) -> None:
    first = door.ask(order("doors"))
    assert first.status == 200
    with DoorProcess(shared) as other:
        for _ in range(2):
            eventually(other.ready, "the other door is ready")
            assert other.ask(order("doors")).body == first.body
            assert other.ask(order("doors", amount="1.00")).status == 409
            assert other.ask(order("doors", initiation="DICT")).status == 409, "no decision tells of that"
            assert other.stop() == 0
            other.start()
        eventually(other.ready, "the other door is ready")
        with ThreadPoolExecutor(8) as pool:
            asked = [pool.submit(each.ask, order("both")) for each in (door, other) * 4]
        assert {got.result().status for got in asked} == {200}
        assert len({got.result().body for got in asked}) == 1
    assert len(decided(shared, "both")) == len(decided(shared, "doors")) == 1


def test_one_from_the_topic_is_known_too(shared: World, door: DoorProcess, eventually: Eventually) -> None:
    body = json.dumps(order("published")).encode()
    shared.publish([("transactions", b"a-1", body)])
    eventually(lambda: decided(shared, "published") != [], "it is decided")
    assert [door.ask(body).body] == decided(shared, "published")
    assert len(sent(shared, "published")) == 1


def test_what_cannot_be_read_is_refused_with_the_dead_letters_code(shared: World, door: DoorProcess) -> None:
    ends = len(shared.read("transactions"))
    for body, status, code in (
        (b"{", 422, "NOT_JSON"),
        (b"\xff", 422, "NOT_UTF8"),
        (order("bad", amount="x"), 422, "AMOUNT_NOT_A_NUMBER"),
        (order("bad", occurred_at="2098-01-01T00:00:00Z"), 422, "TIME_AHEAD"),
        (b" " * 70_000, 413, "MESSAGE_TOO_LARGE"),
    ):
        got = door.ask(body)
        assert (got.status, got.code) == (status, code)
    got = door.request("GET", "/v1/pix/decisions")
    assert (got.status, got.code, got.headers["allow"]) == (405, "METHOD_NOT_ALLOWED", "POST")
    assert len(shared.read("transactions")) == ends


def test_without_a_worker_it_is_a_504_and_later_the_same_event_id_is_answered(
    shared: World, door: DoorProcess, eventually: Eventually, fragile: dict[str, str]
) -> None:
    worker = shared.workers[0]
    worker.stop()
    with DoorProcess(shared, VIGIA_DECISION_DEADLINE="0.5", **fragile) as brief:
        eventually(brief.ready, "the door is ready")
        got = brief.ask(order("later"))
        assert (got.status, got.code) == (504, "NO_DECISION_YET")
        assert brief.stop() == 0
        brief.start()
        eventually(brief.ready, "the door is ready")
        assert brief.ask(order("later")).status == 504, "a restarted door cannot know, and sends it again"
        worker.start()
        eventually(lambda: brief.ask(order("later")).status == 200, "the worker is back")
        answers = {brief.ask(order("later")).body, door.ask(order("later")).body}
    assert answers == set(decided(shared, "later"))
    assert len(sent(shared, "later")) == 2
    assert len(decided(shared, "later")) == 1


def test_who_waits_at_sigterm_is_answered(shared: World, eventually: Eventually) -> None:
    worker = shared.workers[0]
    worker.stop()
    with DoorProcess(shared, VIGIA_DECISION_DEADLINE="40") as ending, ThreadPoolExecutor(1) as pool:
        eventually(ending.ready, "the door is ready")
        asked = pool.submit(ending.ask, order("ending"))
        eventually(lambda: sent(shared, "ending") != [], "it is sent")
        worker.start()
        assert ending.stop(60) == 0
        assert asked.result().status == 200


def test_redis_and_then_kafka_go_away_and_come_back(
    shared: World, door: DoorProcess, eventually: Eventually
) -> None:
    def refused() -> bool:
        got = door.ask(order("away"))
        return got.status == 503 and got.code == "DEPENDENCY_AWAY" and "retry-after" in got.headers

    shared.redis.kill()
    eventually(lambda: not door.ready(), "the door notices", 5)
    assert refused()
    assert sent(shared, "away") == []
    shared.redis = start_redis(shared.redis.folder, port=shared.redis.port)
    eventually(door.ready, "the door is ready again", 10)
    assert door.ask(order("between")).status == 200
    shared.kafka.kill()
    eventually(lambda: not door.ready(), "the door notices", 5)
    assert refused()
    assert door.get("/healthz").status == 200
    shared.kafka = start_kafka(shared.kafka.folder, shared.kafka.port)
    eventually(door.ready, "the door is ready again", 20)
    assert door.ask(order("between")).body == decided(shared, "between")[0]
    eventually(lambda: door.ask(order("away")).status == 200, "it decides again")
    assert len(decided(shared, "away")) == 1
