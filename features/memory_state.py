"""The State contract over plain Python values: the oracle that `redis_state` must equal bit for bit on every
random sequence. What an entity answers is `memory_history`'s.
"""

from collections.abc import Container, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from features.algebra import UNKNOWN, Slot
from features.catalog import SLOTS
from features.memory_history import READ, Ask, EntityHistory, Ring
from features.state import (
    KEPT_AS,
    PARTS,
    VIEWS,
    Answer,
    Behind,
    Entry,
    LogId,
    LogState,
    Numbers,
    Span,
    Status,
)
from features.transaction import FraudReport, Transaction, content_hash, entity_key, names_part

_PART_OF = {view: part for part, views in VIEWS.items() for view in views}


@dataclass
class MemoryLog:
    floor: int = 0
    next: int = 0
    stored: dict[int, tuple[Status, list[float], Numbers, str]] = field(default_factory=dict)


class MemoryState:
    """The State contract over plain Python values, on one shard.

    `only`: the ids (`entity_key`) of entities to keep; others read as never seen. Repeats are told for all.
    """

    def __init__(self, only: Container[bytes] | None = None) -> None:
        self.entities: dict[tuple[str, bytes], EntityHistory] = {}
        self.rings: dict[bytes, Ring] = {}
        self.logs: dict[LogId, MemoryLog] = {}
        self.number = 0
        self._only, self._group = only, ""

    def prepare(self, event: Transaction | FraudReport) -> None:
        """Nothing: what it keeps is the event."""

    async def apply(self, spans: Sequence[Span], entries: Sequence[Entry], versions: str = "") -> Answer:
        if any(self._next(span) < span.start for span in spans):
            raise Behind
        logs = [self.logs.setdefault(span.log, MemoryLog()) for span in spans]
        for span, log in zip(spans, logs, strict=True):
            log.next = self._next(span)
            if not span.healing:
                log.floor = max(log.floor, span.floor)
            log.stored = {offset: s for offset, s in log.stored.items() if offset >= log.floor}
        statuses, rows, sequences, decided_by = [], [], [], {}
        for i, entry in enumerate(entries):
            status, row, numbers, by = self._entry(logs[entry.span], spans[entry.span], entry, versions)
            statuses.append(status)
            sequences.append(numbers)
            if isinstance(entry.event, Transaction):
                rows.append(row)
                if status == Status.STORED:
                    decided_by[i] = by
        for span, log in zip(spans, logs, strict=True):
            log.next = max(log.next, span.stop)
            if span.healing:
                log.floor = max(log.floor, span.stop)
        slots = np.array(rows, dtype=np.float64).reshape(len(rows), len(SLOTS))
        return Answer(np.array(statuses, dtype=np.uint8), slots, sequences, decided_by)

    async def read(self, transactions: Sequence[Transaction]) -> NDArray[np.float64]:
        rows = [self._row(transaction) for transaction in transactions]
        return np.array(rows, dtype=np.float64).reshape(len(rows), len(SLOTS))

    async def log_states(self, logs: Sequence[LogId]) -> list[LogState | None]:
        found = [self.logs.get(log) for log in logs]
        return [LogState(log.floor, log.next) if log else None for log in found]

    async def claim(self, group: str) -> str:
        self._group = self._group or group
        return self._group

    async def close(self) -> None:
        return None

    def _next(self, span: Span) -> int:
        """Where the log stands. A healing span's floor is the log's first offset, a normal one's is
        committed: neither misses what lies below, but only healing may begin there."""
        known = self.logs.get(span.log, MemoryLog()).next
        if span.healing or known >= span.start:
            return max(known, span.floor)
        return known

    def _entry(
        self, log: MemoryLog, span: Span, entry: Entry, versions: str
    ) -> tuple[Status, list[float], Numbers, str]:
        nothing = [0.0] * len(SLOTS)
        if entry.offset < log.floor:
            return Status.STALE, nothing, (), ""
        if entry.offset < log.next:
            status, row, numbers, by = log.stored.get(entry.offset, (Status.STALE, nothing, (), ""))
            return (Status.STORED if status == Status.APPLIED else status), row, numbers, by
        if isinstance(entry.event, FraudReport):
            self._label(entry.event)
            status, row = Status.APPLIED, nothing
        else:
            status, row = self._transaction(entry.event, entry.replay)
        numbers = self._numbered() if status == Status.APPLIED else ()
        if not span.healing:
            log.stored[entry.offset] = (status, row, numbers, versions)
        return status, row, numbers, ""

    def _numbered(self) -> Numbers:
        self.number += 1
        return ((0, self.number),)

    def _transaction(self, t: Transaction, replay: bool) -> tuple[Status, list[float]]:
        ring = self.rings.setdefault(entity_key("payer", t), Ring())
        content, known = content_hash(t), ring.content(t.event_id)
        if known is not None and known != content:
            return Status.REUSED, [0.0] * len(SLOTS)
        if known is not None and not replay:
            return Status.REPEAT, [0.0] * len(SLOTS)
        row = self._row(t)
        if known is not None:
            return Status.REPLAYED, row
        ring.remember(t.event_id, content, t.occurred_at)
        for entity in (*PARTS, "pair"):
            if history := self._history(entity, t):
                history.apply(t.occurred_at, t.amount, _counterparty(entity, t))
        return Status.APPLIED, row

    def _row(self, t: Transaction) -> list[float]:
        return self._values(t, SLOTS)

    def _values(self, t: Transaction, slots: Sequence[Slot]) -> list[float]:
        views = {entity: self._view(entity, t) for entity in {slot.entity for slot in slots}}
        return [_answer(slot, t, views[slot.entity]) for slot in slots]

    def _view(self, entity: str, t: Transaction) -> "View | None":
        """None of what the event does not name."""
        if not names_part(_PART_OF[entity], t):
            return None
        return View(self._history(entity, t) or EntityHistory(), _counterparty(entity, t))

    def _label(self, report: FraudReport) -> None:
        for entity in PARTS:
            if history := self._history(entity, report):
                history.label(report)

    def _history(self, entity: str, event: Transaction | FraudReport) -> EntityHistory | None:
        """None for what the event does not name, or `only` leaves out."""
        if not names_part(_PART_OF[entity], event):
            return None
        account = {"inflow": "payer", "outflow": "payee"}.get(entity, entity)
        key = entity_key(account, event)
        if self._only is not None and key not in self._only:
            return None
        return self.entities.setdefault((KEPT_AS.get(entity, entity), key), EntityHistory())


class View(NamedTuple):
    """What an event reads of an entity: its history, and who the event's other account is."""

    history: EntityHistory
    other: int


def _answer(slot: Slot, t: Transaction, view: View | None) -> float:
    if view is None:
        return UNKNOWN
    return READ[slot.stat](view.history, Ask(slot, t.occurred_at, t.amount, view.other))


def _counterparty(entity: str, t: Transaction) -> int:
    """Six bytes of the other account: the payee of a payer and of a key, the payer of all else."""
    other = "payee" if entity in ("payer", "payee_key") else "payer"
    return int.from_bytes(entity_key(other, t)[:6], "little")
