"""The Brazilian calendar of a payment: national holidays, the month's end, business days, the salary day.

Every function takes event times in ms since 1970 (UTC), shape (n,), from EARLIEST to below LATEST of
`features.transaction`, and gives float64 (n,) for the local day (UTC-3). Nothing is computed for a payment:
tables of one byte a day, made at import (about 20 ms, 0.2 MB), are read (11 µs for 500 payments).

The rules are here, and not from the library `holidays`: it costs the worker 15 MB and holds python-dateutil
below 3, for the ten lines of `_national`. Its dates for 2000-2099 are pinned in the test.
"""

from collections.abc import Iterable
from datetime import date, timedelta

import numpy as np
from numpy.typing import NDArray

from features.windows import DAY, LOCAL_OFFSET

Column = NDArray[np.float64]
_Days = NDArray[np.datetime64]
_Table = NDArray[np.uint8]

_FIRST, _END = np.datetime64("1999-12-01"), np.datetime64("2100-03-01")
"""The tables' days: the local ones of every time, and those that their salary days need."""
_YEARS = range(1999, 2101)

_FIXED = ((1, 1), (4, 21), (5, 1), (9, 7), (10, 12), (11, 2), (11, 15), (12, 25))
"""(month, day): Law 662/1949 as worded by Law 10.607/2002, and 12 October by Law 6.802/1980."""
_BLACK_AWARENESS_FROM = 2024
"""20 November, Dia Nacional de Zumbi e da Consciência Negra: Law 14.759/2023."""


def is_holiday(time: Column) -> Column:
    """1 on a national holiday, Good Friday included; no state's and no city's, and not Carnival."""
    return _read(_HOLIDAY, time)


def is_holiday_eve(time: Column) -> Column:
    """1 on the day before a national holiday."""
    return _read(_HOLIDAY_EVE, time)


def days_to_month_end(time: Column) -> Column:
    """Days that the local month still has after this one: 0 on its last day, at most 30."""
    return _read(_TO_MONTH_END, time)


def business_day_of_month(time: Column) -> Column:
    """1 on the month's first business day of the banks, 2 on the second, … at most 23; 0 on any other day.

    Not a business day (Resolution CMN 4.880/2020): Saturday, Sunday, a national holiday, Monday and Tuesday
    of Carnival, Corpus Christi. 0 and not NaN, which is kept for what is unknown.
    """
    return _read(_BUSINESS_DAY, time)


def days_since_salary(time: Column) -> Column:
    """Days since the last salary day, 0 on the day itself, at most 34.

    Salaries are due by the fifth working day of the month (CLT art. 459 §1). Saturdays count for it, Sundays
    and holidays don't (Instruction SRT 1/1989); where it falls on a day without banks, a salary that goes
    through one comes on the business day before.
    """
    return _read(_SINCE_SALARY, time)


def easter(year: int) -> date:
    """Easter Sunday, by the anonymous Gregorian computation (Meeus, Astronomical Algorithms, chapter 8)."""
    golden, (century, rest) = year % 19, divmod(year, 100)
    leap, over = divmod(century, 4)
    moon = (19 * golden + century - leap - (century - (century + 8) // 25 + 1) // 3 + 15) % 30
    week = (32 + 2 * over + 2 * (rest // 4) - moon - rest % 4) % 7
    shift = moon + week - 7 * ((golden + 11 * moon + 22 * week) // 451) + 114
    return date(year, shift // 31, shift % 31 + 1)


def _national(year: int) -> list[date]:
    good_friday = easter(year) - timedelta(days=2)  # Law 9.093/1995
    fixed = [date(year, month, day) for month, day in _FIXED]
    since = [date(year, 11, 20)] if year >= _BLACK_AWARENESS_FROM else []
    return [good_friday, *fixed, *since]


def _without_banks(year: int) -> list[date]:
    """Days on which no bank works though they are no holiday by law."""
    sunday = easter(year)
    return [sunday + timedelta(days=days) for days in (-48, -47, 60)]


def _salary_days() -> _Days:
    """One a month, from the first month of the tables to the last."""
    months = np.arange(_FIRST, _END, dtype="datetime64[M]").astype("datetime64[D]")
    fifth = np.busday_offset(months, 4, "forward", weekmask="1111110", holidays=NATIONAL)
    return np.busday_offset(fifth, 0, "backward", busdaycal=_BANKS)


def _tables() -> tuple[_Table, ...]:
    """In the order of the constants below."""
    days = np.arange(_FIRST, _END)
    month = days.astype("datetime64[M]")
    begins, ends = month.astype("datetime64[D]"), (month + 1).astype("datetime64[D]")
    nth = np.busday_count(begins, days, busdaycal=_BANKS) + 1
    salary = _salary_days()
    last = np.maximum(np.searchsorted(salary, days, side="right") - 1, 0)
    columns = (
        np.isin(days, NATIONAL),
        np.isin(days + 1, NATIONAL),
        (ends - days).astype(np.int64) - 1,
        np.where(np.is_busday(days, busdaycal=_BANKS), nth, 0),
        np.maximum((days - salary[last]).astype(np.int64), 0),
    )
    return tuple(column.astype(np.uint8) for column in columns)


def _read(table: _Table, time: Column) -> Column:
    day = np.floor_divide(time + LOCAL_OFFSET, DAY).astype(np.int64) - _OFFSET
    return table[day].astype(np.float64)


def _sorted(days: Iterable[date]) -> _Days:
    return np.array(sorted(set(days)), dtype="datetime64[D]")


NATIONAL = _sorted(day for year in _YEARS for day in _national(year))
"""National holidays, 1999 to 2100."""
WITHOUT_BANKS = _sorted(day for year in _YEARS for day in _without_banks(year))
"""Monday and Tuesday of Carnival and Corpus Christi, 1999 to 2100."""

_BANKS = np.busdaycalendar("1111100", np.concatenate([NATIONAL, WITHOUT_BANKS]))
_OFFSET = int(_FIRST.astype(np.int64))
_HOLIDAY, _HOLIDAY_EVE, _TO_MONTH_END, _BUSINESS_DAY, _SINCE_SALARY = _tables()
