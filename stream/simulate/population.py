"""Who pays and who is paid: people, shops, newly opened accounts, and what is usual for each.

Account numbers are rows of these arrays: people first (they alone pay by habit), then shops, then `fresh`
accounts without any life of their own, which only fraud uses, then the `second` accounts of people who move
their keys to another bank during the span.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from stream.simulate.config import DAY_MS, SimulationConfig
from stream.simulate.identifiers import account_name, institutions, pix_key
from stream.simulate.vocabulary import CNPJ, CPF, EMAIL, EVP, PHONE

INSTITUTIONS = 24
SHOPS_PER_PERSON = 1 / 8
FRESH_PER_PERSON = 1 / 12
MOVERS = 0.04
"""Share of people who move their keys to a new account during the span. (An assumption; in Pix's first seven
weeks 4.39 million of 83.5 million keys were moved, by the Banco Central's count of November 2020.)"""
FAVOURITES = 12
"""Payees that a person comes back to; the first six are people, the others shops."""
FIFTH_BUSINESS_DAY, LAST_BUSINESS_DAY = 5, 30
PAYDAYS = (0.5, 0.15, 0.15, 0.2)
"""Share of people paid on the fifth business day (CLT art. 459 §1: the latest day for a month's salary), the
15th, the 20th and the last business day (many public servants). The shares are assumptions."""


@dataclass(frozen=True)
class Population:
    """Columns over all accounts (n,), or over people alone where it says so (p,)."""

    people: int
    shops: int
    second_from: int
    """The first of the second accounts."""
    ispb: NDArray[np.bytes_]
    """(n,) S8."""
    legal: NDArray[np.bool_]
    opened_ms: NDArray[np.int64]
    """(n,) midnights UTC."""
    key_types: NDArray[np.int8]
    """(n, 2): the key it is mostly paid by, and its other key."""
    popularity: NDArray[np.float64]
    """(n,) weight of being paid by someone who did not pay it before; 0 for fresh accounts."""
    ticket: NDArray[np.float64]
    """(n,) median payment received by a shop, reais."""
    habit: NDArray[np.float64]
    """(n,) median payment made, reais."""
    daily: NDArray[np.float64]
    """(p,) relative number of payments a day, heavy-tailed, mean 1."""
    novelty: NDArray[np.float64]
    """(p,) share of payments that go to somebody not among the favourites."""
    rhythm: NDArray[np.int8]
    """(p,) row of `rhythm.HOURS`."""
    payday: NDArray[np.int8]
    """(p,) day of the month, or one of the two below."""
    night_limit_raised: NDArray[np.bool_]
    """(n,) has asked for more than R$ 1,000 between 20 h and 6 h."""
    tells_balance: NDArray[np.bool_]
    """(n,) its institution sends balances."""
    favourites: NDArray[np.int32]
    """(p, FAVOURITES) accounts."""
    tells_dict: NDArray[np.bool_]
    """(n,) its institution sends DICT's statistics with the payments of its customers."""
    own_hours: NDArray[np.float64]
    """(p, 2) the person's two usual times of day, as places in [0, 1) of the profile's day."""
    movers: NDArray[np.int32]
    """(m,) people who move their keys …"""
    moved_ms: NDArray[np.int64]
    """(m,) … and when."""

    @property
    def size(self) -> int:
        return len(self.legal)

    @property
    def fresh(self) -> NDArray[np.int32]:
        """Accounts that have no life of their own."""
        return np.arange(self.people + self.shops, self.second_from, dtype=np.int32)

    @property
    def second(self) -> NDArray[np.int32]:
        """(m,) the new account of each mover."""
        return np.arange(self.second_from, self.size, dtype=np.int32)

    @cached_property
    def names(self) -> list[str]:
        return [account_name(index) for index in range(self.size)]

    @cached_property
    def _keys(self) -> dict[tuple[int, int], str]:
        return {}

    def key(self, account: int, key_type: int) -> str:
        """The account's Pix key of that type (made once, then remembered)."""
        known = self._keys.get((account, key_type))
        if known is None:
            known = self._keys[account, key_type] = pix_key(self.names[account], key_type)
        return known


def populate(config: SimulationConfig) -> Population:
    """The same configuration gives the same population, whatever else is drawn."""
    rng = np.random.default_rng([config.seed, 1])
    people, shops = config.accounts, max(12, round(config.accounts * SHOPS_PER_PERSON))
    second_from = people + shops + max(12, round(config.accounts * FRESH_PER_PERSON))
    movers = np.sort(rng.permutation(people)[: round(people * MOVERS)]).astype(np.int32)
    moved_ms = config.start_ms + (rng.random(len(movers)) * (config.end_ms - config.start_ms)).astype(
        np.int64
    )
    total = second_from + len(movers)
    legal = _legal(rng, people, shops, total)
    legal[second_from:] = legal[movers]
    opened_ms = _opened(rng, config, people + shops, total)
    opened_ms[second_from:] = (moved_ms // DAY_MS - rng.integers(0, 30, len(movers))) * DAY_MS
    popularity = _popularity(rng, people, shops, total)
    bank = _banks(rng, total)
    daily = np.clip(rng.lognormal(0.0, 0.75, people), 0.13, 8.0)
    names = np.array(institutions(rng, INSTITUTIONS), dtype="S8")
    return Population(
        people=people,
        shops=shops,
        second_from=second_from,
        ispb=names[bank],
        legal=legal,
        opened_ms=opened_ms,
        key_types=_key_types(rng, legal),
        popularity=popularity,
        ticket=np.clip(rng.lognormal(np.log(55), 0.9, total), 4, 3_000),
        habit=np.clip(rng.lognormal(np.log(70), 0.65, total) * np.where(legal, 4.0, 1.0), 8, 5_000),
        daily=daily / daily.mean(),
        novelty=rng.beta(2.0, 5.5, people),
        rhythm=rng.choice(4, people, p=(0.45, 0.3, 0.1, 0.15)).astype(np.int8),
        payday=rng.choice((FIFTH_BUSINESS_DAY, 15, 20, LAST_BUSINESS_DAY), people, p=PAYDAYS).astype(np.int8),
        night_limit_raised=rng.random(total) < 0.15,
        tells_balance=(rng.random(INSTITUTIONS) < 0.6)[bank],
        favourites=_favourites(rng, people, shops, popularity),
        tells_dict=(rng.random(INSTITUTIONS) < 0.85)[bank],
        own_hours=rng.random((people, 2)),
        movers=movers,
        moved_ms=moved_ms,
    )


def _legal(rng: np.random.Generator, people: int, shops: int, total: int) -> NDArray[np.bool_]:
    share = np.full(total, 0.06)
    share[:people] = 0.05  # small firms that pay as people do
    share[people : people + shops] = 0.8  # the rest: the self-employed who sell under their own CPF
    return rng.random(total) < share


def _popularity(rng: np.random.Generator, people: int, shops: int, total: int) -> NDArray[np.float64]:
    """Zipf over the shops (few are busy); lognormal over people (some sell on the side)."""
    popularity = np.zeros(total)
    popularity[:people] = rng.lognormal(0.0, 1.3, people)
    popularity[people : people + shops] = rng.permutation(1.0 / (np.arange(shops) + 4.0) ** 0.9)
    return popularity


def _banks(rng: np.random.Generator, total: int) -> NDArray[np.int64]:
    weights = 1.0 / (np.arange(INSTITUTIONS) + 1.5)
    return rng.choice(INSTITUTIONS, total, p=weights / weights.sum())


def _opened(rng: np.random.Generator, config: SimulationConfig, lived: int, total: int) -> NDArray[np.int64]:
    """Most accounts are years old; some of everybody's, and most fresh ones, are weeks old."""
    age_days = rng.exponential(1_100, total) + 20
    young = rng.random(total) < np.where(np.arange(total) < lived, 0.06, 0.8)
    age_days[young] = rng.uniform(1, 60, int(young.sum()))
    midnight = config.start_ms // DAY_MS * DAY_MS
    return midnight - age_days.astype(np.int64) * DAY_MS


def _key_types(rng: np.random.Generator, legal: NDArray[np.bool_]) -> NDArray[np.int8]:
    shape = (len(legal), 2)
    natural = rng.choice((CPF, PHONE, EMAIL, EVP), shape, p=(0.32, 0.34, 0.14, 0.2))
    firm = rng.choice((CNPJ, EMAIL, PHONE, EVP), shape, p=(0.4, 0.1, 0.12, 0.38))
    return np.where(legal[:, None], firm, natural).astype(np.int8)


def _favourites(
    rng: np.random.Generator, people: int, shops: int, popularity: NDArray[np.float64]
) -> NDArray[np.int32]:
    half = FAVOURITES // 2
    friends = rng.integers(0, people, (people, half))
    own = friends == np.arange(people)[:, None]
    friends[own] = (friends[own] + 1) % people
    weights = popularity[people : people + shops] ** 0.8
    regulars = people + rng.choice(shops, (people, half), p=weights / weights.sum())
    return np.concatenate([friends, regulars], axis=1).astype(np.int32)
