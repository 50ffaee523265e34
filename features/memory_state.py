"""The plain oracle of the state: raw events kept, every value computed by brute force.

It follows DESIGN section 5 sentence by sentence and is slow on purpose; `redis_state` must equal it bit
for bit on every random sequence. Nothing is ever thrown away here: what a store may forget is masked by
the same rules (a tile behind its retention reads 0, an entity older than its retention was never seen).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from features.aggregates import COUNT_MAX, EXACT_MAX, UNKNOWN, Slot
from features.catalog import ENTITIES, SLOTS
from features.state import (
    COUNTERPARTY_CAP,
    COUNTERPARTY_KEEP,
    RING_SIZE,
    Answer,
    Behind,
    Entry,
    LogId,
    LogState,
    Span,
    Status,
)
from features.transaction import FraudReport, Transaction, content_hash, entity_key
from features.windows import REPORT_DELAY, RETENTION, WINDOWS, Level


@dataclass
class Payment:
    time: int
    amount: int
    counterparty: int


@dataclass
class Report:
    """Times in ms; 0 is never. The earliest OPEN and CONFIRMED, the latest final status."""

    open: int = 0
    confirmed: int = 0
    final: int = 0


@dataclass
class EntityHistory:
    """Every applied payment and report of one entity, and the values that DESIGN 5 defines on them."""

    payments: list[Payment] = field(default_factory=list)
    reports: dict[str, Report] = field(default_factory=dict)
    newest_report: int = 0
    ring: list[tuple[str, bytes]] = field(default_factory=list)

    @property
    def newest(self) -> int:
        return max((p.time for p in self.payments), default=0)

    def never_seen(self, time: int) -> bool:
        return not self.payments or time - self.newest > RETENTION

    def first(self) -> int:
        """The least applied time of the entity's present life: a gap longer than the retention ends one."""
        times = sorted((p.time for p in self.payments), reverse=True)
        first = times[0]
        for time in times:
            if first - time > RETENTION:
                break
            first = time
        return first

    def in_window(self, level: Level, low: int, high: int) -> list[Payment]:
        return [
            p
            for p in self.payments
            if low < level.tile(p.time) <= high and level.keeps(level.tile(p.time), self.newest)
        ]

    def distinct(self, time: int, length: int) -> int:
        latest: dict[int, int] = {}
        for p in self.payments:
            latest[p.counterparty] = max(p.time, latest.get(p.counterparty, 0))
        kept = sorted(
            ((t, c) for c, t in latest.items() if t > self.newest - COUNTERPARTY_KEEP), reverse=True
        )
        return sum(t > time - length for t, _ in kept[:COUNTERPARTY_CAP])

    def reported(self, status: str, time: int, length: int) -> int:
        kept_after = max(self.newest, self.newest_report) - RETENTION
        times = [getattr(r, status) for r in self.reports.values() if r.final <= kept_after or not r.final]
        return sum(t > max(kept_after, time - length) and 0 < t <= time for t in times)

    def read(self, slot: Slot, time: int) -> float:
        if slot.stat in ("last", "first"):
            if self.never_seen(time):
                return UNKNOWN
            return float(self.newest if slot.stat == "last" else self.first())
        window = WINDOWS[slot.window]
        if slot.stat == "distinct":
            return float(self.distinct(time, window.length))
        if slot.stat in ("open", "confirmed"):
            return float(self.reported(slot.stat, time, window.length))
        low, high = window.bounds(time, REPORT_DELAY if slot.delayed else 0)
        payments = self.in_window(window.level, low, high)
        return _STATS[slot.stat](payments)

    def apply(self, time: int, amount: int, counterparty: int) -> None:
        """An event that is older than everything the entity still keeps reaches nothing."""
        if not self.payments or time >= self.newest - RETENTION:
            self.payments.append(Payment(time, amount, counterparty))

    def remember(self, event_id: str, content: bytes, time: int) -> None:
        if self.payments and time - self.newest > RETENTION:
            self.ring.clear()
        self.ring = [*self.ring, (event_id, content)][-RING_SIZE:]

    def label(self, event: FraudReport) -> None:
        """The first OPEN and CONFIRMED and the last final time count; what fell behind is forgotten."""
        at = event.reported_at
        self.newest_report = max(self.newest_report, at)
        kept_after = max(self.newest, self.newest_report) - RETENTION
        if at <= kept_after:
            return
        old = self.reports.get(event.transaction_event_id, Report())
        report = Report(*(t if t > kept_after else 0 for t in (old.open, old.confirmed, old.final)))
        if event.status == "OPEN":
            report.open = min(report.open or at, at)
        elif event.status == "CONFIRMED":
            report.confirmed = min(report.confirmed or at, at)
        else:
            report.final = max(report.final, at)
        self.reports[event.transaction_event_id] = report


def whole_reais(amount: int) -> int:
    """Rounded half up, so that squares agree with the mean on average."""
    return (amount + 50) // 100


