"""What came out, kept as it is read: the first decision of each event, and whatever differs from it."""

import hashlib
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import orjson

LAST_ALERTS = 6

Source = tuple[str, int, int]
"""Input topic (without prefix), partition, offset."""


class Decided(NamedTuple):
    """The first decision seen of an event."""

    digest: bytes
    source: Source


@dataclass
class Tally:
    """Counts of distinct things; safe to read from another thread while one thread adds."""

    clock: Callable[[], float] = time.monotonic
    sent: dict[str, float] = field(default_factory=dict)
    """Event id → when it was handed to the producer, seconds of `clock`."""
    decided: dict[str, Decided] = field(default_factory=dict)
    outcomes: Counter[str] = field(default_factory=Counter)
    conflicting: set[str] = field(default_factory=set)
    """Events with two decisions whose bytes differ."""
    decided_again: set[str] = field(default_factory=set)
    """Events whose decisions came from more than one input record."""
    alerted: set[str] = field(default_factory=set)
    alerts: deque[dict[str, Any]] = field(default_factory=lambda: deque(maxlen=LAST_ALERTS))
    reasons: Counter[str] = field(default_factory=Counter)
    """Codes of the alerts' reasons."""
    models: set[str] = field(default_factory=set)
    """Ids of the models that decided."""
    dead: dict[Source, str] = field(default_factory=dict)
    """Input record → code of its dead letter."""
    latencies: list[float] = field(default_factory=list)
    """Seconds from handed over to decision seen, each event once."""
    last_decision: float = 0.0

    def sending(self, event_id: str) -> None:
        """An event is about to be handed to the producer; its repeats do not count anew."""
        self.sent.setdefault(event_id, self.clock())

    def decision(self, payload: bytes, source: Source) -> None:
        now = self.clock()
        content = orjson.loads(payload)
        event_id = content["event_id"]
        digest = hashlib.blake2b(payload, digest_size=16).digest()
        first = self.decided.get(event_id)
        if first is None:
            self.decided[event_id] = Decided(digest, source)
            self.outcomes[content["decision"]] += 1
            self.models.add(content["model"])
            self.last_decision = now
            if event_id in self.sent:
                self.latencies.append(now - self.sent[event_id])
            return
        if first.digest != digest:
            self.conflicting.add(event_id)
        if first.source != source:
            self.decided_again.add(event_id)

    def alert(self, payload: bytes) -> None:
        content = orjson.loads(payload)
        if content["event_id"] not in self.alerted:
            self.alerted.add(content["event_id"])
            self.alerts.append(content)
            self.reasons.update(reason["code"] for reason in content["reasons"])

    def dead_letter(self, source: Source, code: str) -> None:
        self.dead[source] = code

    @property
    def codes(self) -> Counter[str]:
        """Dead letters of the transactions topic, by code."""
        return Counter(code for source, code in list(self.dead.items()) if source[0] == "transactions")


def percentiles_ms(latencies: list[float]) -> dict[str, float | None]:
    """p50, p95 and p99 in milliseconds; None before there is anything."""
    names: Mapping[str, int] = {"p50": 50, "p95": 95, "p99": 99}
    if not latencies:
        return dict.fromkeys(names)
    found = np.percentile(np.array(latencies), list(names.values())) * 1000
    return {name: round(float(value), 1) for name, value in zip(names, found, strict=True)}
