"""Where the outcomes of the last 15 minutes lie, by event id: what a repeat is answered from.

An outcome costs 16 bytes: the hash of its event id and its place, packed. Blocks are sorted when they are
full or a minute old, and dropped whole. The event id is read with the outcome, so that hashes may collide.
"""

from array import array

import numpy as np
from numpy.typing import NDArray

from features.transaction import event_hash
from stream import metrics
from stream.http.outcome import OUTCOMES, Place

KEEP_MS = 15 * 60_000
MOST = 4_000_000
"""Outcomes: 64 MB, 15 minutes of 4,400 a second. What is more leaves early, and is counted."""

_BLOCK, _BLOCK_MS = 32_768, 60_000
_OFFSET_BITS, _PARTITION_BITS = 48, 15


class _Block:
    """Hashes and places; open (a dict) until it is sorted."""

    def __init__(self, first: int) -> None:
        self.first = self.newest = first
        self._keys, self._values = array("Q"), array("Q")
        self._open: dict[int, tuple[int, ...]] = {}
        self._hashes: NDArray[np.uint64] = np.empty(0, np.uint64)
        self._places: NDArray[np.uint64] = np.empty(0, np.uint64)

    @property
    def size(self) -> int:
        return len(self._keys) or len(self._hashes)

    def add(self, key: int, place: int, timestamp: int) -> None:
        self._open[key] = (*self._open.get(key, ()), place)
        self._keys.append(key)
        self._values.append(place)
        self.newest = max(self.newest, timestamp)

    def close(self) -> None:
        keys, values = np.frombuffer(self._keys, np.uint64), np.frombuffer(self._values, np.uint64)
        order = np.argsort(keys, kind="stable")
        self._hashes, self._places = keys[order], values[order]
        self._open, self._keys, self._values = {}, array("Q"), array("Q")

    def find(self, key: int) -> list[int]:
        if self._open:
            return list(self._open.get(key, ()))
        wanted = np.uint64(key)
        at = int(self._hashes.searchsorted(wanted))
        found = []
        while at < len(self._hashes) and self._hashes[at] == wanted:
            found.append(int(self._places[at]))
            at += 1
        return found


class Index:
    """Event id → places. Not thread-safe: it belongs to the event loop."""

    def __init__(self, keep_ms: int = KEEP_MS, most: int = MOST) -> None:
        self._keep, self._most = keep_ms, most
        self._blocks: list[_Block] = []
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def add(self, event_id: str, place: Place, timestamp: int) -> None:
        """Remember an outcome that was recorded at `timestamp`, in ms."""
        block = self._blocks[-1] if self._blocks else None
        if block is None or block.size >= _BLOCK or abs(timestamp - block.first) > _BLOCK_MS:
            if block is not None:
                block.close()
            block = _Block(timestamp)
            self._blocks.append(block)
        block.add(_key(event_id), _pack(place), timestamp)
        self._size += 1
        if self._size > self._most:
            self._drop(min(self._blocks, key=lambda one: one.newest))

    def find(self, event_id: str) -> list[Place]:
        """Where outcomes of this id lie, the first one first; some may be of another id."""
        key = _key(event_id)
        found = [place for block in self._blocks for place in block.find(key)]
        return [_unpack(place) for place in dict.fromkeys(found)]

    def expire(self, now: int) -> None:
        """Forget what was recorded more than 15 minutes before `now`, in ms."""
        self._blocks = [block for block in self._blocks if block.newest >= now - self._keep]
        self._size = sum(block.size for block in self._blocks)

    def _drop(self, block: _Block) -> None:
        self._blocks.remove(block)
        self._size -= block.size
        metrics.DOOR_FORGOTTEN.inc(block.size)


def _key(event_id: str) -> int:
    return int.from_bytes(event_hash(event_id), "big")


def _pack(place: Place) -> int:
    return (
        OUTCOMES.index(place.topic) << (_PARTITION_BITS + _OFFSET_BITS)
        | place.partition << _OFFSET_BITS
        | place.offset
    )


def _unpack(packed: int) -> Place:
    partition = packed >> _OFFSET_BITS & (1 << _PARTITION_BITS) - 1
    topic = OUTCOMES[packed >> (_PARTITION_BITS + _OFFSET_BITS)]
    return Place(topic, partition, packed & (1 << _OFFSET_BITS) - 1)
