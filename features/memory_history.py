"""The plain oracle of one entity: raw events kept, every value computed by brute force.

It follows DESIGN section 5 sentence by sentence and is slow on purpose. No payment that counted is thrown
away here: what a store may forget is masked by the same rules (a tile behind its retention reads 0, an entity
older than its retention was never seen).
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from features.algebra import COUNT_MAX, EXACT_MAX, JUST_UNDER, UNKNOWN, Slot
from features.state import (
    BINS,
    COUNTERPARTY_CAP,
    COUNTERPARTY_KEEP,
    NEWCOMER_AFTER,
    RECENT_CAP,
    RECENT_KEEP,
    RING_SIZE,
)
from features.transaction import FraudReport
from features.windows import HOUR, LEVELS, MINUTE, REPORT_DELAY, RETENTION, WINDOWS, Level, at_night


class Ask(NamedTuple):
    """What is to be read, and of whom and what it is asked."""

    slot: Slot
    time: int
    amount: int
    other: int
    """The counterparty of the payment at hand."""


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
class Ring:
    """The payer's latest event ids with their contents; forgotten with the payer."""

    newest: int = 0
    ids: list[tuple[str, bytes]] = field(default_factory=list)

    def content(self, event_id: str) -> bytes | None:
        return next((c for known, c in reversed(self.ids) if known == event_id), None)

    def remember(self, event_id: str, content: bytes, time: int) -> None:
        if self.newest and time - self.newest > RETENTION:
            self.ids.clear()
        self.newest = max(self.newest, time)
        self.ids = [*self.ids, (event_id, content)][-RING_SIZE:]


