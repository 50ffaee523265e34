"""What is to be simulated: the one argument of `simulate`."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

DAY_MS = 86_400_000
HOUR_MS = 3_600_000
MINUTE_MS = 60_000
# America/Sao_Paulo has been UTC−3 without daylight saving since 2019.
LOCAL_OFFSET_MS = -3 * HOUR_MS

# A fixed default, not the clock: the same seed gives the same bytes. It is a local midnight.
DEFAULT_START = datetime(2026, 8, 1, 3, tzinfo=UTC)


@dataclass(frozen=True)
class SimulationConfig:
    """Seed, span and size. Equal configurations give equal bytes."""

    seed: int = 7
    start: datetime = DEFAULT_START
    days: float = 30.0
    """Event time spanned; reports trail behind it by their delays."""
    accounts: int = 6_000
    """Paying accounts; shops and newly opened accounts come on top."""
    transactions_per_day: float = 9_000.0
    """Mean volume over the span, fraud included."""
    fraud_rate: float = 0.005
    """Share of the transactions that is fraud. Pix itself: about 0.00007."""

    def __post_init__(self) -> None:
        if self.start.tzinfo is None:
            raise ValueError("start: needs an offset, e.g. 2026-08-01T03:00:00Z")
        if self.accounts < 100:
            raise ValueError("accounts: at least 100, or there is nobody to pay")
        if not (self.days > 0 and self.transactions_per_day > 0):
            raise ValueError("days and transactions_per_day: greater than 0")
        if not 0 <= self.fraud_rate < 0.5:
            raise ValueError("fraud_rate: a share from 0 to below 0.5")

    @property
    def start_ms(self) -> int:
        """Start of the span, milliseconds since the Unix epoch."""
        return round(self.start.timestamp() * 1000)

    @property
    def end_ms(self) -> int:
        """End of the span (exclusive), milliseconds since the Unix epoch."""
        return self.start_ms + round(self.days * DAY_MS)

    @property
    def end(self) -> datetime:
        """End of the span (exclusive)."""
        return self.start + timedelta(milliseconds=self.end_ms - self.start_ms)
