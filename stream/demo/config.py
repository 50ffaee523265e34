"""How large the demo is: the one argument of `run`."""

import math
from dataclasses import dataclass
from datetime import UTC, datetime

from models.params import Recipe
from stream.simulate import SimulationConfig

# A local midnight long past: event time may lie behind the clock, never ahead of it (DESIGN 4).
_START = datetime(2025, 3, 1, 3, tzinfo=UTC)

_SPARE_FRAUDS = 1.25
"""Some fraud is never reported or confirmed, and days differ."""


@dataclass(frozen=True)
class DemoConfig:
    """Equal configurations simulate the same payments; what is asked of the figures is here too."""

    seed: int = 7
    rate: float = 1_000.0
    """Live messages a second."""
    seconds: float = 20.0
    """Length of the live part: `rate` × `seconds` transactions, and the reports made among them."""
    fraud_rate: float = 0.005
    accounts: int = 6_000
    transactions_per_day: float = 9_000.0
    train_days: int = 8
    """The least; the days that the evaluation does not need come on top."""
    label_days: int = 3
    """Between training and evaluation: training knows the reports made until then, and no later ones."""
    min_frauds: int = 500
    """Labelled frauds in the evaluation."""
    least_gain: float = 1.3
    """Average precision of the model, in multiples of the simple tree's."""
    bad_share: float = 0.005
    repeat_share: float = 0.005
    partitions: int = 4
    recipe: Recipe | None = None
    """Of the model; None: as `vigia models train`."""

    @property
    def live_count(self) -> int:
        """Live transactions, repeats and malformed ones not counted."""
        return max(1, round(self.rate * self.seconds))

    @property
    def days(self) -> float:
        """Event time to simulate: training, waiting for labels, evaluation, and the live part."""
        frauds_a_day = self.transactions_per_day * self.fraud_rate
        evaluation = math.ceil(self.min_frauds * _SPARE_FRAUDS / frauds_a_day)
        live = self.live_count / self.transactions_per_day
        return self.train_days + self.label_days + evaluation + 1 + live

    @property
    def simulation(self) -> SimulationConfig:
        """What is simulated."""
        return SimulationConfig(
            seed=self.seed,
            start=_START,
            days=self.days,
            accounts=self.accounts,
            transactions_per_day=self.transactions_per_day,
            fraud_rate=self.fraud_rate,
        )
