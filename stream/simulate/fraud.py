"""From a typology's parameters to its payments: rings of mules, their victims, and what each victim pays."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stream.simulate.config import DAY_MS, HOUR_MS, MINUTE_MS, SimulationConfig
from stream.simulate.devices import SLOTS, Devices
from stream.simulate.drain import drains
from stream.simulate.honest import balances, key_types, mixed, rounded
from stream.simulate.payments import Payments, concatenate, to_centavos, within_limits
from stream.simulate.population import Population
from stream.simulate.rhythm import asleep, hours_drawn
from stream.simulate.typologies import TYPOLOGIES, MuleFanInAndDrain, Typology
from stream.simulate.vocabulary import MANU, UNKNOWN

DEVICE_UNKNOWN = 0.1
"""Share of the criminals' sessions in which the institution recognises no device at all."""


@dataclass(frozen=True)
class Incidents:
    """One row a victim: who, to which mule, when it begins, from which of the criminals' devices."""

    victim: NDArray[np.int32]
    mule: NDArray[np.int32]
    second_mule: NDArray[np.int32]
    begins_ms: NDArray[np.int64]
    device: NDArray[np.int64]
    """-2: the victim's own."""
    registered: NDArray[np.bool_]
    payments: NDArray[np.int64]


OWN_DEVICE = -2


def frauds(config: SimulationConfig, population: Population, devices: Devices, count: int) -> list[Payments]:
    """Exactly `count` fraud payments in all, shared out over the typologies. Unordered, inside the span."""
    return [
        _scenario(np.random.default_rng([config.seed, 100 + code]), config, population, devices, code, wanted)
        for code, wanted in enumerate(shared_out(count))
    ]


def shared_out(count: int) -> list[int]:
    """`count` by the typologies' shares, largest remainder first; sums to `count`."""
    shares = np.array([typology.share for typology in TYPOLOGIES])
    exact = count * shares / shares.sum()
    whole = np.floor(exact).astype(int)
    for code in np.argsort(whole - exact, kind="stable")[: count - int(whole.sum())]:
        whole[code] += 1
    return [int(number) for number in whole]


def _scenario(
    rng: np.random.Generator,
    config: SimulationConfig,
    population: Population,
    devices: Devices,
    code: int,
    wanted: int,
) -> Payments:
    """Whole incidents until there are enough payments, the last one cut short."""
    typology = TYPOLOGIES[code]
    margin = 20 + wanted + wanted // 4
    incidents = _incidents(rng, config, population, typology, code, margin)
    paid = _payments(rng, population, devices, typology, code, incidents)
    if isinstance(typology, MuleFanInAndDrain):
        paid = concatenate([paid, drains(rng, population, devices, typology, paid)])
    inside = paid.take((paid.at_ms >= config.start_ms) & (paid.at_ms < config.end_ms))
    return inside.take(np.argsort(inside.incident, kind="stable")[:wanted])


def _incidents(
    rng: np.random.Generator,
    config: SimulationConfig,
    population: Population,
    typology: Typology,
    code: int,
    count: int,
) -> Incidents:
    ring = _rings(rng, typology.victims_per_mule, count)
    rings = int(ring[-1]) + 1
    mules = _mules(rng, population, typology, rings)
    opens = config.start_ms + _spread(rng, rings) * (config.end_ms - config.start_ms)
    lasts = rng.gamma(2.0, typology.mule_days / 2.0, rings) * DAY_MS
    at_ms = (opens[ring] + rng.random(count) * lasts[ring]).astype(np.int64)
    victim = _victims(rng, population, count)
    by_kind = np.tile(np.array(typology.hours), (count, 1))
    quiet = rng.random(count) < typology.asleep
    weights = np.where(quiet[:, None], asleep(population, victim), by_kind)
    foreign = rng.random(count) < typology.new_device
    number = SLOTS * population.size + code * 10**7 + _rings(rng, typology.victims_per_device, count)
    number = np.where(rng.random(count) < DEVICE_UNKNOWN, UNKNOWN, number)
    return Incidents(
        victim=victim,
        mule=mules[ring],
        second_mule=mules[(ring + 1) % rings],
        begins_ms=_at_hours(rng, at_ms, weights),
        device=np.where(foreign, number, OWN_DEVICE),
        registered=rng.random(count) < typology.device_registered,
        payments=1 + rng.choice(len(typology.payments), count, p=typology.payments),
    )


def _rings(rng: np.random.Generator, mean: float, count: int) -> NDArray[np.int64]:
    """`count` members in consecutive groups 0, 1, …, of geometric size with that mean."""
    return np.cumsum(rng.random(count) < 1 / mean).astype(np.int64) if mean > 1 else np.arange(count)


def _spread(rng: np.random.Generator, count: int) -> NDArray[np.float64]:
    """`count` places in [0, 1), any first part of which is spread evenly (golden-ratio steps), so that the
    same share of fraud falls into every week of every seed."""
    even = rng.random() + np.arange(count) * 0.6180339887498949
    return (even + rng.normal(0.0, 0.5 / max(count, 1), count)) % 1.0


def _mules(
    rng: np.random.Generator, population: Population, typology: Typology, count: int
) -> NDArray[np.int32]:
    settled = np.setdiff1d(np.arange(population.people), population.movers)
    lent = rng.choice(settled, count)
    fresh = rng.choice(population.fresh, count)
    return np.where(rng.random(count) < typology.mule_fresh, fresh, lent).astype(np.int32)