_STATS = {
    "count": lambda payments: min(float(len(payments)), COUNT_MAX),
    "sum": lambda payments: min(float(sum(p.amount for p in payments)), EXACT_MAX),
    "squares": lambda payments: min(float(sum(whole_reais(p.amount) ** 2 for p in payments)), EXACT_MAX),
    "max": lambda payments: float(max((p.amount for p in payments), default=0)),
}


@dataclass
class MemoryLog:
    floor: int = 0
    next: int = 0
    stored: dict[int, tuple[Status, list[float], str]] = field(default_factory=dict)


class MemoryState:
    """The State contract over plain Python values."""

    def __init__(self) -> None:
        self.entities: dict[tuple[str, bytes], EntityHistory] = {}
        self.logs: dict[LogId, MemoryLog] = {}

    async def apply(self, spans: Sequence[Span], entries: Sequence[Entry], versions: str = "") -> Answer:
        self._refuse_if_behind(spans)
        logs = [self.logs.setdefault(span.log, MemoryLog()) for span in spans]
        for span, log in zip(spans, logs, strict=True):
            floor = span.floor if not span.healing else 0
            log.floor, log.next = max(log.floor, floor), max(log.next, floor)
            log.stored = {offset: s for offset, s in log.stored.items() if offset >= log.floor}
        statuses, rows, decided_by = [], [], {}
        for i, entry in enumerate(entries):
            status, row, by = self._entry(logs[entry.span], spans[entry.span], entry, versions)
            statuses.append(status)
            if isinstance(entry.event, Transaction):
                rows.append(row)
                if status == Status.STORED:
                    decided_by[i] = by
        for span, log in zip(spans, logs, strict=True):
            log.next = max(log.next, span.stop)
            if span.healing:
                log.floor = max(log.floor, span.stop)
        slots = np.array(rows, dtype=np.float64).reshape(len(rows), len(SLOTS))
        return Answer(np.array(statuses, dtype=np.uint8), slots, decided_by)

    async def log_states(self, logs: Sequence[LogId]) -> list[LogState | None]:
        found = [self.logs.get(log) for log in logs]
        return [LogState(log.floor, log.next) if log else None for log in found]

    async def close(self) -> None:
        return None

    def _refuse_if_behind(self, spans: Sequence[Span]) -> None:
        behind = {}
        for span in spans:
            log = self.logs.get(span.log, MemoryLog())
            if not span.healing and max(log.next, 0) < span.start:
                behind[span.log] = LogState(log.floor, log.next)
        if behind:
            raise Behind(behind)

    def _entry(
        self, log: MemoryLog, span: Span, entry: Entry, versions: str
    ) -> tuple[Status, list[float], str]:
        nothing = [0.0] * len(SLOTS)
        if entry.offset < log.floor:
            return Status.STALE, nothing, ""
        if entry.offset < log.next:
            if isinstance(entry.event, FraudReport):
                return Status.STORED, nothing, ""
            stored = log.stored.get(entry.offset, (Status.STALE, nothing, ""))
            return (Status.STORED if stored[0] == Status.APPLIED else stored[0]), *stored[1:]
        if isinstance(entry.event, FraudReport):
            self._label(entry.event)
            return Status.APPLIED, nothing, ""
        status, row = self._transaction(entry.event, entry.replay)
        if not span.healing:
            log.stored[entry.offset] = (status, row, versions)
        return status, row, ""

    def _transaction(self, t: Transaction, replay: bool) -> tuple[Status, list[float]]:
        payer, content = self._history("payer", t), content_hash(t)
        known = next((c for event_id, c in reversed(payer.ring) if event_id == t.event_id), None)
        if known is not None and known != content:
            return Status.REUSED, [0.0] * len(SLOTS)
        if known is not None and not replay:
            return Status.REPEAT, [0.0] * len(SLOTS)
        row = [self._read(slot, t) for slot in SLOTS]
        if known is not None:
            return Status.REPLAYED, row
        payer.remember(t.event_id, content, t.occurred_at)
        for entity in ENTITIES:
            if entity != "device" or t.device_id is not None:
                other = int.from_bytes(entity_key("payee" if entity == "payer" else "payer", t)[:6], "little")
                self._history(entity, t).apply(t.occurred_at, t.amount, other)
        return Status.APPLIED, row

    def _read(self, slot: Slot, t: Transaction) -> float:
        if slot.entity == "device" and t.device_id is None:
            return UNKNOWN
        return self._history(slot.entity, t).read(slot, t.occurred_at)

    def _label(self, report: FraudReport) -> None:
        self._history("payer", report).label(report)
        self._history("payee", report).label(report)

    def _history(self, entity: str, event: Transaction | FraudReport) -> EntityHistory:
        return self.entities.setdefault((entity, entity_key(entity, event)), EntityHistory())
