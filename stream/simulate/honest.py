"""Everyday payments of honest people: favourites and strangers, small and large, by day and by night.

Each sign by which fraud is known (a new payee, an unusual amount, night, a burst, a new device) is common
here too, and far more often honest than not.
"""

import numpy as np
from numpy.typing import NDArray

from stream.simulate.config import DAY_MS, MINUTE_MS, SimulationConfig
from stream.simulate.devices import Devices
from stream.simulate.payments import HONEST, Orders, Payments, to_centavos, within_limits
from stream.simulate.population import FAVOURITES, Population
from stream.simulate.rhythm import activity, local_midnights, since_payday, times_of_day
from stream.simulate.vocabulary import APDN, APES, AUTO, DICT, INIC, MANU, QRDN, QRES, UNKNOWN

STRANGER_IS_SHOP = 0.72
"""A payee that is no favourite: a shop, else a person (a sale between two people, a service)."""
LARGE = 0.025
"""Share of payments that are several times the habit: rent, a used car, tuition, one's own other account."""
BURSTS = 0.025
"""Share of payments followed at once by one to four more (splitting bills, several errands)."""
BURST_LENGTH = (0.5, 0.27, 0.15, 0.08)
BURST_SAME = 0.25
"""Share of what follows in a burst that has the first one's amount (equal shares of a bill, tickets)."""
BELOW_LIMIT = 0.5
"""Share of payments which a limit cuts that are made somewhat smaller than the limit, as criminals do."""
RENT = 0.45
"""Share of people who pay one large bill in the days after payday, every month to the same payee."""

SHOP_INITIATIONS = {QRDN: 0.42, QRES: 0.27, DICT: 0.12, INIC: 0.08, APDN: 0.05, MANU: 0.03, AUTO: 0.03}
PERSON_INITIATIONS = {DICT: 0.7, MANU: 0.13, QRES: 0.11, INIC: 0.04, APES: 0.02}


def everyday(
    rng: np.random.Generator, config: SimulationConfig, population: Population, devices: Devices, count: float
) -> Payments:
    """About `count` (mean) payments inside the span, bursts and rents included. Unordered."""
    rents = _rents(rng, config, population)
    singles = max(count - len(rents.payer), 0.0) / (1 + BURSTS * _burst_mean())
    payer, at_ms = _occasions(rng, config, population, singles)
    payer, at_ms, first = _with_bursts(rng, payer, at_ms)
    payee = payees(rng, population, payer)
    reais = amounts(rng, population, payer, payee)
    reais = np.where(rng.random(len(payer)) < BURST_SAME, reais[first], reais)
    orders = Orders(payer, payee, at_ms, reais).joined(rents)
    return settle(rng, population, devices, orders.possible(config))


def settle(
    rng: np.random.Generator,
    population: Population,
    devices: Devices,
    orders: Orders,
) -> Payments:
    """Honest payments from these orders: device, limits, initiation, key and balance."""
    payer, payee, at_ms, reais = orders
    device, registered = devices.of(rng, payer, at_ms)
    unlimited = population.night_limit_raised[payer] | population.legal[payer]
    limited = within_limits(reais, at_ms, registered, unlimited)
    lower = (limited < reais) & (rng.random(len(payer)) < BELOW_LIMIT)
    centavos = to_centavos(np.where(lower, np.floor(limited * rng.uniform(0.85, 1.0, len(payer))), limited))
    initiation = initiations(rng, population, payee)
    return Payments(
        at_ms=at_ms,
        payer=payer,
        payee=payee,
        centavos=centavos,
        initiation=initiation,
        key_type=key_types(rng, population, payee, initiation),
        key_owner=payee,
        device=device,
        registered=registered,
        balance=centavos + balances(rng, population, payer),
        typology=np.full(len(payer), HONEST, dtype=np.int8),
        incident=np.full(len(payer), -1, dtype=np.int32),
    )


