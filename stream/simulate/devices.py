"""Which device a person pays with, and whether it is registered yet.

Honest devices change too: that is what makes a new device a weak sign. A replacement is registered only
some days after its first use; some people have two devices; some share one at home.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stream.simulate.config import DAY_MS, SimulationConfig
from stream.simulate.population import Population
from stream.simulate.vocabulary import UNKNOWN

SLOTS = 4
"""Device numbers of person i are SLOTS·i …: first, second, first replacement, second replacement."""
REPLACEMENT_EVERY_DAYS = 110.0
REGISTRATION_DELAY_DAYS = 2.0
SECOND_DEVICE = 0.2
HOUSEHOLD = 0.08
SECOND_DEVICE_USE = 0.25


@dataclass(frozen=True)
class Devices:
    """Per person (p,): when devices come into use and when they are registered, epoch milliseconds."""

    replaced_ms: NDArray[np.int64]
    """(p, 2) first and second replacement."""
    delay_ms: NDArray[np.int64]
    """(p,) from first use to registration."""
    second: NDArray[np.int64]
    """(p,) number of the second device (maybe the neighbour's), or -1."""
    second_registered_ms: NDArray[np.int64]
    faceless: NDArray[np.bool_]
    """(p,) pays through an integration that names no device."""

    def of(
        self, rng: np.random.Generator, payer: NDArray[np.int32], at_ms: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Device number and registration, (n,) each. An unknown device is -1 and counts as registered."""
        first, second = self.replaced_ms[payer, 0], self.replaced_ms[payer, 1]
        slot = np.where(at_ms >= second, 3, np.where(at_ms >= first, 2, 0))
        since = np.where(slot == 3, second, np.where(slot == 2, first, -(10**15)))
        device = payer.astype(np.int64) * SLOTS + slot
        registered = at_ms >= since + self.delay_ms[payer]
        other = (self.second[payer] >= 0) & (rng.random(len(payer)) < SECOND_DEVICE_USE)
        device = np.where(other, self.second[payer], device)
        registered = np.where(other, at_ms >= self.second_registered_ms[payer], registered)
        return np.where(self.faceless[payer], UNKNOWN, device), registered | self.faceless[payer]


def equip(config: SimulationConfig, population: Population) -> Devices:
    """Devices of every person over the span."""
    rng = np.random.default_rng([config.seed, 2])
    people = population.people
    waits = rng.exponential(REPLACEMENT_EVERY_DAYS * DAY_MS, (people, 2)).astype(np.int64)
    own_second = np.arange(people, dtype=np.int64) * SLOTS + 1
    neighbour = (np.arange(people, dtype=np.int64) ^ 1) % people * SLOTS
    draw = rng.random(people)
    second = np.where(draw < SECOND_DEVICE, own_second, UNKNOWN)
    second = np.where(draw > 1 - HOUSEHOLD, neighbour, second)
    span = config.end_ms - config.start_ms
    return Devices(
        replaced_ms=config.start_ms + np.cumsum(waits, axis=1),
        delay_ms=(rng.lognormal(np.log(REGISTRATION_DELAY_DAYS), 0.8, people) * DAY_MS).astype(np.int64),
        second=second,
        second_registered_ms=config.start_ms + (rng.uniform(-3.0, 1.0, people) * span).astype(np.int64),
        faceless=population.legal[:people] & (rng.random(people) < 0.6),
    )
