"""`vigia bench state` on few entities: every key is weighed, every one expires, and the page says it."""

import json
import subprocess
import sys

import pytest

from features.redis_plan import KINDS
from features.redis_state import TTL_SECONDS
from stream.bench.entities import Census, Seen, distinct, traffic
from stream.bench.page import page
from stream.bench.state import BARS, GROUPS, ROWS, WITH_RING, StateFigures, measure

pytestmark = pytest.mark.redis

DAYS = 4.0


@pytest.fixture(scope="module")
def figures() -> StateFigures:
    return measure(1_000, DAYS, lambda *_: None)


def test_every_entity_is_weighed(figures: StateFigures) -> None:
    named = distinct(traffic(1_000, DAYS))
    assert figures.entities >= 1_000
    for kind in KINDS:  # a report may name one that no payment named
        assert named[kind] <= figures.of(kind).count <= named[kind] + figures.fill.reports
    assert figures.of("ring").count == named["payer"]
    for row in ROWS:
        sizes = figures.of(row)
        assert 0 < sizes.p50 <= sizes.p95 <= sizes.max
        assert sizes.mean <= sizes.max
    assert figures.of(WITH_RING).mean > figures.of("payer").mean + figures.of("ring").p50 / 2
    assert sum(figures.of("payer", group).count for group in GROUPS[1:]) < figures.of("payer").count
    weighed = sum(figures.of(row).mean * figures.of(row).count for row in ROWS if row != WITH_RING)
    assert figures.used_memory > 0.9 * weighed


def test_every_key_expires_in_time(figures: StateFigures) -> None:
    assert figures.expiry.without == 0
    assert 0 < figures.expiry.shortest <= figures.expiry.longest <= TTL_SECONDS
    assert figures.expiry.gone == figures.expiry.shortened > 0
    assert figures.expiry.holds


def test_a_missed_bar_is_a_failure(figures: StateFigures, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not [failure for failure in figures.failures() if failure.startswith("expiry")]
    monkeypatch.setitem(BARS, "pair", 1)
    assert any(failure.startswith("pair: ") for failure in figures.failures())


def test_the_page_has_a_row_for_every_kind_and_the_sizes(figures: StateFigures) -> None:
    text = page(figures)
    for row in ROWS:
        assert f"| {row} | all | {figures.of(row).count:,} |" in text
    assert "| 150 million |" in text
    assert "{" not in text


@pytest.mark.parametrize(("a_day", "busyness"), [(1, None), (3, "steady"), (9, "busy")])
def test_steady_is_about_three_payments_a_day_over_the_whole_span(a_day: int, busyness: str | None) -> None:
    census, day = Census(10.0), 86_400_000
    for name, days in ((b"whole", 10), (b"short", 5)):
        census.seen["payee"][name] = seen = Seen()
        for i in range(a_day * 10):
            seen.add(day + i * day * days // (a_day * 10))
    assert census.busyness("payee", b"whole") == busyness
    assert census.busyness("payee", b"short") is None
    assert census.busyness("payee", b"unknown") is None


def test_the_command_prints_one_json_object() -> None:
    command = [sys.executable, "-m", "stream.cli", "bench", "state"]
    words = ["--entities", "1000", "--days", "2", "--json"]
    answer = subprocess.run([*command, *words], capture_output=True, text=True, timeout=90, check=False)
    told = json.loads(answer.stdout)
    assert answer.returncode == (1 if told["failures"] else 0), answer.stderr
    assert told["entities"] >= 1_000
    assert set(told["bytes"]) == set(ROWS)
