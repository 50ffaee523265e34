"""When honest people pay: hour of the day, day of the week, payday, holidays. All in local time (São Paulo).

How strong each is, is an assumption; that each is there is what every bank's own figures show.
"""

from datetime import UTC, datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from stream.simulate.config import DAY_MS, HOUR_MS, LOCAL_OFFSET_MS, SimulationConfig
from stream.simulate.population import FIFTH_BUSINESS_DAY, LAST_BUSINESS_DAY, Population

# Relative weight of each hour, 0–23 h: office hours, evenings, night shift, early birds.
HOURS = np.array(
    [
        [1, 0.6, 0.4, 0.3, 0.3, 0.6, 2, 4, 6, 7, 8, 9, 11, 9, 7, 7, 7, 8, 9, 8, 6, 5, 3, 2],
        [3, 2, 1, 0.6, 0.4, 0.4, 0.8, 2, 3, 4, 5, 6, 7, 6, 5, 5, 6, 7, 9, 11, 12, 11, 9, 6],
        [8, 8, 7, 6, 5, 4, 3, 2, 1, 1, 1, 1, 2, 3, 4, 5, 5, 6, 6, 6, 7, 8, 9, 8],
        [0.2, 0.1, 0.1, 0.2, 0.6, 2, 5, 9, 11, 11, 10, 9, 7, 5, 5, 5, 4, 4, 3, 2, 1, 0.6, 0.4, 0.2],
    ]
)
# Monday to Sunday: Friday and Saturday are busiest.
WEEKDAYS = np.array([0.95, 0.95, 0.97, 1.0, 1.2, 1.12, 0.8])
PAYDAY_BOOST = np.array([1.9, 1.5, 1.25])
"""On payday and the two days after it."""
LEAN_FROM, LEAN = 20, 0.85
"""From so many days after payday less is spent."""
HOLIDAY = 0.65
"""Of an ordinary day's payments. Fraud keeps no holidays."""
HOLIDAYS = ((1, 1), (4, 21), (5, 1), (9, 7), (10, 12), (11, 2), (11, 15), (11, 20), (12, 25))
"""(month, day) of the national holidays of a fixed date. The moveable ones are left out: the traffic needs a
rhythm, not a calendar."""
HABITUAL = 0.5
"""Share of a person's payments that are near one of their own two times of day (sigma 45 minutes)."""


