"""Honest crowds: many people who pay the same account for the first time within hours or days.

A new shop, a fundraiser, a seller whose advert went well. From a distance they look like a mule account,
and a fundraiser's organiser even pays the money out at once.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stream.simulate.config import DAY_MS, HOUR_MS, MINUTE_MS, SimulationConfig
from stream.simulate.devices import Devices
from stream.simulate.honest import rounded, settle
from stream.simulate.payments import Orders, Payments
from stream.simulate.population import Population
from stream.simulate.rhythm import times_of_day


@dataclass(frozen=True)
class Crowd:
    """One kind of honest crowd."""

    share: float
    """Of all honest payments."""
    payers: float
    """Median number of payments (lognormal, sigma 0.6)."""
    days: float
    """Mean time over which they come."""
    multiple: float
    """Median amount in the payer's habits (lognormal, sigma 0.5 between crowds, 0.5 within)."""
    at_shop: bool
    paid_out: float
    """Probability that the money is paid on, in one to three payments within six hours of the last payer."""


CROWDS = (
    Crowd(share=0.018, payers=30, days=9.0, multiple=0.8, at_shop=True, paid_out=0.1),  # a shop opens
    Crowd(
        share=0.007, payers=14, days=1.2, multiple=0.7, at_shop=False, paid_out=0.5
    ),  # a fundraiser, a party
    Crowd(
        share=0.008, payers=7, days=2.5, multiple=2.2, at_shop=False, paid_out=0.35
    ),  # adverts that sell well
)
SHARE = sum(crowd.share for crowd in CROWDS)


def crowds(
    rng: np.random.Generator,
    config: SimulationConfig,
    population: Population,
    devices: Devices,
    honest: float,
) -> list[Payments]:
    """Every kind of crowd, as shares of `honest` payments. Unordered, inside the span."""
    return [_gather(rng, config, population, devices, crowd, honest * crowd.share) for crowd in CROWDS]


def _gather(
    rng: np.random.Generator,
    config: SimulationConfig,
    population: Population,
    devices: Devices,
    crowd: Crowd,
    count: float,
) -> Payments:
    sizes = np.maximum(rng.lognormal(np.log(crowd.payers), 0.6, _events(count, crowd)).astype(np.int64), 2)
    events = len(sizes)
    host = _hosts(rng, population, crowd, events)
    level = crowd.multiple * rng.lognormal(0.0, 0.5, events)
    begins = config.start_ms + (rng.random(events) * (config.end_ms - config.start_ms)).astype(np.int64)
    lasts = rng.exponential(crowd.days * DAY_MS, events)
    event = np.repeat(np.arange(events), sizes)
    payer = rng.choice(population.people, len(event), p=population.daily / population.daily.sum()).astype(
        np.int32
    )
    at_ms = _daytime(
        rng, population, payer, begins[event] + (rng.random(len(event)) * lasts[event]).astype(np.int64)
    )
    reais = rounded(rng, population.habit[payer] * level[event] * rng.lognormal(0.0, 0.5, len(event)), 0.5)
    out = _paid_out(rng, population, crowd, host, event, at_ms, reais)
    orders = Orders(payer, host[event], at_ms, reais).joined(out)
    return settle(rng, population, devices, orders.possible(config))


def _events(count: float, crowd: Crowd) -> int:
    """How many crowds give `count` payments; a lognormal's mean is above its median."""
    return round(count / (crowd.payers * math.exp(0.6**2 / 2)))


def _hosts(rng: np.random.Generator, population: Population, crowd: Crowd, events: int) -> NDArray[np.int32]:
    if not crowd.at_shop:
        return rng.integers(0, population.people, events).astype(np.int32)
    quiet = population.people + np.argsort(population.popularity[population.people :][: population.shops])
    return rng.choice(quiet[: population.shops // 2], events).astype(np.int32)


def _daytime(
    rng: np.random.Generator, population: Population, payer: NDArray[np.int32], at_ms: NDArray[np.int64]
) -> NDArray[np.int64]:
    """The same local day, at an hour when the payer pays."""
    midnight = (at_ms - 3 * HOUR_MS) // DAY_MS * DAY_MS + 3 * HOUR_MS
    return midnight + times_of_day(rng, population, payer)


def _paid_out(
    rng: np.random.Generator,
    population: Population,
    crowd: Crowd,
    host: NDArray[np.int32],
    event: NDArray[np.int64],
    at_ms: NDArray[np.int64],
    reais: NDArray[np.float64],
) -> Orders:
    """The host pays on most of what came in, in parts."""
    events = len(host)
    total = np.bincount(event, weights=reais, minlength=events)
    last = np.zeros(events, dtype=np.int64)
    np.maximum.at(last, event, at_ms)
    pays = (rng.random(events) < crowd.paid_out) & (host < population.people)
    parts = rng.integers(1, 4, events)
    source = np.repeat(np.flatnonzero(pays), parts[pays])
    delay = rng.integers(5 * MINUTE_MS, 6 * HOUR_MS, len(source))
    payee = rng.integers(0, population.people + population.shops, len(source)).astype(np.int32)
    share = total[source] / parts[source] * rng.uniform(0.6, 1.0, len(source))
    return Orders(host[source], payee, last[source] + delay, share)
