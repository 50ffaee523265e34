"""What the live view shows: counts, latency, the last alerts with their reasons, and no whole account."""

import io

import orjson
import pytest
from rich.console import Console

from stream.demo.tally import LAST_ALERTS, Tally
from stream.demo.view import View, short

ALERT = {
    "decision": "DENY",
    "model": "pix-fraud@0123456789ab",
    "score": 0.91,
    "amount": "1500.00",
    "payer_account": "a-0123456789",
    "payee_account": "b-9876543210",
    "reasons": [{"code": "NEW_PAYEE", "text": "Recebedor novo ou pouco usado por este pagador"}],
}


class Clock:
    """A clock that stands still until it is moved."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def tally() -> Tally:
    tally = Tally(clock=Clock())
    for i in range(20):
        tally.sending(f"e{i}")
        decision = orjson.dumps({**ALERT, "event_id": f"e{i}"})
        tally.decision(decision, ("transactions", 0, i))
        tally.alert(decision)
    tally.dead_letter(("transactions", 0, 20), "NOT_JSON")
    return tally


def view(tally: Tally, terminal: bool, clock: Clock) -> tuple[View, Console]:
    console = Console(file=io.StringIO(), force_terminal=terminal, width=140)
    return View(tally, 100, console, clock), console


def test_the_panel_shows_counts_alerts_and_reasons(tally: Tally) -> None:
    shown, console = view(tally, True, Clock())
    with console.capture() as capture:
        console.print(shown.panel(40))
    text = capture.get()
    for part in ("40 of 100", "20", "p50 0.0 ms", "NOT_JSON 1", "1500.00", "0.910", "Recebedor novo"):
        assert part in text
    assert ALERT["payer_account"] not in text
    assert text.count("Recebedor novo") == LAST_ALERTS


def test_the_panel_keeps_its_height(tally: Tally) -> None:
    shown, console = view(tally, True, Clock())
    empty, _ = view(Tally(), True, Clock())
    assert len(console.render_lines(shown.panel(40))) == len(console.render_lines(empty.panel(0)))


def test_without_a_terminal_a_line_comes_now_and_then(tally: Tally) -> None:
    clock = Clock()
    shown, console = view(tally, False, clock)
    for second in range(11):
        clock.now = float(second)
        shown.show(40)
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert len(lines) == 2
    assert lines[0].startswith("40 of 100 published, 20 decided")


def test_accounts_are_shortened() -> None:
    assert short("a-0123456789") == "a-01…"
    assert short("a-1") == "a-1"
