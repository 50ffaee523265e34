"""Traffic in which every entity is equally busy: each payment names a payer, a payee, a device and a key.

A payer pays with its own device, a payee is paid by its own key, and a payer's payments go round its
`partners` payees. So after `days` every payer, payee, device and key has had exactly `days` × `a_day`
payments, and every pair its share.
"""

from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from features.windows import DAY

START = round(datetime(2025, 3, 1, 3, tzinfo=UTC).timestamp() * 1000)
"""A local midnight long past: event time may lie behind Kafka's clock, never ahead of it."""

KINDS = 5
"""Entities of a payer, at least: payer, payee, device, key and pair."""


@dataclass(frozen=True)
class Crowd:
    """`size` payers, payees, devices and keys."""

    size: int
    days: int
    """Of history."""
    a_day: int = 3
    partners: int = 20
    seed: int = 7

    @property
    def name(self) -> str:
        return f"crowd-{self.size}x{self.days}d-{self.a_day}-{self.partners}"

    @property
    def history(self) -> int:
        """Payments before the cut."""
        return self.size * self.days * self.a_day

    @property
    def cut(self) -> int:
        """Event time at which the stream begins, ms."""
        return START + self.days * DAY

    @property
    def entities(self) -> int:
        """Of all kinds, after the history."""
        return self.size * (KINDS - 1 + min(self.partners, self.days * self.a_day))

    def payments(self, first: int, count: int) -> pa.Table:
        """Payments [first, first + count) in our columns; `history` is the first one of the stream."""
        number = np.arange(first, first + count, dtype=np.int64)
        turn, place = np.divmod(number, self.size)
        payer = _scattered(place, self.size)
        payee = (payer + 1 + turn % self.partners) % self.size
        span = DAY // self.a_day
        rng = np.random.default_rng([self.seed, first])
        return pa.table(
            {
                "event_id": _named(f"{self.name}-", number),
                "occurred_at": pa.array(
                    START + turn * span + place * span // self.size, pa.timestamp("ms", "UTC")
                ),
                "amount": np.round(rng.lognormal(3.7, 0.7, count), 2) + 0.01,
                "payer_account": _named("c-", payer),
                "payee_account": _named("t-", payee),
                "payee_key": _named("k-", payee),
                "payee_key_type": pa.repeat("EVP", count),
                "initiation": pa.repeat("DICT", count),
                "device_id": _named("d-", payer),
                "device_registered": pa.repeat(True, count),
            }
        )


def _scattered(place: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    """A permutation of the payers: neighbours in time are no neighbours in number."""
    step = next(s for s in range(int(size * 0.618) | 1, 2 * size + 2) if np.gcd(s, size) == 1)
    return place * step % size


def _named(prefix: str, numbers: NDArray[np.int64]) -> pa.Array:
    return pa.array(np.char.add(prefix, numbers.astype(np.str_)).tolist(), pa.string())
