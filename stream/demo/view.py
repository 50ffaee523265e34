"""The live view: a panel that is redrawn on a terminal, a line every few seconds elsewhere."""

import time
from collections.abc import Callable
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from stream.demo.tally import LAST_ALERTS, Tally, percentiles_ms

_LINE_EVERY_SECONDS = 5.0
_RATE_OVER = 8
"""Drawings that the shown rate looks back."""
_STYLES = {"APPROVE": "green", "REVIEW": "yellow", "DENY": "red"}


class View:
    """Shows a tally that another thread fills."""

    def __init__(
        self, tally: Tally, total: int, console: Console, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._tally, self._total, self._console, self._clock = tally, total, console, clock
        self._live = Live(console=console, auto_refresh=False) if console.is_terminal else None
        self._last_line = clock()
        self._history = [(self._last_line, 0)]

    def __enter__(self) -> "View":
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._live.stop()

    def show(self, sent: int) -> None:
        """Draw what is known now; `sent` messages of `total` were handed over."""
        now = self._clock()
        self._history = [*self._history[-_RATE_OVER:], (now, len(self._tally.decided))]
        if self._live:
            self._live.update(self.panel(sent), refresh=True)
        elif now - self._last_line >= _LINE_EVERY_SECONDS:
            self._last_line = now
            self._console.print(self.line(sent), highlight=False, soft_wrap=True)

    @property
    def rate(self) -> float:
        """Decisions a second, of late."""
        (then, before), (now, after) = self._history[0], self._history[-1]
        return (after - before) / (now - then) if now > then else 0.0

    def line(self, sent: int) -> str:
        """All that matters in one line."""
        tally = self._tally
        return (
            f"{sent:,} of {self._total:,} published, {len(tally.decided):,} decided ({self.rate:,.0f}/s), "
            f"latency {_latency(tally)}, {_counts(tally.outcomes)}, {len(tally.dead)} dead letters"
        )

    def panel(self, sent: int) -> Panel:
        """What a terminal shows."""
        tally = self._tally
        facts = Table.grid(padding=(0, 2))
        facts.add_row("progress", ProgressBar(total=self._total, completed=sent, width=50))
        facts.add_row("published", f"{sent:,} of {self._total:,}")
        facts.add_row("decided", f"{len(tally.decided):,}   {self.rate:,.0f}/s")
        facts.add_row("latency", _latency(tally))
        facts.add_row("outcomes", _outcomes(tally))
        facts.add_row("dead letters", _counts(tally.codes) or "none yet")
        return Panel(Group(facts, _alerts(tally)), title="Vigia", title_align="left")


def _latency(tally: Tally) -> str:
    found = percentiles_ms(list(tally.latencies))
    return "  ".join(f"{name} {value if value is not None else '–'} ms" for name, value in found.items())


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in sorted(counts.items()))


def _outcomes(tally: Tally) -> Text:
    shown = [Text(f"{name} {tally.outcomes[name]:,}", style) for name, style in _STYLES.items()]
    return Text("   ").join(shown)


def _alerts(tally: Tally) -> RenderableType:
    """The last alerts, newest first; always as many rows, so that the panel keeps its height."""
    table = Table(box=None, padding=(0, 1), expand=True)
    for name in ("outcome", "score", "R$", "payer → payee"):
        table.add_column(name, no_wrap=True, justify="right" if name in ("score", "R$") else "left")
    table.add_column("reasons", no_wrap=True, overflow="ellipsis", ratio=1)
    latest = list(reversed(list(tally.alerts)))
    for alert in latest:
        table.add_row(*_alert(alert))
    for _ in range(LAST_ALERTS - len(latest)):
        table.add_row("")
    return table


def _alert(alert: dict[str, Any]) -> tuple[Text, str, str, str, str]:
    outcome = alert["decision"]
    parties = f"{short(alert['payer_account'])} → {short(alert['payee_account'])}"
    reasons = "; ".join(reason["text"] for reason in alert["reasons"])
    return Text(outcome, _STYLES[outcome]), f"{alert['score']:.3f}", alert["amount"], parties, reasons


def short(account: str) -> str:
    """An account that cannot be told from many others: enough to see two differ."""
    return account if len(account) <= 5 else f"{account[:4]}…"
