"""What the simulator has for each family of features to learn: there, stated, and never a proof of fraud."""

from collections import defaultdict

import numpy as np
import orjson
import pytest

from stream.simulate import SimulationConfig, simulate
from stream.simulate.dict_statistics import LOOKED_UP
from stream.simulate.payments import local_hour
from stream.simulate.rhythm import asleep, local_days, since_payday
from stream.simulate.typologies import NAMES
from stream.simulate.vocabulary import EVP

DAY_MS = 86_400_000
HOUR_MS = 3_600_000
CONFIG = SimulationConfig(seed=5, days=40.0, accounts=4_000, transactions_per_day=6_000)
"""2026-08-01 to 09-09: Independence Day is Monday, 7 September."""


@pytest.fixture(scope="module")
def simulation():
    return simulate(CONFIG)


def _of(simulation, *names):
    return np.isin(simulation.payments.typology, [NAMES.index(name) for name in names])


TAKEOVERS = ("account_takeover", "credential_stuffing_new_device")


def test_the_truth_is_aligned_with_the_event_ids(simulation):
    assert len(simulation.typology) == len(simulation.event_ids) == len(simulation.drain)
    named = np.array([name is not None for name in simulation.typology])
    assert (named == simulation.fraud).all()
    part = simulation.last(1_000)
    assert part.typology == simulation.typology[-1_000:]
    assert part.event_ids.tolist() == simulation.event_ids[-1_000:].tolist()


def test_a_drain_is_paid_by_a_mule_with_about_what_it_received(simulation):
    payments, drain = simulation.payments, simulation.drain
    mule = _of(simulation, "mule_fan_in_and_drain")
    assert 0.2 * mule.sum() < drain.sum() < 0.8 * mule.sum()
    assert not (drain & ~mule).any()
    received = defaultdict(int)
    for row in np.flatnonzero(mule & ~drain):
        received[payments.incident[row], payments.payee[row]] += payments.centavos[row]
    paid = defaultdict(int)
    for row in np.flatnonzero(drain):
        paid[payments.incident[row], payments.payer[row]] += payments.centavos[row]
    shares = np.array([amount / received[where] for where, amount in paid.items() if where in received])
    assert (shares <= 1.0).all()
    assert np.mean(shares > 0.7) > 0.4


def test_statistics_come_where_dict_was_asked_and_are_told(simulation):
    known, payments = simulation.statistics.updated_ms >= 0, simulation.payments
    assert np.isin(payments.initiation[known], LOOKED_UP).all()
    assert (payments.key_type[known] >= 0).all()
    assert 0.5 < known.mean() < 0.9
    age = payments.at_ms[known] - simulation.statistics.updated_ms[known]
    assert (age >= 0).all()
    assert (age < DAY_MS).all()


def test_statistics_are_of_one_account_and_grow_with_their_span(simulation):
    told = simulation.statistics
    for table in (told.settlements, told.fraud_markers, told.open_reports):
        assert ((table == -1).all(axis=1) == (told.updated_ms < 0)).all()
        assert (np.diff(table, axis=1) >= 0).mean() > 0.999  # a marker that is lifted later may be older
    # A longer past without a loss: what was settled within 60 months only grows in 40 days.
    known = np.flatnonzero(told.updated_ms >= 0)
    order = known[np.lexsort((told.updated_ms[known], simulation.payments.payee[known]))]
    same = simulation.payments.payee[order][1:] == simulation.payments.payee[order][:-1]
    assert (np.diff(told.settlements[order, 2])[same] >= 0).all()


def test_an_account_that_was_opened_lately_has_few_settlements(simulation):
    payments, told = simulation.payments, simulation.statistics
    known = told.updated_ms >= 0
    age = payments.at_ms - simulation.population.opened_ms[payments.payee]
    middle = [
        np.median(told.settlements[known & mask, 2]) for mask in (age < 30 * DAY_MS, age > 900 * DAY_MS)
    ]
    assert middle[0] * 5 < middle[1]


def test_markers_and_few_settlements_are_signs_and_no_proof(simulation):
    told, fraud = simulation.statistics, simulation.fraud
    known = told.updated_ms >= 0
    for sign in (told.fraud_markers[:, 1] > 0, told.open_reports[:, 0] > 0, told.settlements[:, 0] <= 3):
        honest, criminal = sign[known & ~fraud], sign[known & fraud]
        assert honest.sum() > criminal.sum() > 0
        assert 5 * honest.mean() < criminal.mean() < 0.6


