"""The simulator's bytes: the same for the same seed, in the contract's form, in order of event time."""

import re
from datetime import UTC, datetime
from decimal import Decimal

import orjson
import pytest

from features.transaction import INITIATIONS, KEY_TYPES, PERSON_TYPES, REPORT_STATUSES, REPORT_TYPES
from stream.simulate import SimulationConfig, simulate
from stream.simulate.identifiers import pix_key, scrambled
from stream.simulate.vocabulary import CNPJ, CPF, EMAIL, PHONE

SMALL = SimulationConfig(seed=11, days=4.0, accounts=1_500, transactions_per_day=2_500)
EVENT_ID = re.compile(r"E9S[0-9A-Z]{6}\d{12}[a-zA-Z0-9]{11}")


@pytest.fixture(scope="module")
def simulation():
    return simulate(SMALL)


@pytest.fixture(scope="module")
def transactions(simulation):
    return [orjson.loads(m.value) for m in simulation.messages() if m.topic == "transactions"]


@pytest.fixture(scope="module")
def reports(simulation):
    return [orjson.loads(m.value) for m in simulation.messages() if m.topic == "fraud-reports"]


def test_the_same_seed_gives_the_same_bytes(simulation):
    assert list(simulate(SMALL).messages()) == list(simulation.messages())


def test_another_seed_gives_other_bytes(simulation):
    other = simulate(SimulationConfig(seed=12, days=4.0, accounts=1_500, transactions_per_day=2_500))
    assert next(other.messages()) != next(simulation.messages())


def test_every_transaction_keeps_the_contract(simulation, transactions):
    assert len(transactions) == len(simulation)
    assert len({x["event_id"] for x in transactions}) == len(transactions)
    for x in transactions:
        assert EVENT_ID.fullmatch(x["event_id"])
        assert x["event_id"][1:9] == x["payer"]["ispb"]
        assert x["event_id"][9:21] == datetime.fromisoformat(x["occurred_at"]).strftime("%Y%m%d%H%M")
        assert re.fullmatch(r"\d+\.\d\d", x["amount"])
        assert Decimal(x["amount"]) > 0
        assert x["payer"]["account"] != x["payee"]["account"]
        assert x["payer"]["person_type"] in PERSON_TYPES
        assert x["payee"]["person_type"] in PERSON_TYPES
        assert x["initiation"] in INITIATIONS
        assert ("key" in x["payee"]) == ("key_type" in x["payee"])
        assert x["payee"].get("key_type", "CPF") in KEY_TYPES
        assert Decimal(x["payer"].get("balance", "1e12")) >= Decimal(x["amount"])
        assert None not in x.values()


def test_unknown_is_absent_and_some_of_everything_is_unknown(transactions):
    assert 0 < sum("device" not in x for x in transactions) < len(transactions) / 5
    assert 0 < sum("key" not in x["payee"] for x in transactions) < len(transactions) / 5
    assert 0 < sum("balance" not in x["payer"] for x in transactions) < len(transactions)


def test_an_unregistered_device_pays_at_most_200(transactions):
    unregistered = [x for x in transactions if not x.get("device", {}).get("registered", True)]
    assert unregistered
    assert max(Decimal(x["amount"]) for x in unregistered) <= 200


def test_the_key_of_a_message_is_the_payers_account(simulation):
    for message in simulation.messages():
        content = orjson.loads(message.value)
        payer = content["payer_account"] if "report_id" in content else content["payer"]["account"]
        assert message.key == payer.encode()


def test_messages_come_in_event_time(simulation):
    times = [m.event_time_ms for m in simulation.messages()]
    assert times == sorted(times)
    inside = simulation.occurred_ms
    assert SMALL.start_ms <= inside[0]
    assert inside[-1] < SMALL.end_ms


def test_every_report_keeps_the_contract_and_follows_its_transaction(transactions, reports):
    known = {x["event_id"]: x for x in transactions}
    assert reports
    for r in reports:
        told = known[r["transaction_event_id"]]
        assert r["status"] in REPORT_STATUSES
        assert r["type"] in REPORT_TYPES
        assert r["payer_account"] == told["payer"]["account"]
        assert r["payee_account"] == told["payee"]["account"]
        assert r.get("device_id") == told.get("device", {}).get("id")
        assert r.get("payee_key") == told["payee"].get("key")
        assert datetime.fromisoformat(r["reported_at"]) > datetime.fromisoformat(told["occurred_at"])


def test_a_slice_by_time_is_the_same_messages(simulation):
    middle = SMALL.start_ms + (SMALL.end_ms - SMALL.start_ms) // 2
    parts = [*simulation.between(0, middle).messages(), *simulation.between(middle, 10**15).messages()]
    assert parts == list(simulation.messages())


def test_the_first_and_the_last_so_many(simulation):
    everything = [m for m in simulation.messages() if m.topic == "transactions"]
    for cut, expected in (
        (simulation.first(100), everything[:100]),
        (simulation.last(100), everything[-100:]),
        (simulation.first(0), []),
        (simulation.last(10**9), everything),
    ):
        assert [m for m in cut.messages() if m.topic == "transactions"] == expected
        assert len(cut) == len(expected)


def test_a_start_within_a_day_and_a_part_of_a_day():
    config = SimulationConfig(
        start=datetime(2026, 9, 3, 17, 20, tzinfo=UTC), days=0.6, accounts=300, transactions_per_day=3_000
    )
    times = simulate(config).occurred_ms
    assert config.start_ms <= times[0]
    assert times[-1] < config.end_ms
    assert 500 < len(times) < 4_000


@pytest.mark.parametrize(
    "wrong",
    [{"days": 0}, {"accounts": 3}, {"fraud_rate": 0.9}, {"start": datetime(2026, 1, 1)}],
)
def test_an_impossible_configuration_is_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        SimulationConfig(**wrong)


def test_names_are_distinct():
    assert len({scrambled(i, 32) for i in range(200_000)}) == 200_000
    assert len({scrambled(i, 40) for i in range(200_000)}) == 200_000


@pytest.mark.parametrize("index", range(50))
def test_no_key_can_be_a_real_persons(index):
    account = f"a-{index}"
    cpf = pix_key(account, CPF)
    weighted = sum(int(digit) * weight for digit, weight in zip(cpf[:10], range(11, 1, -1), strict=True)) % 11
    assert re.fullmatch(r"\d{11}", cpf)
    assert int(cpf[10]) != (0 if weighted < 2 else 11 - weighted)
    assert re.fullmatch(r"\d{14}", pix_key(account, CNPJ))
    assert re.fullmatch(r"\+55009\d{8}", pix_key(account, PHONE))
    assert pix_key(account, EMAIL).endswith("@example.com")
