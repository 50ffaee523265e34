"""What is in the simulated traffic: six kinds of fraud, rare, and every easy tell in honest payments too."""

import subprocess
import sys
from collections import Counter, defaultdict
from dataclasses import replace

import numpy as np
import orjson
import pytest

from stream.simulate import SimulationConfig, simulate
from stream.simulate.fraud import shared_out
from stream.simulate.payments import is_night, local_hour
from stream.simulate.typologies import NAMES, TYPOLOGIES
from stream.simulate.vocabulary import CONFIRMED, OPEN, REJECTED, WITHDRAWN

DAY_MS = 86_400_000
CONFIG = SimulationConfig(seed=5, days=14.0, accounts=4_000, transactions_per_day=6_000)


@pytest.fixture(scope="module")
def simulation():
    return simulate(CONFIG)


@pytest.mark.parametrize("rate", [0.005, 0.00007, 0.0])
def test_the_fraud_rate_is_what_was_asked_for(rate):
    fraud = simulate(replace(CONFIG, fraud_rate=rate)).fraud
    assert abs(int(fraud.sum()) - rate * len(fraud)) <= 1


def test_the_volume_is_what_was_asked_for(simulation):
    assert len(simulation) == pytest.approx(CONFIG.days * CONFIG.transactions_per_day, rel=0.1)


def test_all_six_typologies_are_there_by_their_shares(simulation):
    counts = Counter(simulation.typology)
    total = int(simulation.fraud.sum())
    assert len(NAMES) == 6
    for typology in TYPOLOGIES:
        assert counts[typology.name] == pytest.approx(typology.share * total, abs=2)
    assert counts[None] == len(simulation) - total


def test_shares_add_up():
    assert sum(typology.share for typology in TYPOLOGIES) == pytest.approx(1.0)
    for count in (0, 1, 7, 1_000):
        assert sum(shared_out(count)) == count


def test_fraud_is_spread_over_the_span(simulation):
    day = (simulation.occurred_ms[simulation.fraud] - CONFIG.start_ms) // DAY_MS
    assert (np.bincount(day, minlength=14) > 0).all()


def test_the_easy_tells_are_more_often_honest_than_fraud(simulation):
    payments, fraud = simulation.payments, simulation.fraud
    settled = simulation.occurred_ms > CONFIG.start_ms + 4 * DAY_MS
    ratio = payments.centavos / 100 / simulation.population.habit[payments.payer]
    tells = {
        "unregistered device": ~payments.registered,
        "device not seen before": _first_time(payments.device.tolist()) & settled & (payments.device >= 0),
        "payee new to the payer": _first_time(
            zip(payments.payer.tolist(), payments.payee.tolist(), strict=True)
        ),
        "five times the habit": ratio > 5,
        "night": is_night(payments.at_ms),
        "account details typed in": payments.initiation == 0,
        "third payment within ten minutes": _bursts(payments.payer.tolist(), payments.at_ms.tolist()),
    }
    for tell, shown in tells.items():
        honest, criminal = int((shown & ~fraud).sum()), int((shown & fraud).sum())
        assert honest > criminal > 0, tell


def test_days_have_a_rhythm(simulation):
    hours = np.bincount(local_hour(simulation.occurred_ms), minlength=24)
    assert hours[12] > 4 * hours[3] > 0


def test_few_payees_are_busy_and_pairs_repeat(simulation):
    payments = simulation.payments
    received = np.sort(np.bincount(payments.payee))[::-1]
    assert received[: len(received) // 100].sum() > 0.15 * len(payments)
    repeated = ~_first_time(zip(payments.payer.tolist(), payments.payee.tolist(), strict=True))
    assert repeated.mean() > 0.4


def test_mules_serve_several_victims_and_mostly_had_a_life(simulation):
    payments, people = simulation.payments, simulation.population.people
    victims = defaultdict(set)
    for payer, payee in zip(payments.payer[simulation.fraud], payments.payee[simulation.fraud], strict=True):
        victims[payee].add(payer)
    assert sum(len(payers) > 1 for payers in victims.values()) > len(victims) / 4
    assert 0.5 < np.mean([mule < people for mule in victims]) < 0.95


def test_a_drained_mule_pays_on_within_two_hours(simulation):
    payments = simulation.payments
    rows = np.flatnonzero(payments.typology == NAMES.index("mule_fan_in_and_drain"))
    received = defaultdict(list)
    drains = 0
    for row in rows:
        payer, at_ms = int(payments.payer[row]), int(payments.at_ms[row])
        if payer in received:
            assert at_ms - received[payer][-1] <= 2 * 3_600_000
            drains += 1
        else:
            received[int(payments.payee[row])].append(at_ms)
    assert drains > len(rows) / 5


def test_reports_end_in_every_way_and_most_frauds_are_confirmed_in_a_week(simulation):
    reports = simulation.reports
    counts = Counter(reports.status.tolist())
    assert counts[OPEN] > counts[CONFIRMED] > counts[REJECTED] > 0
    assert counts[WITHDRAWN] > 0
    occurred = dict(zip(simulation.event_ids.tolist(), simulation.occurred_ms.tolist(), strict=True))
    confirmed = reports.status == CONFIRMED
    ids, times = reports.transaction_event_id[confirmed].tolist(), reports.reported_ms[confirmed].tolist()
    early = sum(at_ms - occurred[event_id] < 7 * DAY_MS for event_id, at_ms in zip(ids, times, strict=True))
    assert early > 0.75 * simulation.fraud.sum()


def test_some_honest_payments_are_reported_and_some_fraud_never_is(simulation):
    reported = np.isin(simulation.event_ids, simulation.reports.transaction_event_id)
    assert (reported & ~simulation.fraud).sum() > 0
    assert 0.8 < reported[simulation.fraud].mean() < 1.0


def test_the_truth_is_in_no_message(simulation):
    for message in simulation.first(2_000).messages():
        content = orjson.loads(message.value)
        assert not {"fraud", "typology", "label"} & set(content)
        assert not any(name.encode() in message.value for name in NAMES)


def test_it_imports_nothing_of_the_features():
    code = "import sys, stream.simulate; sys.exit(any(m.split('.')[0] == 'features' for m in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def _first_time(values):
    seen = set()
    return np.array([not (value in seen or seen.add(value)) for value in values])


def _bursts(payers, times):
    last = defaultdict(lambda: [-(10**15)] * 2)
    shown = []
    for payer, at_ms in zip(payers, times, strict=True):
        shown.append(at_ms - last[payer][0] < 600_000)
        last[payer] = [last[payer][1], at_ms]
    return np.array(shown)
