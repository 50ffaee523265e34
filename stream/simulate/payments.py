"""Payments as columns, while they are being made: not yet ordered, no ids yet."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from stream.simulate.config import HOUR_MS, LOCAL_OFFSET_MS, SimulationConfig

HONEST = -1
"""Typology code of a payment that is no fraud."""


@dataclass(frozen=True)
class Payments:
    """Equally long columns, one row a payment. Codes are those of `vocabulary`; -1 is unknown."""

    at_ms: NDArray[np.int64]
    payer: NDArray[np.int32]
    payee: NDArray[np.int32]
    centavos: NDArray[np.int64]
    initiation: NDArray[np.int8]
    key_type: NDArray[np.int8]
    key_owner: NDArray[np.int32]
    """The account that the key was first of: the payee, unless the key moved (`keys`)."""
    device: NDArray[np.int64]
    registered: NDArray[np.bool_]
    balance: NDArray[np.int64]
    """Centavos in the payer's account before this payment, also where it is not told."""
    typology: NDArray[np.int8]
    incident: NDArray[np.int32]
    """Which scenario of its typology the payment belongs to; -1 when honest."""

    def __len__(self) -> int:
        return len(self.at_ms)

    def take(self, rows: NDArray[np.int64] | NDArray[np.bool_] | slice) -> "Payments":
        """The same columns at these rows."""
        return Payments(**{field.name: getattr(self, field.name)[rows] for field in fields(self)})


class Orders(NamedTuple):
    """Who means to pay whom, when and how much: equally long columns, before device and limits are known."""

    payer: NDArray[np.int32]
    payee: NDArray[np.int32]
    at_ms: NDArray[np.int64]
    reais: NDArray[np.float64]

    def joined(self, other: "Orders") -> "Orders":
        """These, then the others."""
        return Orders(*(np.concatenate([mine, more]) for mine, more in zip(self, other, strict=True)))

    def possible(self, config: SimulationConfig) -> "Orders":
        """Those inside the span whose payer and payee differ."""
        kept = (self.at_ms >= config.start_ms) & (self.at_ms < config.end_ms) & (self.payer != self.payee)
        return Orders(*(column[kept] for column in self))


def concatenate(parts: Sequence[Payments]) -> Payments:
    """One after the other."""
    return Payments(
        **{
            field.name: np.concatenate([getattr(part, field.name) for part in parts])
            for field in fields(Payments)
        }
    )


def local_hour(at_ms: NDArray[np.int64]) -> NDArray[np.int64]:
    """Hour of the day in America/Sao_Paulo, 0–23."""
    return (at_ms + LOCAL_OFFSET_MS) // HOUR_MS % 24


def is_night(at_ms: NDArray[np.int64]) -> NDArray[np.bool_]:
    """20 h to 6 h local time, when Pix's night limit holds."""
    hour = local_hour(at_ms)
    return (hour >= 20) | (hour < 6)


def to_centavos(reais: NDArray[np.float64]) -> NDArray[np.int64]:
    """At least R$ 0.01."""
    return np.maximum(np.rint(reais * 100).astype(np.int64), 1)


def within_limits(
    reais: NDArray[np.float64],
    at_ms: NDArray[np.int64],
    registered: NDArray[np.bool_],
    unlimited_at_night: NDArray[np.bool_],
) -> NDArray[np.float64]:
    """Cut to what Pix lets pass: R$ 1,000 at night, R$ 200 from an unregistered device."""
    night = np.where(is_night(at_ms) & ~unlimited_at_night, 1_000.0, np.inf)
    device = np.where(registered, np.inf, 200.0)
    return np.minimum(reais, np.minimum(night, device))
