"""From a score to an outcome."""

import hashlib
from dataclasses import astuple, dataclass
from functools import cached_property

from models.costs import Thresholds

APPROVE, REVIEW, DENY = OUTCOMES = ("APPROVE", "REVIEW", "DENY")


@dataclass(frozen=True)
class Policy:
    """REVIEW and DENY by the model's thresholds on p and p × amount, chosen from stated costs."""

    thresholds: Thresholds

    @cached_property
    def version(self) -> str:
        bounds = " ".join(repr(bound) for bound in astuple(self.thresholds))
        return f"costs@{hashlib.sha256(bounds.encode()).hexdigest()[:8]}"

    def outcome(self, score: float, centavos: int) -> str:
        """The outcome of one payment, as `Thresholds.outcome` gives it for many."""
        bounds, loss = self.thresholds, score * (centavos / 100)
        if score >= bounds.deny and loss >= bounds.deny_loss:
            return DENY
        return REVIEW if score >= bounds.review and loss >= bounds.review_loss else APPROVE
