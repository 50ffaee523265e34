"""What the demo mixes into its traffic: the same for the same seed, and as bad as it says."""

from collections import Counter
from datetime import UTC, datetime
from itertools import pairwise

import orjson
import pytest

from stream.dead_letter import Rejected
from stream.demo.bad_input import KINDS, Kind
from stream.demo.traffic import Plan, mixed
from stream.messages import decode_transaction
from stream.simulate import Message

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
NOW_MS = round(NOW.timestamp() * 1000)
GOOD = {
    "event_id": "E9040088820261121113000123456789",
    "occurred_at": "2026-11-21T11:30:00.123Z",
    "amount": "150.00",
    "payer": {"account": "a-1"},
    "payee": {"account": "b-9"},
}


def payments(count: int, payers: int) -> list[Message]:
    """Payments of `payers` accounts in turn, and a fraud report after every hundredth."""
    messages = []
    for i in range(count):
        payer = f"a-{i % payers}"
        content = {**GOOD, "event_id": f"E{i:031d}", "payer": {"account": payer}}
        messages.append(Message("transactions", payer.encode(), orjson.dumps(content), i))
        if i % 100 == 99:
            messages.append(Message("fraud-reports", payer.encode(), b"{}", i))
    return messages


def mix(count: int = 5_000, payers: int = 500, seed: int = 1, share: float = 0.01) -> Plan:
    return Plan(list(mixed(payments(count, payers), seed, share, share, NOW)))


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_each_kind_is_refused_with_its_code(kind: Kind) -> None:
    with pytest.raises(Rejected) as caught:
        decode_transaction(kind.make(GOOD, NOW), NOW_MS)
    assert caught.value.code == kind.code


def test_the_template_itself_is_good() -> None:
    assert decode_transaction(orjson.dumps(GOOD), NOW_MS).event_id == GOOD["event_id"]


def test_the_same_seed_gives_the_same_messages() -> None:
    assert mix(seed=3).messages == mix(seed=3).messages
    assert mix(seed=3).messages != mix(seed=4).messages


def test_what_was_simulated_goes_out_unchanged_and_in_order() -> None:
    sent = [(m.topic, m.value) for m in mix().messages if m.role in ("payment", "report")]
    assert sent == [(m.topic, m.value) for m in payments(5_000, 500)]


def test_every_kind_of_bad_input_takes_its_turn() -> None:
    plan = mix()
    expected = Counter(kind.code for kind in KINDS)
    assert plan.codes.keys() == expected.keys()
    assert 30 <= plan.codes.total() <= 80


@pytest.mark.parametrize("payers", [3, 500])
def test_a_repeat_is_exact_and_within_the_payers_memory(payers: int) -> None:
    plan = mix(payers=payers, share=0.05)
    first: dict[str, int] = {}
    of_payer: Counter[bytes] = Counter()
    values = {}
    for message in plan.messages:
        if message.role == "payment":
            of_payer[message.key] += 1
            first[message.event_id or ""] = of_payer[message.key]
            values[message.event_id] = (message.key, message.value)
        elif message.role == "repeat":
            assert (message.key, message.value) == values[message.event_id]
            assert of_payer[message.key] - first[message.event_id or ""] < 32
    assert 150 <= len(plan.repeated) <= 350
    assert len(set(plan.repeated)) == len(plan.repeated)


def test_the_plan_knows_what_must_come_out() -> None:
    plan = mix()
    assert len(plan.payments) == 5_000
    assert plan.transactions == 5_000 + len(plan.repeated) + plan.codes.total()
    assert len(plan.messages) == plan.transactions + 50


def test_repeats_come_later_than_their_payments_and_not_all_at_once() -> None:
    places = [i for i, m in enumerate(mix(share=0.02).messages) if m.role == "repeat"]
    assert max(after - before for before, after in pairwise(places)) > 1
