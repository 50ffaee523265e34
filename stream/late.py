"""Transactions that came too late to count: they are decided, and told in a metric."""

import numpy as np
from numpy.typing import NDArray

from features.algebra import UNKNOWN, Slot
from features.catalog import ENTITIES, SLOTS
from features.state import KEPT_AS
from features.windows import LEVELS

_LEVEL = LEVELS[3]
_KEPT = tuple(e for e in ENTITIES if e not in KEPT_AS and Slot(e, "last") in SLOTS)
_LAST = np.array([SLOTS.index(Slot(entity, "last")) for entity in _KEPT], dtype=np.intp)


def late(slots: NDArray[np.float64], times: NDArray[np.int64]) -> dict[str, int]:
    """Entity → how many of these transactions are older than every tile that it keeps.

    `slots` as the state answered them, (n, SLOTS); `times` of the transactions, (n,) in ms.
    """
    newest = slots.take(_LAST, axis=1).astype(np.int64)
    gone = (times // _LEVEL.grain)[:, None] <= (newest - _LEVEL.keep) // _LEVEL.grain
    counts = ((newest != UNKNOWN) & gone).sum(axis=0)
    return dict(zip(_KEPT, counts.tolist(), strict=True))
