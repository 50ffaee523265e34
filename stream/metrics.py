"""Every metric, declared once (Prometheus). Labels are few and bounded; none holds personal data."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache

import numpy as np
from prometheus_client import Counter, Gauge, Histogram

_LATENCY = (0.001, 0.002, 0.005, 0.01, 0.02, 0.04, 0.08, 0.15, 0.3, 0.6, 1, 2, 5, 10, 30, 60)
_IN_WORKER = (
    *(
        ms / 1000
        for ms in (0.5, 1, 1.5, 2, 2.5, 3, 3.5, *range(4, 16), 17, 20, 25, 30, 40, 60, 100, 200, 500)
    ),
    *(1, 5, 30),
)
_STAGE = (0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 5)

EVENTS = Counter("vigia_events", "Records taken from an input topic", ["topic"])
DECISIONS = Counter("vigia_decisions", "Decisions delivered, by outcome", ["decision"])
DEAD_LETTERS = Counter("vigia_dead_letters", "Inputs that could not be read, by code", ["code"])
REPEATS = Counter("vigia_repeats", "Transactions sent again by upstream: no second decision")
REDELIVERED = Counter(
    "vigia_redelivered", "Records that Kafka delivered again, by what the state said", ["status"]
)
HEALED = Counter("vigia_healed_events", "Records read again because the state had lost them", ["topic"])
LATE = Counter(
    "vigia_late_events",
    "Transactions decided that were older than every tile that the entity keeps",
    ["entity"],
)
LATE_DECISIONS = Counter(
    "vigia_late_decisions", "Decisions of transactions that waited longer than VIGIA_DECISION_DEADLINE"
)
WAITS = Counter("vigia_waits", "Times that a dependency was away and the worker waited", ["dependency"])

SHADOW = Counter(
    "vigia_shadow_records",
    "Records of the feature log that the challenger's process took, by what became of them",
    ["outcome"],
)

LAG = Gauge("vigia_lag_records", "Records behind the end of the log", ["topic", "partition"])
HEALING = Gauge(
    "vigia_healing_left_records", "Records that are still to be read again; 0: the state is whole"
)
MODEL_INFO = Gauge("vigia_model_info", "1 for the model that decides", ["model"])
MODEL_REFUSED = Counter(
    "vigia_model_refused", "Models that were to serve and are broken or do not fit: what served goes on"
)
REGISTRY_ANSWERS = Gauge(
    "vigia_model_registry_answers",
    "1 while the registry says which model is to serve; 0: the last one goes on",
)
READY = Gauge("vigia_ready", "1 while events can be decided")

BATCH = Histogram(
    "vigia_batch_size", "Records a batch", buckets=(1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000)
)
STAGE = Histogram(
    "vigia_stage_seconds", "Time of a batch by stage; two may be with the state", ["stage"], buckets=_STAGE
)
_of_stage = cache(STAGE.labels)
LATENCY = Histogram("vigia_latency_seconds", "From a record's Kafka timestamp to its decision delivered",
                    buckets=_LATENCY)  # fmt: skip
IN_WORKER = Histogram("vigia_in_worker_seconds", "From a record fetched to all that is told of it delivered",
                      buckets=_IN_WORKER)  # fmt: skip

DOOR_REQUESTS = Counter("vigia_door_requests", "Answers of the synchronous door, by status", ["status"])
DOOR_LATENCY = Histogram(
    "vigia_door_seconds", "From a request for a decision to its answer", buckets=_LATENCY
)
DOOR_WAITING = Gauge("vigia_door_waiting", "Orders sent whose outcome is not known yet")
DOOR_KNOWN = Gauge("vigia_door_known", "Outcomes of the last 15 minutes that repeats are answered from")
DOOR_FORGOTTEN = Counter("vigia_door_forgotten", "Outcomes dropped before 15 minutes for want of room")


@contextmanager
def stage(name: str) -> Iterator[None]:
    """Time one stage of a batch: decode, state, vectors, score, encode, log, send, deliver."""
    start = time.perf_counter()
    try:
        yield
    finally:
        _of_stage(name).observe(time.perf_counter() - start)


def observe_all(histogram: Histogram, values: Sequence[float]) -> None:
    """As `observe` of each value, at the cost of a few (tests/unit/test_metrics.py holds it to that).

    One at a time they were a twentieth of what the event loop did. The client has no way for many.
    """
    if not values:
        return
    histogram._sum.inc(sum(values))
    counts = np.bincount(np.searchsorted(histogram._upper_bounds, values)).tolist()
    for bucket, count in zip(histogram._buckets, counts, strict=False):
        if count:
            bucket.inc(count)
