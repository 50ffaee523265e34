"""Fraud reports (MED infraction reports): who reports what, when, and how the analysis ends.

Each report is one or more messages with the same report id: OPEN first, then at most one outcome, and for a
few a withdrawal after it was confirmed (a marker can be cancelled). Some fraud is never reported, and some
honest payments are.
"""

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from stream.simulate.config import DAY_MS, HOUR_MS
from stream.simulate.identifiers import ALPHANUMERIC
from stream.simulate.payments import HONEST, Payments
from stream.simulate.typologies import TYPOLOGIES
from stream.simulate.vocabulary import CONFIRMED, OPEN, OTHER, REJECTED, SCAM, UNKNOWN_TYPE, WITHDRAWN

REPORTED = 0.95
"""Share of victims who ever report."""
OUTCOMES = {CONFIRMED: 0.94, REJECTED: 0.03, WITHDRAWN: 0.02, OPEN: 0.01}
"""How the analysis ends; OPEN: it never does."""
CONFIRMED_THEN_WITHDRAWN = 0.015
LONGEST_DELAY_HOURS = 10 * 24.0
ANALYSIS_HOURS = 30.0
"""Median from report to outcome (sigma 0.8), at most 7 days, the MED's own limit."""
FALSE_REPORTS = 0.08
"""Reports of honest payments, in proportion to the fraud payments (disputes, regret, own mistakes)."""


@dataclass(frozen=True)
class Reports:
    """One row a message, by time. The reported transaction's own fields are repeated, as in the contract."""

    reported_ms: NDArray[np.int64]
    report_id: NDArray[np.bytes_]
    status: NDArray[np.int8]
    type: NDArray[np.int8]
    transaction_event_id: NDArray[np.bytes_]
    payer: NDArray[np.int32]
    payee: NDArray[np.int32]
    device: NDArray[np.int64]
    key_type: NDArray[np.int8]
    key_owner: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.reported_ms)

    def take(self, rows: NDArray[np.int64] | slice) -> "Reports":
        """The same columns at these rows."""
        return Reports(**{field.name: getattr(self, field.name)[rows] for field in fields(self)})


def report(rng: np.random.Generator, payments: Payments, event_ids: NDArray[np.bytes_]) -> Reports:
    """Every report message about these (ordered) payments, also those after the span's end."""
    fraud = np.flatnonzero(payments.typology != HONEST)
    victim = _victims(payments, fraud)
    told = fraud[(rng.random(len(fraud)) < REPORTED)[victim]]
    honest = np.flatnonzero(payments.typology == HONEST)
    false = rng.choice(honest, min(len(honest), rng.poisson(len(fraud) * FALSE_REPORTS)), replace=False)
    row = np.concatenate([told, false])
    victim = np.concatenate([_victims(payments, told), len(told) + np.arange(len(false))])
    opened = payments.at_ms[row] + _delay(rng, payments.typology[row], victim)
    outcome = rng.choice(list(OUTCOMES), len(row), p=list(OUTCOMES.values()))[victim]
    status = np.concatenate([outcome[: len(told)], _dismissed(rng, false)])
    decided = opened + _analysis(rng, len(row))
    kind = _types(rng, payments.typology[row])
    withdrawn = np.flatnonzero((status == CONFIRMED) & (rng.random(len(row)) < CONFIRMED_THEN_WITHDRAWN))
    closed = np.flatnonzero(status != OPEN)
    every = np.arange(len(row))
    of = np.concatenate([every, closed, withdrawn])
    at_ms = np.concatenate([opened, decided[closed], decided[withdrawn] + _analysis(rng, len(withdrawn))])
    stage = np.concatenate([np.full(len(row), OPEN), status[closed], np.full(len(withdrawn), WITHDRAWN)])
    order = np.argsort(at_ms, kind="stable")
    source = row[of[order]]
    return Reports(
        reported_ms=at_ms[order],
        report_id=_ids(rng, len(row))[of[order]],
        status=stage[order].astype(np.int8),
        type=kind[of[order]],
        transaction_event_id=event_ids[source],
        payer=payments.payer[source],
        payee=payments.payee[source],
        device=payments.device[source],
        key_type=payments.key_type[source],
        key_owner=payments.key_owner[source],
    )


def _victims(payments: Payments, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """A number for each of these payments, the same within an incident: a victim reports all at once."""
    incident = payments.typology[rows].astype(np.int64) << 32 | payments.incident[rows]
    numbers: NDArray[np.int64] = np.unique(incident, return_inverse=True)[1]
    return numbers


def _delay(
    rng: np.random.Generator, typology: NDArray[np.int8], victim: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Milliseconds from payment to report; an honest payment is disputed after about two days."""
    medians = np.array([kind.report_delay_hours for kind in TYPOLOGIES] + [48.0])  # code -1 reads the last
    hours = np.clip(
        medians[typology] * rng.lognormal(0.0, 1.1, len(typology))[victim], 0.05, LONGEST_DELAY_HOURS
    )
    return (hours * HOUR_MS).astype(np.int64)


def _analysis(rng: np.random.Generator, count: int) -> NDArray[np.int64]:
    hours = rng.lognormal(np.log(ANALYSIS_HOURS), 0.8, count)
    return np.minimum((hours * HOUR_MS).astype(np.int64), 7 * DAY_MS)


def _dismissed(rng: np.random.Generator, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    return rng.choice((REJECTED, WITHDRAWN), len(rows), p=(0.75, 0.25))


def _types(rng: np.random.Generator, typology: NDArray[np.int8]) -> NDArray[np.int8]:
    """The typology's own type; sometimes the reporter did not know better."""
    kinds = np.array([kind.report_type for kind in TYPOLOGIES] + [SCAM])[typology]
    vague = rng.random(len(typology)) < 0.07
    return np.where(vague, rng.choice((OTHER, UNKNOWN_TYPE), len(typology)), kinds).astype(np.int8)


def _ids(rng: np.random.Generator, count: int) -> NDArray[np.bytes_]:
    letters = np.empty((count, 18), dtype=np.uint8)
    letters[:, :2] = np.frombuffer(b"r-", dtype=np.uint8)
    letters[:, 2:] = ALPHANUMERIC[rng.integers(0, 36, (count, 16))]
    return letters.view("S18").reshape(count)
