"""The Brazilian calendar against published dates; times are local noon unless a test says otherwise."""

import hashlib
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest

from features import calendar
from features.transaction import EARLIEST, LATEST


def noon(day: str) -> float:
    return datetime.fromisoformat(f"{day}T12:00:00-03:00").timestamp() * 1000


def one(function, day: str) -> float:
    return function(np.array([noon(day)]))[0]


@pytest.mark.parametrize(
    ("day", "expected"),
    [
        ("2026-01-01", 1),
        ("2026-04-03", 1),  # Good Friday two days before Easter Sunday, 5 April
        ("2026-04-05", 0),  # Easter Sunday is no holiday by law
        ("2026-11-20", 1),  # Consciência Negra: Law 14.759/2023 …
        ("2024-11-20", 1),
        ("2023-11-20", 0),  # … of 21 December 2023
        ("2026-02-17", 0),  # Carnival is optional, not national
        ("2026-06-04", 0),  # Corpus Christi too
        ("2026-12-25", 1),
        ("2026-12-24", 0),
    ],
)
def test_national_holidays(day: str, expected: float) -> None:
    assert one(calendar.is_holiday, day) == expected
    before = (date.fromisoformat(day) - timedelta(days=1)).isoformat()
    assert one(calendar.is_holiday_eve, before) == expected


@pytest.mark.parametrize(
    ("year", "sunday"), [(2000, "04-23"), (2024, "03-31"), (2025, "04-20"), (2026, "04-05"), (2038, "04-25")]
)
def test_easter(year: int, sunday: str) -> None:
    """As the U.S. Census Bureau's table of Easter dates, 1600-2099."""
    assert calendar.easter(year) == date.fromisoformat(f"{year}-{sunday}")


@pytest.mark.parametrize(
    ("days", "count", "digest"),
    [(calendar.NATIONAL, 974, "35317ad6972c8e5b"), (calendar.WITHOUT_BANKS, 300, "26918818685794e0")],
)
def test_a_century_is_that_of_the_library(days, count: int, digest: str) -> None:
    """holidays 0.109: sorted(Brazil(years=range(2000, 2100))), and of its category "optional" Carnival and
    Corpus Christi; sha256 of the ISO dates, one a line."""
    text = [day for day in days.astype(str).tolist() if "2000" <= day < "2100"]
    assert len(text) == count
    assert hashlib.sha256("\n".join(text).encode()).hexdigest().startswith(digest)


@pytest.mark.parametrize(("day", "left"), [("2026-11-30", 0), ("2026-11-01", 29), ("2024-02-28", 1)])
def test_days_to_the_end_of_the_month(day: str, left: float) -> None:
    assert one(calendar.days_to_month_end, day) == left


@pytest.mark.parametrize(
    ("day", "nth"),
    [
        ("2026-02-02", 1),
        ("2026-02-01", 0),  # a Sunday
        ("2026-02-13", 10),
        ("2026-02-16", 0),  # Monday of Carnival
        ("2026-02-17", 0),
        ("2026-02-18", 11),  # Ash Wednesday: banks open at noon
        ("2026-06-04", 0),  # Corpus Christi
        ("2026-11-20", 0),
        ("2026-11-23", 14),  # Finados (Monday 2nd) and Friday 20th are out
        ("2023-11-20", 12),
    ],
)
def test_business_days_of_the_month(day: str, nth: float) -> None:
    """As ANBIMA's list of bank holidays."""
    assert one(calendar.business_day_of_month, day) == nth


@pytest.mark.parametrize(
    ("salary", "source"),
    [
        ("2025-09-05", "UOL, 2025-08-28"),
        ("2025-10-06", "GZH, October 2025: a Saturday counts"),
        ("2026-11-06", "Saturday 7th, as Finados is a Monday: through a bank on Friday"),
        ("2026-01-07", "the New Year's holiday is left out: 2, 3, 5, 6, 7"),
    ],
)
def test_salary_days(salary: str, source: str) -> None:
    assert one(calendar.days_since_salary, salary) == 0, source
    day = date.fromisoformat(salary)
    assert one(calendar.days_since_salary, (day + timedelta(days=9)).isoformat()) == 9
    assert one(calendar.days_since_salary, (day - timedelta(days=1)).isoformat()) >= 27


def test_a_day_begins_at_local_midnight() -> None:
    midnight = datetime(2026, 11, 20, 3, tzinfo=UTC).timestamp() * 1000
    times = np.array([midnight - 1, midnight, midnight + 86_400_000 - 1, midnight + 86_400_000])
    assert calendar.is_holiday(times).tolist() == [0, 1, 1, 0]
    assert calendar.is_holiday_eve(times).tolist() == [1, 0, 0, 0]


def test_every_time_that_an_event_may_have_is_answered_within_the_stated_bounds() -> None:
    times = np.append(np.arange(EARLIEST, LATEST, 86_400_000, dtype=np.float64), LATEST - 1.0)
    for function, least, most in (
        (calendar.is_holiday, 0, 1),
        (calendar.is_holiday_eve, 0, 1),
        (calendar.days_to_month_end, 0, 30),
        (calendar.business_day_of_month, 0, 23),
        (calendar.days_since_salary, 0, 34),
    ):
        values = function(times)
        assert values.dtype == np.float64
        assert (values.min(), values.max()) == (least, most), function.__name__
