"""The judge of `make chaos` finds what it is there to find."""

import pytest

from ..chaos.ledger import Ledger, hashed
from ..chaos.recovery import Arrival, largest_gap, recovery
from ..chaos.verdict import Verdict, judge
from ..chaos.watch import Committed

SENT_AT = 1000
"""ms; the payment at offset i is decided i ms later."""


@pytest.fixture
def ledger() -> Ledger:
    """Ten payments of one partition, all decided in order; the one at offset 9 repeats the one at 8."""
    ledger = Ledger(logged=set())
    for i in range(9):
        pay(ledger, i, f"e{i}")
        decide(ledger, i, f"e{i}")
    pay(ledger, 9, "e8")
    ledger.applied = {("transactions", 0, i) for i in range(9)}
    ledger.logged = set(ledger.applied)
    return ledger


def pay(ledger: Ledger, offset: int, event_id: str) -> None:
    ledger.payments.add(event_id.encode(), 0, offset)


def decide(
    ledger: Ledger, offset: int, event_id: str, payload: bytes = b"same", at: int | None = None
) -> None:
    ledger.decisions.add(event_id.encode(), 0, offset, hashed(payload))
    ledger.produced.append(SENT_AT + offset if at is None else at)


def refuse(ledger: Ledger, offset: int, code: str) -> None:
    ledger.letters.sources["transactions", 0, offset] = code
    ledger.letters.codes[code] += 1


def verdict(ledger: Ledger, **expected: int) -> Verdict:
    return judge(ledger, [], expected)


def test_all_is_well(ledger: Ledger) -> None:
    found = verdict(ledger)
    assert found.wrong() == {}
    assert (found.published, found.decided, found.repeated) == (9, 9, 0)


def test_a_lost_payment(ledger: Ledger) -> None:
    pay(ledger, 10, "lost")
    assert verdict(ledger).wrong() == {"lost": 1}


def test_a_dead_letter_is_a_loss_unless_the_fault_explains_it(ledger: Ledger) -> None:
    pay(ledger, 10, "poison")
    refuse(ledger, 10, "SCORING_ERROR")
    assert verdict(ledger, SCORING_ERROR=1).wrong() == {}
    assert verdict(ledger).wrong() == {"lost": 1, "unrefused": 1}
    assert verdict(ledger, SCORING_ERROR=2).wrong() == {"unrefused": 1}


def test_a_payment_that_is_decided_and_refused(ledger: Ledger) -> None:
    refuse(ledger, 3, "SCORING_ERROR")
    assert verdict(ledger, SCORING_ERROR=1).wrong() == {"contradicted": 1}


def test_the_same_bytes_again_are_no_conflict(ledger: Ledger) -> None:
    decide(ledger, 2, "e2")
    assert (verdict(ledger).wrong(), verdict(ledger).repeated) == ({}, 1)
    decide(ledger, 2, "e2", b"other")
    assert verdict(ledger).wrong() == {"conflicting": 1}


def test_a_decision_of_nothing(ledger: Ledger) -> None:
    decide(ledger, 9, "nobody's")
    assert verdict(ledger).wrong() == {"unpublished": 1}


def test_a_bad_record_without_its_dead_letter(ledger: Ledger) -> None:
    ledger.bad.add(("transactions", 0, 11))
    assert verdict(ledger).wrong() == {"unrefused": 1}
    refuse(ledger, 11, "NOT_JSON")
    assert verdict(ledger).wrong() == {}


def test_a_vector_and_an_alert_that_are_missing(ledger: Ledger) -> None:
    ledger.logged = set(ledger.applied) - {("transactions", 0, 4)}
    ledger.stopped.add(hashed(b"e1"))
    assert verdict(ledger).wrong() == {"unlogged": 1, "unalerted": 1}


def test_a_commit_before_its_decisions(ledger: Ledger) -> None:
    in_time, too_early = Committed(SENT_AT + 9, {0: 9}), Committed(SENT_AT - 8, {0: 6})
    assert judge(ledger, [in_time], {}).wrong() == {}
    # 0 to 5 were decided from 8 to 13 ms later; 5 ms are forgiven.
    assert judge(ledger, [in_time, too_early], {}).wrong() == {"early": 6}


def test_a_commit_of_what_is_never_decided(ledger: Ledger) -> None:
    pay(ledger, 10, "lost")
    commit = Committed(SENT_AT + 1_000_000, {0: 11})
    assert judge(ledger, [commit], {}).wrong() == {"lost": 1, "early": 1}


ARRIVALS = [Arrival(1.0, 10), Arrival(2.0, 20), Arrival(2.1, 21), Arrival(7.0, 22), Arrival(8.0, 40)]


def test_decisions_that_were_under_way_are_no_recovery() -> None:
    assert recovery(ARRIVALS, mark=22, ended=2.05) == pytest.approx(4.95)
    assert recovery(ARRIVALS, mark=30, ended=2.05) == pytest.approx(5.95)
    assert recovery(ARRIVALS, mark=41, ended=2.05) is None


def test_a_gap_counts_where_it_reaches_into_the_time_asked_for() -> None:
    assert largest_gap(ARRIVALS, since=2.05, until=9) == pytest.approx(4.9)
    assert largest_gap(ARRIVALS, since=5, until=6) == pytest.approx(4.9)
    assert largest_gap(ARRIVALS, since=0, until=2.05) == pytest.approx(1.0)
    assert largest_gap([], since=0, until=9) == 0.0