def payees(rng: np.random.Generator, population: Population, payer: NDArray[np.int32]) -> NDArray[np.int32]:
    """A favourite (the first ones more often), or somebody by popularity."""
    weights = np.tile(1.0 / np.arange(1, FAVOURITES // 2 + 1), 2)
    place = rng.choice(FAVOURITES, len(payer), p=weights / weights.sum())
    stranger = strangers(rng, population, len(payer))
    return np.where(
        rng.random(len(payer)) < population.novelty[payer], stranger, population.favourites[payer, place]
    )


def strangers(rng: np.random.Generator, population: Population, count: int) -> NDArray[np.int32]:
    """Payees by popularity alone: shops or people."""
    people, lived = population.people, population.people + population.shops
    shop = people + _weighted(rng, population.popularity[people:lived], count)
    person = _weighted(rng, population.popularity[:people], count)
    return np.where(rng.random(count) < STRANGER_IS_SHOP, shop, person).astype(np.int32)


def amounts(
    rng: np.random.Generator, population: Population, payer: NDArray[np.int32], payee: NDArray[np.int32]
) -> NDArray[np.float64]:
    """Reais: the shop's ticket pulled towards the payer's habit, or the habit alone; some much larger."""
    habit, ticket = np.log(population.habit[payer]), np.log(population.ticket[payee])
    at_shop = (payee >= population.people) & (payee < population.people + population.shops)
    middle = np.where(at_shop, 0.4 * habit + 0.6 * ticket, habit)
    reais = np.exp(middle + rng.normal(0.0, 1.0, len(payer)) * np.where(at_shop, 0.6, 0.8))
    large = rng.random(len(payer)) < LARGE * np.where(at_shop, 0.4, 2.0)
    reais = np.where(large, np.exp(habit) * rng.lognormal(np.log(9.0), 0.8, len(payer)), reais)
    return rounded(rng, reais, np.where(at_shop, 0.1, 0.65))


def rounded(
    rng: np.random.Generator, reais: NDArray[np.float64], share: NDArray[np.float64] | float
) -> NDArray[np.float64]:
    """People type round amounts: that share becomes whole fives (below R$ 200) or fifties."""
    step = np.where(reais < 20, 1.0, np.where(reais < 200, 5.0, 50.0))
    return np.where(rng.random(len(reais)) < share, np.maximum(np.rint(reais / step), 1) * step, reais)


def initiations(
    rng: np.random.Generator, population: Population, payee: NDArray[np.int32]
) -> NDArray[np.int8]:
    """A shop is mostly paid by QR code, a person mostly by key."""
    sells = (payee >= population.people) & (payee < population.people + population.shops)
    return np.where(
        sells, mixed(rng, SHOP_INITIATIONS, len(payee)), mixed(rng, PERSON_INITIATIONS, len(payee))
    )


def mixed(rng: np.random.Generator, shares: dict[int, float], count: int) -> NDArray[np.int8]:
    """`count` codes drawn by their shares, which sum to 1."""
    return rng.choice(list(shares), count, p=list(shares.values())).astype(np.int8)


def key_types(
    rng: np.random.Generator, population: Population, payee: NDArray[np.int32], initiation: NDArray[np.int8]
) -> NDArray[np.int8]:
    """The payee's main key, sometimes its other one; none where account details were typed in."""
    place = (rng.random(len(payee)) < 0.2).astype(np.int64)
    return np.where(initiation == MANU, UNKNOWN, population.key_types[payee, place]).astype(np.int8)


def balances(rng: np.random.Generator, population: Population, payer: NDArray[np.int32]) -> NDArray[np.int64]:
    """Centavos: around 25 habitual payments, with a wide spread."""
    return to_centavos(population.habit[payer] * rng.lognormal(np.log(25.0), 1.0, len(payer)))


def _occasions(
    rng: np.random.Generator, config: SimulationConfig, population: Population, count: float
) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    expected = activity(config, population)
    midnights = local_midnights(config)
    whole_days = count * len(midnights) / config.days
    counts = rng.poisson(expected * (whole_days / expected.sum()))
    payer, day = (np.repeat(index.ravel(), counts.ravel()) for index in np.indices(counts.shape))
    midnight = round(midnights[0].timestamp() * 1000) + day * DAY_MS
    return payer.astype(np.int32), midnight + times_of_day(rng, population, payer.astype(np.int32))


def _with_bursts(
    rng: np.random.Generator, payer: NDArray[np.int32], at_ms: NDArray[np.int64]
) -> tuple[NDArray[np.int32], NDArray[np.int64], NDArray[np.int64]]:
    """Payers, times, and the row of the payment that each one follows (its own, where it follows none)."""
    first = np.flatnonzero(rng.random(len(payer)) < BURSTS)
    more = np.repeat(first, rng.choice(np.arange(1, 5), len(first), p=BURST_LENGTH))
    gap = (rng.lognormal(np.log(7.0), 1.0, len(more)) * MINUTE_MS).astype(np.int64)
    follows = np.concatenate([np.arange(len(payer)), more])
    return payer[follows], np.concatenate([at_ms, at_ms[more] + gap]), follows


def _burst_mean() -> float:
    return float(np.dot(np.arange(1, 5), BURST_LENGTH))


def _rents(rng: np.random.Generator, config: SimulationConfig, population: Population) -> Orders:
    """The large monthly bills."""
    tenant = rng.random(population.people) < RENT
    wait = rng.integers(0, 4, population.people)
    since = since_payday(config, population)
    rent = np.rint(
        population.habit[: population.people] * rng.lognormal(np.log(11.0), 0.5, population.people)
    )
    payers, times = [], []
    for place, midnight in enumerate(local_midnights(config)):
        owing = np.flatnonzero(tenant & (since[:, place] == wait)).astype(np.int32)
        payers.append(owing)
        times.append(round(midnight.timestamp() * 1000) + times_of_day(rng, population, owing))
    payer, at_ms = np.concatenate(payers), np.concatenate(times)
    landlord = population.favourites[payer, payer % 2]
    return Orders(payer, landlord, at_ms, rent[payer])


def _weighted(rng: np.random.Generator, weights: NDArray[np.float64], count: int) -> NDArray[np.int64]:
    cumulative = np.cumsum(weights)
    drawn: NDArray[np.int64] = np.searchsorted(cumulative, rng.random(count) * cumulative[-1], side="right")
    return drawn
