"""What a day's payments need, by the figures of one machine: proportion, and what is assumed is here."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

RECORD_DAY = 313_300_000
"""Payments on Pix's record day, 2025-12-05 (DESIGN section 12)."""
DAYS = (1_000_000, 10_000_000, 100_000_000, RECORD_DAY, 10 * RECORD_DAY)

PEAK = 3.0
"""The busiest second over the day's mean: assumed, for the rails publish days, not seconds."""
BUSY = 0.6
"""The share of a core that is planned for; the rest is room for a rebalance, a heal, a slow neighbour."""
SPARE_PARTITIONS = 2
"""Partitions a worker, so that workers can be added later: partitions cannot, without moving payers."""
RETENTION_DAYS = 75


@dataclass(frozen=True)
class Unit:
    """What one payment costs, as measured."""

    worker_us: float
    redis_us: float
    broker_us: float
    state_bytes: float
    """Of Redis, for each payment a day that the history had."""
    log_bytes: float
    """On one broker's disk, for a payment and all that came of it."""
    worker_mb: float


@dataclass(frozen=True)
class Plan:
    """What `payments` a day need."""

    payments: int
    peak_rate: float
    """A second."""
    workers: int
    """A core each."""
    partitions: int
    redis_primaries: int
    """A core each."""
    broker_cores: int
    worker_gb: float
    state_gb: float
    """All primaries together, without headroom or replicas."""
    log_tb: float
    """`RETENTION_DAYS` of it, without replicas."""


def plan(unit: Unit, payments: int) -> Plan:
    """Cores by the peak, memory and disk by the day."""
    peak = payments / 86_400 * PEAK
    workers = _cores(peak, unit.worker_us)
    return Plan(
        payments=payments,
        peak_rate=peak,
        workers=workers,
        partitions=_power_of_two(SPARE_PARTITIONS * workers),
        redis_primaries=_cores(peak, unit.redis_us),
        broker_cores=_cores(peak, unit.broker_us),
        worker_gb=workers * unit.worker_mb / 1e3,
        state_gb=payments * unit.state_bytes / 1e9,
        log_tb=payments * unit.log_bytes * RETENTION_DAYS / 1e12,
    )


def _cores(rate: float, microseconds: float) -> int:
    return max(1, math.ceil(rate * microseconds / 1e6 / BUSY))


def _power_of_two(least: int) -> int:
    return 1 << max(2, (least - 1).bit_length())


def measured(figures: Mapping[str, Any]) -> Unit | None:
    """The unit of a run of the bench; None without its throughput part."""
    runs = figures.get("runs", {}).get("vigia")
    if not runs:
        return None
    cpu, last = figures["cpu_us_per_event"]["vigia"], runs[-1]
    # A drain's input is in the topic before it begins: the broker's share is seen under an open loop.
    loads = [
        one["cpu_us"]["broker"] for one in figures.get("latency_ms", {}).values() if one["events"] > 10_000
    ]
    return Unit(
        worker_us=cpu["worker"],
        redis_us=cpu["redis"],
        broker_us=max([cpu["broker"], *loads[-1:]]),
        state_bytes=last["state_mb"] * 2**20 / figures["history"]["payments_a_day"],
        log_bytes=last["log_bytes"],
        worker_mb=figures["memory_mb"]["worker"],
    )
