"""What DICT tells of the key when it is looked up: payments settled, fraud markers, open infraction reports.

DICT sees every institution, this stream only some. So a key's numbers are what happens here (payments and
reports up to the last refresh) and what happens elsewhere: a steady volume before and during the span, and
other victims of the same mules. All shares here are assumptions: the Banco Central publishes none.
"""

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Final, NamedTuple

import numpy as np
import orjson
from numpy.typing import NDArray

from stream.simulate.config import DAY_MS, HOUR_MS, SimulationConfig
from stream.simulate.payments import HONEST, Payments
from stream.simulate.population import Population
from stream.simulate.reports import Reports
from stream.simulate.vocabulary import CONFIRMED, DICT, OPEN, QRDN, QRES, UNKNOWN, WITHDRAWN

STATISTICS: Final = ("settlements", "fraud_markers", "open_reports")
SPANS: Final = ("d90", "m12", "m60")
SPAN_DAYS = (90, 365, 1826)

LOOKED_UP = (DICT, QRDN, QRES)
"""Initiations in which the payer's institution asks DICT for the key."""
ELSEWHERE = 0.6
"""Median payments that a key receives through other institutions for each one of this stream …"""
ELSEWHERE_SPREAD = 1.6
"""… and its sigma: many honest keys are hardly ever paid, which makes few settlements a weak sign."""
LEAST_DAILY = 0.01
"""Payments a day that even an account without a life of its own receives."""
OTHER_VICTIMS = 0.4
"""Victims elsewhere for each payment that a mule account receives here."""
EARLIER_CAMPAIGN = 0.15
"""Share of the mule accounts that were used, and reported, before."""
EARLIER_HONEST = 0.01
"""Share of the other accounts with such a past: a dispute, a mistaken report, a reformed holder."""
EARLIER_DAYS = 200.0
"""Mean age of that past (exponential, at least two days)."""
UPHELD = 0.8
"""Share of the reports elsewhere that end in a marker."""

Column = NDArray[np.int64]


@dataclass(frozen=True)
class DictStatistics:
    """One row a payment; -1 where DICT was not asked or its answer is not told."""

    updated_ms: Column
    """(n,) when the statistics were last brought up to date."""
    settlements: Column
    """(n, 3) by SPANS, as the others."""
    fraud_markers: Column
    open_reports: Column

    def take(self, rows: NDArray[np.int64] | slice) -> "DictStatistics":
        """The same columns at these rows."""
        return DictStatistics(**{field.name: getattr(self, field.name)[rows] for field in fields(self)})

    def fragments(self, updated: list[str]) -> Iterator[orjson.Fragment | None]:
        """The message's `dict` of each row, with `updated` as the time's text; None where unknown."""
        for first in range(0, len(updated), _CHUNK):
            rows = slice(first, first + _CHUNK)
            counts = np.concatenate([getattr(self, name)[rows] for name in STATISTICS], axis=1).tolist()
            known = (self.updated_ms[rows] >= 0).tolist()
            for at, row, told in zip(updated[rows], counts, known, strict=True):
                yield orjson.Fragment(_TEMPLATE % (at, *row)) if told else None


_CHUNK = 8_192
_COUNTS = '{"d90":%d,"m12":%d,"m60":%d}'
_TEMPLATE = '{"updated_at":"%s",' + ",".join(f'"{name}":' + _COUNTS for name in STATISTICS) + "}"
"""Written by hand: nested objects would take longer than the rest of the message."""


def look_up(
    config: SimulationConfig, population: Population, payments: Payments, reports: Reports
) -> DictStatistics:
    """The statistics that came with each of these (ordered) payments."""
    rng = np.random.default_rng([config.seed, 5])
    # Refreshed once a day, at a time of its own for each account.
    phase = rng.integers(0, DAY_MS, population.size)[payments.payee]
    updated = (payments.at_ms - phase) // DAY_MS * DAY_MS + phase
    # In order of account and time, the searches below stay in the processor's cache.
    order = np.argsort(_placed(payments.payee, updated))
    asked = _Asked(payments.payee[order], updated[order])
    tables = (
        _settled(rng, config, population, payments, asked),
        *_reported(rng, config, population, payments, reports, asked),
    )
    looked_up = np.isin(payments.initiation, LOOKED_UP) & (payments.key_type >= 0)
    told = looked_up & population.tells_dict[payments.payer]
    columns = [np.full((len(payments), len(SPANS)), UNKNOWN) for _ in tables]
    for column, table in zip(columns, tables, strict=True):
        column[order] = np.where(told[order, None], np.maximum(table, 0), UNKNOWN)
    return DictStatistics(np.where(told, updated, UNKNOWN), *columns)


class _Asked(NamedTuple):
    """Whose statistics, as of when."""

    account: NDArray[np.int32]
    at_ms: Column