@dataclass
class EntityHistory:
    """Every applied payment and report of one entity, and the values that DESIGN 5 defines on them."""

    payments: list[Payment] = field(default_factory=list)
    reports: dict[str, Report] = field(default_factory=dict)
    newest: int = 0
    newest_report: int = 0
    _in_tiles: dict[tuple[int, int, int], list[Payment]] = field(
        default_factory=dict, compare=False, repr=False
    )
    """What `tiles` found since the last payment: count, sum, squares and maximum ask for the same ones."""
    _counterparties: list[tuple[int, int]] | None = field(default=None, compare=False, repr=False)
    """Likewise: every window's distinct ones are counted in the same list."""

    def never_seen(self, time: int) -> bool:
        return not self.payments or time - self.newest > RETENTION

    def last(self, ask: Ask) -> float:
        return UNKNOWN if self.never_seen(ask.time) else float(self.newest)

    def first(self, ask: Ask) -> float:
        """The least applied time of the entity's present life: a gap longer than the retention ends one."""
        if self.never_seen(ask.time):
            return UNKNOWN
        times = sorted((p.time for p in self.payments), reverse=True)
        first = times[0]
        for time in times:
            if first - time > RETENTION:
                break
            first = time
        return float(first)

    def tiles(self, level: Level, low: int, high: int) -> list[Payment]:
        """Payments in the tiles of (low, high] that are still kept."""
        asked = level.number, low, high
        if asked not in self._in_tiles:
            first = max(low + 1, level.first_kept(self.newest)) * level.grain
            end = (high + 1) * level.grain
            self._in_tiles[asked] = [p for p in self.payments if first <= p.time < end]
        return self._in_tiles[asked]

    def windowed(self, ask: Ask) -> float:
        window = WINDOWS[ask.slot.window]
        payments = self.tiles(window.level, *window.bounds(ask.time, REPORT_DELAY if ask.slot.delayed else 0))
        return _TILED[ask.slot.stat](
            [p for p in payments if at_night(p.time)] if ask.slot.night else payments
        )

    def counterparties(self) -> list[tuple[int, int]]:
        """(last time, counterparty), the latest first; at most COUNTERPARTY_CAP."""
        if self._counterparties is None:
            latest: dict[int, int] = {}
            for p in self.payments:
                latest[p.counterparty] = max(p.time, latest.get(p.counterparty, 0))
            kept = ((time, c) for c, time in latest.items() if time > self.newest - COUNTERPARTY_KEEP)
            self._counterparties = sorted(kept, reverse=True)[:COUNTERPARTY_CAP]
        return self._counterparties

    def distinct(self, ask: Ask) -> float:
        after = ask.time - WINDOWS[ask.slot.window].length
        return float(sum(time > after for time, _ in self.counterparties()))

    def changed(self, ask: Ask) -> float:
        if self.never_seen(ask.time):
            return UNKNOWN
        return float(self.counterparties()[0][1] != ask.other)

    def newcomers(self, ask: Ask) -> float:
        """Bins of the last hour's 5-minute tiles that are in none of the tiles of the 3 days before.

        Before are the hours up to the one in which the last hour begins, and of that one the 5-minute
        tiles.
        """
        fine, coarse = LEVELS[1], LEVELS[2]
        low, high = WINDOWS["1h"].bounds(ask.time)
        seam = low * fine.grain // coarse.grain
        days = coarse.tile(ask.time - NEWCOMER_AFTER)
        recent = self.tiles(fine, low, high)
        before = self.tiles(fine, seam * (HOUR // (5 * MINUTE)) - 1, low) + self.tiles(coarse, days, seam - 1)
        return float(len({_bin(p) for p in recent} - {_bin(p) for p in before}))

    def recent(self, ask: Ask) -> list[int]:
        """Amounts of the payer's retained payments in (t − W, t]."""
        kept = sorted((p.time, p.amount) for p in self.payments if p.time > self.newest - RECENT_KEEP)
        after = ask.time - WINDOWS[ask.slot.window].length
        return [amount for at, amount in kept[-RECENT_CAP:] if after < at <= ask.time]

    def same(self, ask: Ask) -> float:
        return float(self.recent(ask).count(ask.amount))

    def under(self, ask: Ask) -> float:
        return float(sum(low <= amount <= high for amount in self.recent(ask) for low, high in JUST_UNDER))

    def reported(self, ask: Ask) -> float:
        after = ask.time - WINDOWS[ask.slot.window].length
        return float(sum(time > after for time in self.became(ask.slot.stat, ask.time)))

    def became(self, status: str, until: int) -> list[int]:
        """When the standing reports that are still kept became so, up to then."""
        kept_after = max(self.newest, self.newest_report) - RETENTION
        standing = (r for r in self.reports.values() if r.final <= kept_after or not r.final)
        times = (getattr(report, status) for report in standing)
        return [time for time in times if time > kept_after and 0 < time <= until]

    def run(self, ask: Ask) -> float:
        """From the day that lies one report delay back, days with payments are gone through as long as half
        of a day's or more have a standing CONFIRMED report, one delay after it. That first day's may still
        come: it ends no run."""
        if self.never_seen(ask.time):
            return 0.0
        level = LEVELS[3]
        judged = level.tile(ask.time - REPORT_DELAY)
        payments = Counter(level.tile(p.time) for p in self.tiles(level, 0, judged))
        reported = Counter(level.tile(at - REPORT_DELAY) for at in self.became("confirmed", ask.time))
        first = judged + 1
        for day in sorted(payments, reverse=True):
            if 2 * reported[day] >= payments[day]:
                first = day
            elif day < judged:
                break
        return float(judged + 1 - first)

    def apply(self, time: int, amount: int, counterparty: int) -> None:
        """An event that is older than everything the entity still keeps reaches nothing."""
        if not self.payments or time >= self.newest - RETENTION:
            self.payments.append(Payment(time, amount, counterparty))
            self.newest = max(self.newest, time)
            self._in_tiles.clear()
            self._counterparties = None

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


def _bin(payment: Payment) -> int:
    return payment.counterparty % BINS


def whole_reais(amount: int) -> int:
    """Rounded half up, so that squares agree with the mean on average."""
    return (amount + 50) // 100


_TILED: dict[str, Callable[[list[Payment]], float]] = {
    "count": lambda payments: min(float(len(payments)), COUNT_MAX),
    "sum": lambda payments: min(float(sum(p.amount for p in payments)), EXACT_MAX),
    "squares": lambda payments: min(float(sum(whole_reais(p.amount) ** 2 for p in payments)), EXACT_MAX),
    "max": lambda payments: float(max((p.amount for p in payments), default=0)),
}

READ: dict[str, Callable[[EntityHistory, Ask], float]] = {
    "last": EntityHistory.last,
    "first": EntityHistory.first,
    "distinct": EntityHistory.distinct,
    "changed": EntityHistory.changed,
    "newcomers": EntityHistory.newcomers,
    "same": EntityHistory.same,
    "under": EntityHistory.under,
    "open": EntityHistory.reported,
    "confirmed": EntityHistory.reported,
    "run": EntityHistory.run,
    **dict.fromkeys(_TILED, EntityHistory.windowed),
}
