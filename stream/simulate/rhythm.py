"""When honest people pay: hour of the day, day of the week, payday. All in local time (São Paulo)."""

from datetime import UTC, datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from stream.simulate.config import DAY_MS, HOUR_MS, LOCAL_OFFSET_MS, SimulationConfig
from stream.simulate.population import Population

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
PAYDAY_BOOST = np.array([2.2, 1.7, 1.35])
"""On payday and the two days after it."""


def local_midnights(config: SimulationConfig) -> list[datetime]:
    """The local days that the span touches, as UTC instants of their midnights."""
    first = (config.start_ms + LOCAL_OFFSET_MS) // DAY_MS * DAY_MS - LOCAL_OFFSET_MS
    count = -(-(config.end_ms - first) // DAY_MS)
    start = datetime.fromtimestamp(first / 1000, UTC)
    return [start + timedelta(days=day) for day in range(count)]


def activity(config: SimulationConfig, population: Population) -> NDArray[np.float64]:
    """Relative expected payments, (people, local days)."""
    local = [midnight + timedelta(milliseconds=LOCAL_OFFSET_MS) for midnight in local_midnights(config)]
    weekday = np.array([WEEKDAYS[day.weekday()] for day in local])
    month_day = np.array([day.day for day in local])
    since_payday = (month_day[None, :] - population.payday[:, None]) % 31
    boost = np.ones(since_payday.shape)
    for days, factor in enumerate(PAYDAY_BOOST):
        boost[since_payday == days] = factor
    relative: NDArray[np.float64] = population.daily[:, None] * weekday[None, :] * boost
    return relative


def times_of_day(rng: np.random.Generator, profile: NDArray[np.int8]) -> NDArray[np.int64]:
    """Milliseconds after local midnight, one for each entry of `profile` (a row of HOURS)."""
    return hours_drawn(rng, HOURS[profile])


def hours_drawn(rng: np.random.Generator, weights: NDArray[np.float64]) -> NDArray[np.int64]:
    """Milliseconds after midnight: an hour by its row of 24 weights, then anywhere in that hour."""
    cumulative = np.cumsum(weights, axis=1)
    draw = rng.random(len(weights)) * cumulative[:, -1]
    hour = np.minimum((cumulative < draw[:, None]).sum(axis=1), 23)
    at_ms: NDArray[np.int64] = hour * HOUR_MS + rng.integers(0, HOUR_MS, len(weights))
    return at_ms
