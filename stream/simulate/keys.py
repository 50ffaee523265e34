"""Keys that move to another account (DICT's portability): honest people who change banks, and mules.

A CPF, CNPJ, phone or e-mail key can move; a random key (EVP) can only be deleted and made anew (the Banco
Central's change of the Regulamento do Pix of March 2025). It goes to another account of the same holder, or
of one who passes for the holder: an account opened with stolen papers, or a phone number that was taken over
and claimed. A moved key is what links a known key to an unknown account. The shares are assumptions.
"""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from stream.simulate.config import DAY_MS, HOUR_MS, SimulationConfig
from stream.simulate.payments import HONEST, Payments
from stream.simulate.population import Population
from stream.simulate.vocabulary import EVP

MULES_WITH_MOVED_KEY = 0.4
"""Share of the mule accounts that somebody's keys were moved to. (Not every fraud is paid by such a key.)"""
MOVED_BEFORE_DAYS = 1.5
"""Mean time from that move to the first payment (exponential, at least an hour)."""


def moved(config: SimulationConfig, population: Population, payments: Payments) -> Payments:
    """The same payments with `payee` and `key_owner` as the moves made them. Rows keep their places."""
    rng = np.random.default_rng([config.seed, 4])
    return _to_mules(rng, population, _to_second_account(population, payments))


def _portable(payments: Payments) -> NDArray[np.bool_]:
    portable: NDArray[np.bool_] = (payments.key_type >= 0) & (payments.key_type != EVP)
    return portable


def _to_second_account(population: Population, payments: Payments) -> Payments:
    """From the day of the move, who pays by the old key reaches the new account."""
    second = np.full(population.size, -1, dtype=np.int32)
    second[population.movers] = population.second
    moved_ms = np.zeros(population.size, dtype=np.int64)
    moved_ms[population.movers] = population.moved_ms
    payee = payments.payee
    goes = (second[payee] >= 0) & (payments.at_ms >= moved_ms[payee]) & _portable(payments)
    return replace(payments, payee=np.where(goes, second[payee], payee))


def _to_mules(rng: np.random.Generator, population: Population, payments: Payments) -> Payments:
    """Some mules receive on another's keys; who goes on paying that person uses a new random key."""
    fraud = payments.typology != HONEST
    mules = np.unique(payments.payee[fraud])
    mules = mules[mules < population.second_from]
    owners = _owners(rng, population, payments, mules)
    takers = rng.permutation(mules)[: min(len(owners), round(MULES_WITH_MOVED_KEY * len(mules)))]
    owners = owners[: len(takers)]
    first = np.full(population.size, np.iinfo(np.int64).max)
    np.minimum.at(first, payments.payee[fraud], payments.at_ms[fraud])
    ago = np.maximum((rng.exponential(MOVED_BEFORE_DAYS, len(takers)) * DAY_MS).astype(np.int64), HOUR_MS)
    owner_of = np.full(population.size, -1, dtype=np.int32)
    owner_of[takers] = owners
    lost_ms = np.full(population.size, np.iinfo(np.int64).max)
    lost_ms[owners] = first[takers] - ago
    payee, portable = payments.payee, _portable(payments)
    taken = fraud & portable & (owner_of[payee] >= 0)
    lost = portable & (payments.at_ms >= lost_ms[payee])
    return replace(
        payments,
        key_owner=np.where(taken, owner_of[payee], payments.key_owner),
        key_type=np.where(lost, EVP, payments.key_type).astype(np.int8),
    )


def _owners(
    rng: np.random.Generator, population: Population, payments: Payments, mules: NDArray[np.int32]
) -> NDArray[np.int32]:
    """People whose keys are in use here and who are neither mules nor movers, in random order."""
    people = np.bincount(payments.payee[_portable(payments)], minlength=population.size) > 0
    people[population.people :] = False
    people[mules] = False
    people[population.movers] = False
    return rng.permutation(np.flatnonzero(people)).astype(np.int32)
