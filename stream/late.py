"""Transactions that came too late to count: they are decided, and told in a metric."""

import numpy as np
from numpy.typing import NDArray

from features.aggregates import UNKNOWN, Slot
from features.catalog import ENTITIES, SLOTS
from features.state import KEPT_AS
from features.windows import LEVELS

_LEVEL = LEVELS[3]
_LAST = {
    entity: SLOTS.index(Slot(entity, "last"))
    for entity in ENTITIES
    if entity not in KEPT_AS and Slot(entity, "last") in SLOTS
}


def late(slots: NDArray[np.float64], times: NDArray[np.int64]) -> dict[str, int]:
    """Entity → how many of these transactions are older than every tile that it keeps.

    `slots` as the state answered them, (n, SLOTS); `times` of the transactions, (n,) in ms.
    """
    tiles, counts = times // _LEVEL.grain, {}
    for entity, column in _LAST.items():
        newest = slots[:, column]
        kept = tiles > (newest.astype(np.int64) - _LEVEL.keep) // _LEVEL.grain
        counts[entity] = int(((newest != UNKNOWN) & ~kept).sum())
    return counts
