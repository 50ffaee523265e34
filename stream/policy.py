"""From a score to an outcome."""

import hashlib
from collections.abc import Collection
from dataclasses import astuple, dataclass, field
from functools import cached_property
from typing import NamedTuple

from models.costs import Thresholds
from stream.reasons import REPLAYED

APPROVE, REVIEW, DENY = OUTCOMES = ("APPROVE", "REVIEW", "DENY")

_CONTROL, _PASSED = "+control@", ":passed"


class Ruling(NamedTuple):
    """What a policy makes of a score; `policy` is the version that the decision carries."""

    outcome: str
    policy: str
    propensity: float
    """The probability with which it was to pass: 1 below REVIEW, 0 in DENY, else the control rate."""


@dataclass(frozen=True)
class Control:
    """The control group: this share of REVIEW passes as APPROVE, to learn what becomes of it."""

    rate: float = 0.0
    key: str = field(default="", repr=False)
    """Secret: who knows it can tell which event ids pass."""


@dataclass(frozen=True)
class Policy:
    """REVIEW and DENY by the model's thresholds on p and p × amount, chosen from stated costs."""

    thresholds: Thresholds
    control: Control = Control()

    @cached_property
    def version(self) -> str:
        rate, key = self.control.rate, self.control.key
        rules = " ".join(repr(bound) for bound in astuple(self.thresholds)) + f" {key}" * bool(rate and key)
        version = f"costs@{hashlib.sha256(rules.encode()).hexdigest()[:8]}"
        return f"{version}{_CONTROL}{rate:g}" if rate else version

    def outcome(self, score: float, centavos: int) -> str:
        """By the thresholds alone, as `Thresholds.outcome` gives it for many."""
        bounds, loss = self.thresholds, score * (centavos / 100)
        if score >= bounds.deny and loss >= bounds.deny_loss:
            return DENY
        return REVIEW if score >= bounds.review and loss >= bounds.review_loss else APPROVE

    def rule(self, score: float, centavos: int, event_id: str, replayed: bool = False) -> Ruling:
        """The same for the same arguments, so that a redelivered event comes to the same bytes.

        A `replayed` one is never approved, by the control group neither. Nor is a DENY ever let through.
        """
        outcome = self.outcome(score, centavos)
        if replayed and outcome == APPROVE:
            outcome = REVIEW
        if outcome == REVIEW and not replayed and self.control.rate:
            return self._passed if self._drawn(event_id) else self._held
        return self._plain[outcome]

    def _drawn(self, event_id: str) -> bool:
        digest = hashlib.blake2b(f"{self.version} {event_id}".encode(), digest_size=8, key=self._secret)
        return int.from_bytes(digest.digest()) < self._rate * 2**64

    @cached_property
    def _secret(self) -> bytes:
        return hashlib.sha256(self.control.key.encode()).digest()

    @cached_property
    def _plain(self) -> dict[str, Ruling]:
        return {outcome: Ruling(outcome, self.version, float(outcome == APPROVE)) for outcome in OUTCOMES}

    @cached_property
    def _passed(self) -> Ruling:
        return Ruling(APPROVE, self.version + _PASSED, self._rate)

    @cached_property
    def _held(self) -> Ruling:
        return Ruling(REVIEW, self.version, self._rate)

    @cached_property
    def _rate(self) -> float:
        return float(f"{self.control.rate:g}")  # as the version tells it


def propensity(outcome: str, policy: str, reasons: Collection[str]) -> float:
    """`Ruling.propensity` of a decision that was made already, by its own words."""
    rate = policy.removesuffix(_PASSED).partition(_CONTROL)[2]
    if outcome == APPROVE and not policy.endswith(_PASSED):
        return 1.0
    drawn = rate and outcome != DENY and REPLAYED not in reasons
    return float(rate) if drawn else 0.0
