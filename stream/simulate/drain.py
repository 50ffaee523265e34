"""How a mule account is emptied: each receipt leaves in pieces, within two hours, to the ring's others."""

import numpy as np
from numpy.typing import NDArray

from stream.simulate.config import MINUTE_MS
from stream.simulate.devices import SLOTS, Devices
from stream.simulate.honest import key_types, mixed
from stream.simulate.payments import Payments, to_centavos, within_limits
from stream.simulate.population import Population
from stream.simulate.typologies import MuleFanInAndDrain
from stream.simulate.vocabulary import DICT, MANU, QRDN

LONGEST_MINUTES = 115.0
INITIATIONS = {DICT: 0.65, MANU: 0.2, QRDN: 0.15}
RING_DEVICES = 9 * 10**7
"""Where the numbers of the rings' devices begin, behind those of the other typologies."""
MULES_PER_DEVICE = 40
"""Neighbouring account numbers of which one device serves those that are mules."""
RING_SIZE = 3
"""Accounts that one mule's money goes to."""


def drains(
    rng: np.random.Generator,
    population: Population,
    devices: Devices,
    typology: MuleFanInAndDrain,
    received: Payments,
) -> Payments:
    """The pieces in which the mules pay on what they `received`; they belong to the same incidents."""
    drained = np.flatnonzero(rng.random(len(received)) < typology.drained)
    parts = 1 + rng.choice(len(typology.drain_parts), len(drained), p=typology.drain_parts)
    source = np.repeat(drained, parts)
    mule = received.payee[source]
    delay = np.minimum(rng.lognormal(np.log(typology.drain_minutes), 0.8, len(source)), LONGEST_MINUTES)
    at_ms = received.at_ms[source] + (delay * MINUTE_MS).astype(np.int64)
    share = rng.uniform(2 * typology.drain_share - 1, 1.0, len(source)) / np.repeat(parts, parts)
    device, registered = _device(rng, population, devices, typology, mule, at_ms)
    limited = within_limits(
        received.centavos[source] / 100 * share, at_ms, registered, population.night_limit_raised[mule]
    )
    payee = _receivers(rng, population, mule)
    initiation = mixed(rng, INITIATIONS, len(source))
    return Payments(
        at_ms=at_ms,
        payer=mule,
        payee=payee,
        centavos=to_centavos(limited),
        initiation=initiation,
        key_type=key_types(rng, population, payee, initiation),
        key_owner=payee,
        device=device,
        registered=registered,
        balance=received.centavos[source] + 100,
        typology=received.typology[source],
        incident=received.incident[source],
    ).take(payee != mule)


def _device(
    rng: np.random.Generator,
    population: Population,
    devices: Devices,
    typology: MuleFanInAndDrain,
    mule: NDArray[np.int32],
    at_ms: NDArray[np.int64],
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """The account's own device, or one of the ring's, which was registered with the holder's help."""
    person = mule < population.people
    own, registered = devices.of(rng, np.where(person, mule, 0).astype(np.int32), at_ms)
    ring = _fixed(mule) % 100 < 100 * typology.drain_device
    first_ring_device = SLOTS * population.size + RING_DEVICES
    number = np.where(person, own, mule.astype(np.int64) * SLOTS)
    number = np.where(ring, first_ring_device + mule // MULES_PER_DEVICE, number)
    return number, registered | ~person | ring


def _fixed(number: NDArray[np.int32] | NDArray[np.int64]) -> NDArray[np.int64]:
    """A number that looks random and is the same for equal input."""
    return number.astype(np.int64) * 2_654_435_761 % (1 << 32) >> 8


def _receivers(
    rng: np.random.Generator, population: Population, mule: NDArray[np.int32]
) -> NDArray[np.int32]:
    """One of a few accounts that are fixed for each mule; every third of them is a fresh one."""
    place = _fixed(mule.astype(np.int64) * RING_SIZE + rng.integers(0, RING_SIZE, len(mule)))
    fresh = population.fresh[place // 7 % len(population.fresh)]
    return np.where(place % 3 == 0, fresh, place // 5 % population.people).astype(np.int32)
