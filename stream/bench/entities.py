"""Traffic that makes a wanted number of entities, and what each of them saw of it."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from features.redis_plan import KINDS
from features.transaction import Transaction, entity_key, names_part
from stream.simulate import Simulation, SimulationConfig, simulate

A_DAY = 3
"""Payments a day of each payer, on average (DESIGN section 8)."""

LEAST_ACCOUNTS = 100
_GUESS = 75
"""Entities for each paying account after 60 days, about: where the search for the size begins."""


def traffic(entities: int, days: float, seed: int = 7) -> Simulation:
    """The smallest traffic of `days`, `A_DAY` payments a day of each payer, that makes so many entities."""
    accounts, found = max(LEAST_ACCOUNTS, entities // _GUESS), 0
    while True:
        config = SimulationConfig(
            seed=seed, days=days, accounts=accounts, transactions_per_day=A_DAY * accounts
        )
        simulation = simulate(config).between(config.start_ms, config.end_ms)
        found = sum(distinct(simulation).values())
        if found >= entities:
            return simulation
        accounts = int(accounts * entities / found * 1.01) + 1


def distinct(simulation: Simulation) -> dict[str, int]:
    """How many entities of each kind the payments name."""
    p = simulation.payments
    pair = p.payer.astype(np.int64) << 32 | p.payee
    key = p.key_owner.astype(np.int64) << 8 | p.key_type
    named = {
        "payer": p.payer,
        "pair": pair,
        "payee": p.payee,
        "device": p.device[p.device >= 0],
        "payee_key": key[p.key_type >= 0],
    }
    return {kind: len(np.unique(ids)) for kind, ids in named.items()}


@dataclass
class Seen:
    """What one entity saw; times in milliseconds."""

    payments: int = 0
    first: int = 0
    last: int = 0

    def add(self, at: int) -> None:
        self.first = self.first or at
        self.payments, self.last = self.payments + 1, at


@dataclass
class Census:
    """What each entity saw, counted as the events pass by."""

    days: float
    seen: dict[str, dict[bytes, Seen]] = field(default_factory=lambda: {kind: {} for kind in KINDS})

    def of(self, events: Iterable[Any]) -> Iterator[Any]:
        """The same events, counted."""
        for event in events:
            if isinstance(event, Transaction):
                self._count(event)
            yield event

    def _count(self, payment: Transaction) -> None:
        for kind in KINDS:
            if kind == "pair" or names_part(kind, payment):
                self.seen[kind].setdefault(entity_key(kind, payment), Seen()).add(payment.occurred_at)

    def busyness(self, kind: str, id_: bytes) -> str | None:
        """`steady`: 2 to 4 payments a day, on average over all days; `busy`: more. None: fewer, or not over
        two thirds of the days."""
        seen = self.seen[kind].get(id_, Seen())
        if (seen.last - seen.first) * 3 < 2 * self.days * 86_400_000:
            return None
        a_day = seen.payments / self.days
        return None if a_day < A_DAY - 1 else "steady" if a_day <= A_DAY + 1 else "busy"