def local_midnights(config: SimulationConfig) -> list[datetime]:
    """The local days that the span touches, as UTC instants of their midnights."""
    first = (config.start_ms + LOCAL_OFFSET_MS) // DAY_MS * DAY_MS - LOCAL_OFFSET_MS
    count = -(-(config.end_ms - first) // DAY_MS)
    start = datetime.fromtimestamp(first / 1000, UTC)
    return [start + timedelta(days=day) for day in range(count)]


def local_days(config: SimulationConfig) -> NDArray[np.datetime64]:
    """The dates of `local_midnights`."""
    midnights = local_midnights(config)
    first = round(midnights[0].timestamp() * 1000) + LOCAL_OFFSET_MS
    return np.datetime64(first // DAY_MS, "D") + np.arange(len(midnights))


def activity(config: SimulationConfig, population: Population) -> NDArray[np.float64]:
    """Relative expected payments, (people, local days)."""
    days = local_days(config)
    weekday = WEEKDAYS[(days.astype(np.int64) + 3) % 7]  # 1970-01-01 was a Thursday
    quiet = np.where(np.isin(days, _holidays(days)), HOLIDAY, 1.0)
    since = since_payday(config, population)
    boost = np.where(since >= LEAN_FROM, LEAN, 1.0)
    for passed, factor in enumerate(PAYDAY_BOOST):
        boost[since == passed] = factor
    relative: NDArray[np.float64] = population.daily[:, None] * (weekday * quiet)[None, :] * boost
    return relative


def since_payday(config: SimulationConfig, population: Population) -> NDArray[np.int64]:
    """Days since the person was paid, (people, local days); 0 on payday."""
    days = local_days(config)
    kinds, place = np.unique(population.payday, return_inverse=True)
    rows = [(days - _last_payday(days, int(kind))).astype(np.int64) for kind in kinds]
    passed: NDArray[np.int64] = np.stack(rows)[place]
    return passed


def _last_payday(days: NDArray[np.datetime64], payday: int) -> NDArray[np.datetime64]:
    """The latest payday up to each day; never on a weekend or a holiday, but before it. A Saturday counts
    among the five business days (Instruction SRT 1/1989)."""
    months = np.unique(np.concatenate([days.astype("datetime64[M]"), days.astype("datetime64[M]") - 1]))
    first = months.astype("datetime64[D]")
    holidays = _holidays(np.concatenate([days, first]))
    if payday == FIFTH_BUSINESS_DAY:
        due = np.busday_offset(first, 4, "forward", weekmask="1111110", holidays=holidays)
        paid = np.busday_offset(due, 0, "backward", holidays=holidays)
    elif payday == LAST_BUSINESS_DAY:
        paid = np.busday_offset((months + 1).astype("datetime64[D]"), -1, "forward", holidays=holidays)
    else:
        paid = np.busday_offset(first + (payday - 1), 0, "backward", holidays=holidays)
    latest: NDArray[np.datetime64] = paid[np.searchsorted(paid, days, side="right") - 1]
    return latest


def _holidays(days: NDArray[np.datetime64]) -> NDArray[np.datetime64]:
    """Those of the years of these days."""
    years = np.unique(days.astype("datetime64[Y]"))
    return np.array([f"{year}-{month:02d}-{day:02d}" for year in years for month, day in HOLIDAYS], "M8[D]")


def times_of_day(
    rng: np.random.Generator, population: Population, payer: NDArray[np.int32]
) -> NDArray[np.int64]:
    """Milliseconds after local midnight, one for each payer: a usual time of their own, or any of the
    profile's hours."""
    weights = HOURS[population.rhythm[payer]]
    own = population.own_hours[payer, rng.integers(0, 2, len(payer))]
    usual = _at_places(weights, own) + (rng.normal(0.0, 0.75, len(payer)) * HOUR_MS).astype(np.int64)
    habitual = rng.random(len(payer)) < HABITUAL
    return np.where(habitual, usual % DAY_MS, hours_drawn(rng, weights))


def asleep(population: Population, payer: NDArray[np.int32]) -> NDArray[np.float64]:
    """(n, 24) weights of the hours at which this person hardly ever pays: far from their own times, and
    among the profile's quieter half."""
    hours = HOURS[population.rhythm[payer]]
    quiet = hours <= np.median(hours, axis=1, keepdims=True)
    clock = np.arange(24) + 0.5
    for turn in range(2):
        own = _at_places(hours, population.own_hours[payer, turn]) / HOUR_MS
        apart = np.abs(clock[None, :] - own[:, None])
        quiet &= np.minimum(apart, 24 - apart) > 3
    weights: NDArray[np.float64] = quiet + 1e-6
    return weights


def hours_drawn(rng: np.random.Generator, weights: NDArray[np.float64]) -> NDArray[np.int64]:
    """Milliseconds after midnight: an hour by its row of 24 weights, then anywhere in that hour."""
    return _at_places(weights, rng.random(len(weights))) // HOUR_MS * HOUR_MS + rng.integers(
        0, HOUR_MS, len(weights)
    )


def _at_places(weights: NDArray[np.float64], place: NDArray[np.float64]) -> NDArray[np.int64]:
    """Milliseconds after midnight of places in [0, 1) of a day that passes as fast as its weights say."""
    cumulative = np.cumsum(weights, axis=1)
    target = place * cumulative[:, -1]
    hour = np.minimum((cumulative < target[:, None]).sum(axis=1), 23)
    row = np.arange(len(weights))
    within = 1 - (cumulative[row, hour] - target) / weights[row, hour]
    at_ms: NDArray[np.int64] = hour * HOUR_MS + (np.clip(within, 0, 0.999999) * HOUR_MS).astype(np.int64)
    return at_ms
