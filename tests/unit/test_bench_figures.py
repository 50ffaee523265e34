"""The bench's arithmetic: quantiles, schedule, latencies, capacity, bars, and the page made of them."""

import json
import math
from collections import Counter
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Histogram, generate_latest

from features.errors import BadInput
from stream.bench import capacity
from stream.bench.capacity import Unit, plan
from stream.bench.crowd import Crowd
from stream.bench.latency import latencies
from stream.bench.performance_page import render, write
from stream.bench.quantiles import between, bucket_quantiles, buckets_of, quantiles
from stream.bench.report import Report
from stream.bench.schedule import Schedule
from stream.bench.sorted_sets import ALL, _sums
from stream.bench.sources import Message
from stream.bench.stages import STAGES
from stream.bench.svg import bars, lines

UNIT = Unit(
    worker_us=100.0, redis_us=50.0, broker_us=80.0, state_bytes=10_000.0, log_bytes=2_000.0, worker_mb=200.0
)


def test_a_quantile_lies_in_its_bucket_as_far_as_its_rank() -> None:
    found = bucket_quantiles({0.01: 50.0, 0.02: 100.0, math.inf: 100.0})
    assert found == pytest.approx({"p50": 0.01, "p95": 0.019, "p99": 0.0198, "p999": 0.01998})


def test_what_lies_beyond_the_last_bound_is_infinite_and_nothing_is_none() -> None:
    found = bucket_quantiles({0.01: 98.0, math.inf: 100.0})
    assert found is not None
    assert found["p50"] < 0.01
    assert found["p99"] == math.inf
    assert bucket_quantiles({}) is None
    assert bucket_quantiles({0.01: 0.0, math.inf: 0.0}) is None


def test_buckets_are_read_from_what_metrics_answers_and_two_looks_are_compared() -> None:
    registry = CollectorRegistry()
    histogram = Histogram("vigia_some_seconds", "Some", buckets=(0.001, 0.01), registry=registry)
    histogram.observe(0.0005)
    before = buckets_of(generate_latest(registry).decode(), "vigia_some_seconds")
    for _ in range(3):
        histogram.observe(0.005)
    after = buckets_of(generate_latest(registry).decode(), "vigia_some_seconds")
    assert between(before, after) == {0.001: 0.0, 0.01: 3.0, math.inf: 3.0}
    assert buckets_of(generate_latest(registry).decode(), "vigia_other_seconds") == {}


@given(st.lists(st.floats(0.0, 0.1), min_size=1, max_size=200))
def test_buckets_tell_the_quantile_within_one_bucket(values: list[float]) -> None:
    bounds = [0.002 * i for i in range(1, 52)]
    counts = {bound: float(sum(v <= bound for v in values)) for bound in bounds}
    told = bucket_quantiles(counts)
    exact = quantiles(np.array(values))
    assert told is not None
    assert all(abs(told[name] - exact[name]) <= 0.002 + 1e-12 for name in told)


def test_quantiles_are_values_that_were_measured_and_a_missing_one_is_infinite() -> None:
    found = quantiles(np.array([1.0] * 98 + [2.0, math.inf]))
    assert (found["p50"], found["p99"], found["p999"], found["max"]) == (1.0, 2.0, math.inf, math.inf)


class Clock:
    """Time that passes only by sleeping, and by what sending takes."""

    def __init__(self) -> None:
        self.now = 0.0

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def test_nothing_is_sent_before_it_is_due_and_a_late_one_moves_no_other() -> None:
    clock, sent, idle = Clock(), [], Counter[str]()
    for number in Schedule(1.0, 10.0).paced(6, lambda: idle.update("x"), lambda: clock.now, clock.sleep):
        sent.append(round(clock.now, 6))
        if number == 1:
            clock.now += 0.25  # sending it took long
    assert sent == [1.0, 1.1, 1.35, 1.35, 1.4, 1.5]
    assert idle["x"] == 4


def test_latency_counts_from_when_a_payment_was_due() -> None:
    def payment(event_id: str) -> Message:
        return Message("transactions", b"c", json.dumps({"event_id": event_id}).encode())

    messages = [payment("a"), Message("fraud-reports", b"c", b"{}"), payment("b"), payment("lost")]
    found = latencies(messages, Schedule(100.0, 10.0), {"a": 100.5, "b": 100.3})
    assert found.tolist() == pytest.approx([0.5, 0.1, math.inf])


def test_capacity_is_proportion_by_peak_and_by_day() -> None:
    it = plan(UNIT, capacity.RECORD_DAY)
    peak = 313_300_000 / 86_400 * capacity.PEAK
    assert it.peak_rate == pytest.approx(peak)
    assert it.workers == math.ceil(peak * 100e-6 / capacity.BUSY) == 2
    assert it.redis_primaries == 1
    assert it.broker_cores == 2
    assert it.partitions == 4
    assert it.state_gb == pytest.approx(3_133)
    assert it.log_tb == pytest.approx(313.3e6 * 2_000 * 75 / 1e12)


@given(st.integers(1, 10**11))
def test_more_payments_never_need_less(payments: int) -> None:
    less, more = plan(UNIT, payments), plan(UNIT, 2 * payments)
    assert all(vars(more)[name] >= value for name, value in vars(less).items())
    assert less.partitions >= capacity.SPARE_PARTITIONS * less.workers
    assert less.partitions & (less.partitions - 1) == 0


