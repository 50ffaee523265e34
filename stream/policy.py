"""From a score to an outcome."""

import hashlib
from dataclasses import dataclass
from functools import cached_property

from models.costs import Thresholds

APPROVE, REVIEW, DENY = OUTCOMES = ("APPROVE", "REVIEW", "DENY")


@dataclass(frozen=True)
class Policy:
    """REVIEW and DENY from the model's thresholds, which were chosen from stated costs."""

    thresholds: Thresholds

    @cached_property
    def version(self) -> str:
        bounds = f"{self.thresholds.review!r} {self.thresholds.deny!r}"
        return f"costs@{hashlib.sha256(bounds.encode()).hexdigest()[:8]}"

    def outcome(self, score: float) -> str:
        if score >= self.thresholds.deny:
            return DENY
        return REVIEW if score >= self.thresholds.review else APPROVE