class _Log:
    """Things that happened to accounts, countable by span."""

    def __init__(self, account: NDArray[np.integer], at_ms: Column) -> None:
        self._sorted = np.sort(_placed(account, at_ms))

    def counts(self, asked: "_Asked") -> Column:
        """(n, 3): how many in each span that ends at the time asked for (inclusive)."""
        until = self._until(asked.account, asked.at_ms)
        return np.stack(
            [until - self._until(asked.account, asked.at_ms - days * DAY_MS) for days in SPAN_DAYS], axis=1
        )

    def _until(self, account: NDArray[np.int32], at_ms: Column) -> Column:
        return np.searchsorted(self._sorted, _placed(account, at_ms), side="right")


def _placed(account: NDArray[np.integer], at_ms: Column) -> Column:
    """Account and time as one number; a time is below 2^43 ms until the year 2248."""
    return account.astype(np.int64) << 43 | np.maximum(at_ms, 0)


def _settled(
    rng: np.random.Generator,
    config: SimulationConfig,
    population: Population,
    payments: Payments,
    asked: _Asked,
) -> Column:
    """What came through this stream, and a steady volume elsewhere for as long as the account exists."""
    honest = payments.payee[payments.typology == HONEST]
    daily = np.bincount(honest, minlength=population.size) / config.days
    daily = rng.lognormal(0.0, ELSEWHERE_SPREAD, population.size) * (LEAST_DAILY + ELSEWHERE * daily)
    age_days = np.maximum(asked.at_ms - population.opened_ms[asked.account], 0) / DAY_MS
    lived = np.minimum(age_days[:, None], np.array(SPAN_DAYS))
    here = _Log(payments.payee, payments.at_ms).counts(asked)
    elsewhere: Column = (daily[asked.account][:, None] * lived).astype(np.int64)
    return here + elsewhere


_Happened = tuple[NDArray[np.int32], Column]
"""(accounts, times)."""


def _reported(
    rng: np.random.Generator,
    config: SimulationConfig,
    population: Population,
    payments: Payments,
    reports: Reports,
    asked: _Asked,
) -> tuple[Column, Column]:
    """Fraud markers and open reports."""
    here, elsewhere = _reported_here(reports), _reported_elsewhere(rng, config, population, payments)
    opened, closed, confirmed, lifted = (
        _Log(np.concatenate([mine[0], others[0]]), np.concatenate([mine[1], others[1]])).counts(asked)
        for mine, others in zip(here, elsewhere, strict=True)
    )
    return confirmed - lifted, opened - closed


def _reported_here(reports: Reports) -> tuple[_Happened, _Happened, _Happened, _Happened]:
    """When reports of this stream were opened and closed, markers set and lifted."""
    _, first_close = np.unique(
        np.where(reports.status == OPEN, b"", reports.report_id), return_index=True
    )  # rows are by time: the first row of an id is the earliest
    closes = np.zeros(len(reports), dtype=np.bool_)
    closes[first_close] = True
    closes &= reports.status != OPEN
    masks = (
        reports.status == OPEN,
        closes,
        reports.status == CONFIRMED,
        (reports.status == WITHDRAWN) & ~closes,  # a withdrawal after the marker was set
    )
    opened, closed, confirmed, lifted = ((reports.payee[m], reports.reported_ms[m]) for m in masks)
    return opened, closed, confirmed, lifted


def _reported_elsewhere(
    rng: np.random.Generator, config: SimulationConfig, population: Population, payments: Payments
) -> tuple[_Happened, _Happened, _Happened, _Happened]:
    """The same of other institutions' victims: of this campaign, and of earlier ones."""
    fraud = np.flatnonzero(payments.typology != HONEST)
    others = np.repeat(fraud, rng.poisson(OTHER_VICTIMS, len(fraud)))
    paid = payments.at_ms[others] + (rng.normal(0.0, 0.5, len(others)) * DAY_MS).astype(np.int64)
    mules = np.unique(payments.payee[fraud])
    share = np.full(population.size, EARLIER_HONEST)
    share[mules] = EARLIER_CAMPAIGN
    used = np.flatnonzero(rng.random(population.size) < share)
    ago = ((2.0 + rng.exponential(EARLIER_DAYS, len(used))) * DAY_MS).astype(np.int64)
    first = np.full(population.size, config.end_ms)
    np.minimum.at(first, payments.payee[fraud], payments.at_ms[fraud])
    victims = 1 + rng.poisson(np.where(np.isin(used, mules), 2.0, 0.2))
    # Never before the account was opened: a young account's past is short.
    earlier = np.maximum(first[used] - ago, population.opened_ms[used])
    account = np.concatenate([payments.payee[others], np.repeat(used, victims)]).astype(np.int32)
    at_ms = np.concatenate([paid, np.repeat(earlier, victims)])
    opened = at_ms + (rng.lognormal(np.log(16.0), 1.0, len(at_ms)) * HOUR_MS).astype(np.int64)
    closed = opened + (rng.lognormal(np.log(30.0), 0.8, len(at_ms)) * HOUR_MS).astype(np.int64)
    upheld = rng.random(len(at_ms)) < UPHELD
    nothing = account[:0], at_ms[:0]
    return (account, opened), (account, closed), (account[upheld], closed[upheld]), nothing