def test_a_message_tells_what_the_columns_hold(simulation):
    part = simulation.first(500)
    contents = [orjson.loads(m.value) for m in part.messages() if m.topic == "transactions"]
    for row, content in enumerate(contents):
        told = content.get("dict")
        if part.statistics.updated_ms[row] < 0:
            assert told is None
        else:
            assert list(told["settlements"].values()) == part.statistics.settlements[row].tolist()
            assert list(told["fraud_markers"].values()) == part.statistics.fraud_markers[row].tolist()
            assert list(told["open_reports"].values()) == part.statistics.open_reports[row].tolist()
            assert told["updated_at"] <= content["occurred_at"]


def test_a_key_is_of_one_account_at_a_time_and_moves_once(simulation):
    payments = simulation.payments
    accounts = defaultdict(list)
    for owner, key_type, payee in zip(
        payments.key_owner.tolist(), payments.key_type.tolist(), payments.payee.tolist(), strict=True
    ):
        if key_type >= 0 and accounts[owner, key_type][-1:] != [payee]:
            accounts[owner, key_type].append(payee)
    assert all(len(holders) <= 2 for holders in accounts.values())
    moved = [key for key, holders in accounts.items() if len(holders) == 2]
    assert len(moved) > 20
    assert not any(key_type == EVP for _, key_type in moved)


def test_moved_keys_are_more_often_honest_but_likelier_a_mules(simulation):
    moved = simulation.payments.key_owner != simulation.payments.payee
    fraud = simulation.fraud
    assert moved[~fraud].sum() > moved[fraud].sum() > 0
    assert moved[fraud].mean() > 10 * moved[~fraud].mean()


def test_amounts_repeat_and_stay_just_below_limits_in_takeovers_and_elsewhere(simulation):
    payments, fraud, takeover = simulation.payments, simulation.fraud, _of(simulation, *TAKEOVERS)
    below = (payments.centavos >= 19_000) & (payments.centavos < 20_000)
    again = _repeated_within_an_hour(payments)
    for sign in (below, again):
        assert sign[~fraud].sum() > sign[takeover].sum() > 0
        assert sign[takeover].mean() > 5 * sign[~fraud].mean()


def test_takeovers_come_while_the_payer_never_pays(simulation):
    payments, people = simulation.payments, simulation.population.people
    person = payments.payer < people
    payer = np.where(person, payments.payer, 0).astype(np.int32)
    hour = local_hour(payments.at_ms)
    quiet = asleep(simulation.population, payer)[np.arange(len(payer)), hour] > 0.5
    honest, takeover = quiet[person & ~simulation.fraud], quiet[_of(simulation, *TAKEOVERS)]
    assert honest.sum() > takeover.sum()
    assert takeover.mean() > 4 * honest.mean()


def test_honest_payers_keep_their_own_hours(simulation):
    payments = simulation.payments
    honest = ~simulation.fraud
    payers, hours = payments.payer[honest], local_hour(payments.at_ms[honest])
    table = np.zeros((simulation.population.size, 24))
    np.add.at(table, (payers, hours), 1)
    busy = table[table.sum(axis=1) >= 60]
    own = np.sort(busy, axis=1)[:, -4:].sum() / busy.sum()
    everybody = np.sort(table.sum(axis=0))[-4:].sum() / table.sum()
    assert own > everybody + 0.15


def test_salary_days_are_busy_and_holidays_quiet(simulation):
    days = local_days(CONFIG)
    day = (simulation.occurred_ms - 3 * HOUR_MS) // DAY_MS
    counts = np.bincount(day - days[0].astype(np.int64), minlength=len(days))
    on = {str(date): int(count) for date, count in zip(days, counts, strict=True)}
    ordinary = np.median(counts)
    assert on["2026-08-06"] > 1.2 * ordinary  # 1 (Saturday), 3, 4, 5, 6
    assert on["2026-09-04"] > 1.2 * ordinary  # the fifth business day is a Saturday
    assert on["2026-09-07"] < 0.8 * ordinary
    paid = {
        str(days[place])
        for place in np.flatnonzero((since_payday(CONFIG, simulation.population) == 0).any(0))
    }
    assert paid == {"2026-08-06", "2026-08-14", "2026-08-20", "2026-08-31", "2026-09-04"}


def _repeated_within_an_hour(payments):
    last, again = {}, []
    for row in zip(payments.payer.tolist(), payments.centavos.tolist(), payments.at_ms.tolist(), strict=True):
        payer, centavos, at_ms = row
        before = last.get(payer)
        again.append(before is not None and before[0] == centavos and at_ms - before[1] < HOUR_MS)
        last[payer] = centavos, at_ms
    return np.array(again)
