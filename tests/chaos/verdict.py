"""Lost, conflicting, acknowledged too early: what the ledger says."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .ledger import Ledger, unsigned
from .watch import Committed

_NEVER = np.iinfo(np.int64).max
_SLACK_MS = 5
"""Two readings of one clock."""


@dataclass
class Verdict:
    """Counts; all but the first block must be 0."""

    published: int = 0
    """Different good payments."""
    decided: int = 0
    repeated: int = 0
    """Decisions that were sent again byte for byte."""
    letters: dict[str, int] = field(default_factory=dict)

    lost: int = 0
    """Payments with neither a decision nor a dead letter that the fault explains."""
    conflicting: int = 0
    """Payments with two different decisions."""
    contradicted: int = 0
    """Payments with a decision and a dead letter."""
    unpublished: int = 0
    """Decisions of payments that nobody sent."""
    early: int = 0
    """Offsets that were committed before they were decided."""
    unrefused: int = 0
    """Bad records without a dead letter, or dead letters that nothing explains."""
    unalerted: int = 0
    """Decisions that are not APPROVE and have no alert, or the reverse."""
    unlogged: int = 0
    """Applied records that are not in the feature log."""

    def wrong(self) -> dict[str, int]:
        found: dict[str, Any] = {name: getattr(self, name) for name in WRONG}
        return {name: count for name, count in found.items() if count}


WRONG = (
    "lost", "conflicting", "contradicted", "unpublished", "early", "unrefused", "unalerted", "unlogged"
)  # fmt: skip


def judge(ledger: Ledger, commits: Sequence[Committed], expected: Mapping[str, int]) -> Verdict:
    """`expected`: by code, the dead letters of good payments that the fault explains."""
    payments, decisions = unsigned(ledger.payments.id), unsigned(ledger.decisions.id)
    published, decided = np.unique(payments), np.unique(decisions)
    lettered = _lettered(ledger, expected)
    pairs = np.unique(np.stack([decisions, unsigned(ledger.decisions.value)], axis=1), axis=0)
    excess = len(pairs) - len(decided)
    verdict = Verdict(len(published), len(decided), len(decisions) - len(pairs), dict(ledger.letters.codes))
    verdict.lost = len(np.setdiff1d(published, np.union1d(decided, lettered)))
    verdict.conflicting = excess
    verdict.contradicted = len(np.intersect1d(decided, lettered))
    verdict.unpublished = len(np.setdiff1d(decided, published))
    verdict.early = early(ledger, commits, lettered)
    verdict.unrefused = _unrefused(ledger, expected)
    # A decision that is refused as too large leaves its alert behind.
    verdict.unalerted = len((ledger.stopped ^ ledger.alerts) - set(lettered.tolist()))
    verdict.unlogged = len(ledger.applied - ledger.logged) if ledger.logged is not None else 0
    return verdict


def _lettered(ledger: Ledger, expected: Mapping[str, int]) -> NDArray[np.uint64]:
    """Hashed ids of good payments whose dead letter the fault explains."""
    rows = ledger.payments
    found = [
        id_
        for id_, partition, offset in zip(rows.id, rows.partition, rows.offset, strict=True)
        if ledger.letters.sources.get(("transactions", partition, offset)) in expected
    ]
    return np.array(found, dtype=np.uint64)


def _unrefused(ledger: Ledger, expected: Mapping[str, int]) -> int:
    refused = {source for source, code in ledger.letters.sources.items() if code not in expected}
    wrong = sum(abs(ledger.letters.codes[code] - n) for code, n in expected.items())
    return len(refused ^ ledger.bad) + wrong


def early(ledger: Ledger, commits: Sequence[Committed], lettered: NDArray[np.uint64]) -> int:
    """How many offsets lay below a commit at a time when their decision had not been produced.

    Payments that upstream sent once: of a repeat any offset may be the decided one.
    """
    ids, counts = np.unique(unsigned(ledger.payments.id), return_counts=True)
    once = np.setdiff1d(ids[counts == 1], lettered)
    wrong = 0
    for partition in {p for commit in commits for p in commit.offsets}:
        at = _decided_at(ledger, partition, once)
        latest = np.maximum.accumulate(at) if len(at) else at
        for commit in commits:
            below = min(commit.offsets.get(partition, 0), len(at))
            if below and latest[below - 1] > commit.at + _SLACK_MS:
                wrong += int((at[:below] > commit.at + _SLACK_MS).sum())
    return wrong


def _decided_at(ledger: Ledger, partition: int, once: NDArray[np.uint64]) -> NDArray[np.int64]:
    """By offset of a partition: when its decision was first produced, 0 where none is due."""
    mine = unsigned(ledger.payments.partition) == partition
    offsets = unsigned(ledger.payments.offset)[mine].astype(np.int64)
    due = np.isin(unsigned(ledger.payments.id)[mine], once)
    at = np.zeros(int(offsets.max(initial=-1)) + 1, dtype=np.int64)
    at[offsets[due]] = _NEVER
    rows = unsigned(ledger.decisions.partition) == partition
    sources = unsigned(ledger.decisions.offset)[rows].astype(np.int64)
    np.minimum.at(at, sources, unsigned(ledger.produced)[rows].astype(np.int64))
    return at