def _victims(rng: np.random.Generator, population: Population, count: int) -> NDArray[np.int32]:
    """Natural persons, the more active ones somewhat more often."""
    weights = np.sqrt(population.daily) * ~population.legal[: population.people]
    return rng.choice(population.people, count, p=weights / weights.sum()).astype(np.int32)


def _at_hours(
    rng: np.random.Generator, at_ms: NDArray[np.int64], weights: NDArray[np.float64]
) -> NDArray[np.int64]:
    """The same local day, at an hour by these (n, 24) weights."""
    midnight = (at_ms - 3 * HOUR_MS) // DAY_MS * DAY_MS + 3 * HOUR_MS
    return midnight + hours_drawn(rng, weights)


def _payments(
    rng: np.random.Generator,
    population: Population,
    devices: Devices,
    typology: Typology,
    code: int,
    incidents: Incidents,
) -> Payments:
    incident = np.repeat(np.arange(len(incidents.victim)), incidents.payments)
    turn = np.arange(len(incident)) - np.repeat(
        np.cumsum(incidents.payments) - incidents.payments, incidents.payments
    )
    victim = incidents.victim[incident]
    at_ms = incidents.begins_ms[incident] + _elapsed(rng, typology, turn)
    device, registered = _device(devices, rng, incidents, incident, victim, at_ms)
    other = (turn > 0) & (rng.random(len(turn)) < typology.other_mule)
    payee = np.where(other, incidents.second_mule[incident], incidents.mule[incident])
    start = balances(rng, population, incidents.victim)[incident]
    like = _repeated(rng, typology, incident, turn)
    centavos = _amounts(rng, population, typology, victim, at_ms, registered, start / 100, like)
    before = _running(centavos, turn)
    initiation = mixed(rng, dict(typology.initiations), len(turn))
    kept = (victim != payee) & (before + centavos <= start)
    return Payments(
        at_ms=at_ms,
        payer=victim,
        payee=payee,
        centavos=centavos,
        initiation=initiation,
        key_type=_keys(rng, population, typology, payee, initiation),
        key_owner=payee,
        device=device,
        registered=registered,
        balance=start - before,
        typology=np.full(len(turn), code, dtype=np.int8),
        incident=incident.astype(np.int32),
    ).take(kept)


def _elapsed(rng: np.random.Generator, typology: Typology, turn: NDArray[np.int64]) -> NDArray[np.int64]:
    """Milliseconds from an incident's first payment to each of its payments."""
    gap = (rng.lognormal(np.log(typology.gap_minutes), 0.9, len(turn)) * MINUTE_MS).astype(np.int64)
    gap[turn == 0] = 0
    return _running(gap, turn) + gap


def _running(values: NDArray[np.int64], turn: NDArray[np.int64]) -> NDArray[np.int64]:
    """Sum of the earlier values of the same incident; rows of an incident are consecutive, turn 0 first."""
    before = np.cumsum(values) - values
    sizes = np.diff(np.append(np.flatnonzero(turn == 0), len(turn)))
    earlier: NDArray[np.int64] = before - np.repeat(before[turn == 0], sizes)
    return earlier


def _device(
    devices: Devices,
    rng: np.random.Generator,
    incidents: Incidents,
    incident: NDArray[np.int64],
    victim: NDArray[np.int32],
    at_ms: NDArray[np.int64],
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    own, own_registered = devices.of(rng, victim, at_ms)
    foreign = incidents.device[incident] != OWN_DEVICE
    return (
        np.where(foreign, incidents.device[incident], own),
        np.where(foreign, incidents.registered[incident], own_registered),
    )


def _amounts(
    rng: np.random.Generator,
    population: Population,
    typology: Typology,
    victim: NDArray[np.int32],
    at_ms: NDArray[np.int64],
    registered: NDArray[np.bool_],
    balance: NDArray[np.float64],
    like: NDArray[np.int64],
) -> NDArray[np.int64]:
    multiple = rng.lognormal(np.log(typology.multiple), typology.spread, len(victim))
    reais = rounded(rng, population.habit[victim] * multiple, typology.rounding)[like]
    possible = np.minimum(reais, balance * 0.95)
    limited = within_limits(possible, at_ms, registered, population.night_limit_raised[victim])
    # Criminals know the limits and stay below them, often just below: R$ 195, R$ 990.
    just = rng.random(len(victim)) < typology.just_below
    share = np.where(just, rng.uniform(0.95, 1.0, len(victim)), rng.uniform(0.5, 1.0, len(victim)))[like]
    lower = np.where(just[like], np.floor(limited * share), limited * share)
    return to_centavos(np.where(limited < possible, lower, limited))


def _repeated(
    rng: np.random.Generator, typology: Typology, incident: NDArray[np.int64], turn: NDArray[np.int64]
) -> NDArray[np.int64]:
    """The row whose amount each payment has: its own, or in some incidents the first payment's."""
    first = np.flatnonzero(turn == 0)
    repeats = rng.random(len(first)) < typology.repeats
    return np.where(repeats[incident], first[incident], np.arange(len(turn)))


def _keys(
    rng: np.random.Generator,
    population: Population,
    typology: Typology,
    payee: NDArray[np.int32],
    initiation: NDArray[np.int8],
) -> NDArray[np.int8]:
    if typology.key_types is None:
        return key_types(rng, population, payee, initiation)
    return np.where(initiation == MANU, UNKNOWN, mixed(rng, dict(typology.key_types), len(payee))).astype(
        np.int8
    )