def test_every_entity_of_a_crowd_is_equally_busy_and_time_never_goes_back() -> None:
    crowd = Crowd(30, 4, partners=6)
    table = crowd.payments(0, crowd.history)
    for column in ("payer_account", "payee_account", "payee_key", "device_id"):
        assert set(Counter(table[column].to_pylist()).values()) == {4 * crowd.a_day}, column
    pairs = set(zip(table["payer_account"].to_pylist(), table["payee_account"].to_pylist(), strict=True))
    assert crowd.entities == 4 * 30 + len(pairs)
    after = crowd.payments(crowd.history, 10)
    times = [*table["occurred_at"].to_pylist(), *after["occurred_at"].to_pylist()]
    assert times == sorted(times)
    assert round(times[crowd.history].timestamp() * 1000) == crowd.cut
    assert len({*table["event_id"].to_pylist(), *after["event_id"].to_pylist()}) == len(times)


def test_the_baselines_windows_are_counts_and_sums() -> None:
    at = 1_000_000_000_000
    sums = _sums([(b"a:100", at - 3_000_000.0), (b"b:250", at - 1_000.0)], at)
    by_name = {window.name: (sums[i], sums[len(ALL) + i]) for i, window in enumerate(ALL)}
    assert by_name["5m"] == (1, 2.5)
    assert by_name["1h"] == by_name["60d"] == (2, 3.5)
    assert set(_sums([], at)) == {0.0}


def figures() -> dict[str, Any]:
    """Of a run that met every bar but one."""
    run = {
        "rate": 8_000, "payments": 100, "alerts": 1, "state_mb": 50.0, "log_bytes": 2_000.0,
        "stages_us": dict.fromkeys(STAGES, 5.0),
        "threads_us": {"event loop": 70.0, "consumer": 15.0, "librdkafka": 5.5},
    }  # fmt: skip
    cpu = {"worker": 90.0, "redis": 60.0, "broker": 30.0}
    names = ("baseline", "baseline_in_one_read", "vigia", "vigia_prefilled", "floor")
    quantile = {"p50": 5.0, "p95": 9.0, "p99": 50.0, "p999": None, "max": 60.0}
    load = {
        "end_to_end": quantile, "in_worker": None, "events": 20_000, "missing": 0, "cpu_us": cpu,
        "generator": {"late_ms": {"p99": 0.1, "max": 2.0}},
    }  # fmt: skip
    return {
        "throughput": dict.fromkeys(names, 8_000), "ratio_baseline": 20.0, "ratio_floor": 0.8,
        "cpu_us_per_event": dict.fromkeys(names, cpu), "runs": {name: [run] for name in names},
        "latency_ms": {"100": load, "3626": load}, "memory_mb": {"worker": 200.0},
        "history": {"payments_a_day": 9_000}, "source": "some", "model": {"trees": 3, "features": 4},
        "machine": {"cores": 2},
        "conditions": {
            "throughput": {"measured_at": "now", "load_before": 0.0, "load_after": 1.0, "quick": False}
        },
    }  # fmt: skip


def test_the_report_says_which_bars_are_met() -> None:
    met = {bar.name: bar.met for bar in Report(figures()).bars()}
    assert met.pop("ms end to end at 3,626/s, p99") is False
    assert met.pop("ms in the worker at 3,626/s, p99") is None
    assert set(met.values()) == {True}
    assert {bar.met for bar in Report({}).bars()} == {None}


def test_the_page_is_made_of_what_was_measured(tmp_path: Path) -> None:
    page = tmp_path / "performance.md"
    write(Report(figures()), page)
    text = page.read_text()
    assert "| ms end to end at 3,626/s, p99 | ≤ 40 | 50.00 | MISSED |" in text
    assert "## Capacity" in text
    assert "| the event loop: these, Faust, chunks, the state's calls, acknowledgements | 70.0 |" in text
    assert "## How cost grows" not in text
    shown = {line.partition("(")[2].rstrip(")") for line in text.splitlines() if line.startswith("![")}
    assert shown == {str(p.relative_to(tmp_path)) for p in tmp_path.glob("performance/*.svg")}
    assert max(len(line) for line in text.splitlines() if not line.startswith("|")) < 300


def test_parts_measured_apart_are_one_page(tmp_path: Path) -> None:
    page = tmp_path / "performance.md"
    with pytest.raises(BadInput, match=r"vigia bench --write"):
        Report.kept(page)
    Report(figures()).keep(page)
    conditions = figures()["conditions"]
    later = {
        "conditions": {"latency": conditions["throughput"]},
        "latency_ms": {},
        "memory_mb": {"worker": 1.0},
    }
    whole = Report(later).over(page)
    assert whole.get("throughput", "vigia") == 8_000
    assert set(whole.get("conditions")) == {"throughput", "latency"}
    assert whole.get("memory_mb", "worker") == 1.0
    assert "## Latency" not in render(whole, "performance")


def test_plots_are_xml_and_escape_their_words() -> None:
    for plot in (
        bars("a < b", {"x & y": [1.0, 2.0], "z": [0.0, 0.5]}, ("one", "two")),
        lines("t", "x", {"s": [(1.0, 2.0), (100.0, 5.0)]}),
        lines("one point", "x", {"s": [(4.0, 0.0)]}),
    ):
        root = ElementTree.fromstring(plot)
        assert root.tag.endswith("svg")
        assert "nan" not in plot
