"""Online = offline: every vector of the feature log again, from the topics' records alone.

Each record of the feature log says which record it is of and the numbers that the state's shards gave it. A
shard is replayed through the oracle in the order of its numbers; the parts of an event that lie on it give
their columns. What comes out must be the logged vectors, bit for bit.
"""

import asyncio
import base64
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import orjson
from confluent_kafka import Message
from numpy.typing import NDArray

from features.catalog import NAMES, SLOTS, vectors
from features.memory_state import MemoryState
from features.redis_plan import part_columns
from features.state import PARTS, Entry, LogId, Numbers, Span, shard_of
from features.transaction import FraudReport, Transaction, entity_key, names_part
from stream.kafka_client import headers_of

Event = Transaction | FraudReport
Source = tuple[str, int, int]
"""An input's short name, partition and offset."""


class FeatureRecord(NamedTuple):
    """One record of the feature log."""

    source: Source
    numbers: Numbers
    vector: bytes | None
    """Little-endian float32; None for a report."""


class Difference(NamedTuple):
    """A feature that is computed differently online and offline."""

    feature: str
    vectors: int
    """In how many of them it differs."""
    first: Source


def feature_record(message: Message) -> FeatureRecord:
    """A record of the feature log as it was read."""
    value = orjson.loads(message.value() or b"")
    headers: Any = dict(headers_of(message))
    source = headers["source_topic"].decode(), int(headers["source_partition"]), int(headers["source_offset"])
    vector = base64.b64decode(value["vector"]) if "vector" in value else None
    return FeatureRecord(source, tuple((shard, number) for shard, number in value["sequence"]), vector)


def differences(
    log: Sequence[FeatureRecord], inputs: Mapping[Source, Event], shards: int = 1
) -> list[Difference]:
    """The features whose logged vectors are not what the replay gives, in the catalog's order.

    `log`: each source once, nothing missing that was applied; the state lost nothing in between.
    `inputs`: the decoded record of each source.
    """
    scored = [record for record in log if record.vector is not None and record.numbers]
    slots = np.zeros((len(scored), len(SLOTS)))
    rows = {record.source: i for i, record in enumerate(scored)}
    for shard in range(shards):
        _replay(shard, shards, log, inputs, rows, slots)
    payments = [event for record in scored if isinstance(event := inputs[record.source], Transaction)]
    offline = vectors(slots, payments).view(np.uint32)
    online = np.frombuffer(b"".join(record.vector or b"" for record in scored), dtype="<u4")
    differs = online.reshape(offline.shape) != offline
    return [
        Difference(
            NAMES[column], int(differs[:, column].sum()), scored[int(differs[:, column].argmax())].source
        )
        for column in np.flatnonzero(differs.any(axis=0))
    ]


def _replay(
    shard: int,
    shards: int,
    log: Sequence[FeatureRecord],
    inputs: Mapping[Source, Event],
    rows: Mapping[Source, int],
    slots: NDArray[np.float64],
) -> None:
    """Fill the columns of what lies on one shard."""
    numbered = sorted((n, record.source) for record in log for s, n in record.numbers if s == shard)
    # What is logged was applied, so it was no repeat; alone on a shard its payer's ring could not tell.
    events = [_renamed(inputs[source], i) for i, (_, source) in enumerate(numbered)]
    # Entities of other shards get what happens to touch this one: only this one's columns are taken.
    answered = iter(_answers(MemoryState(), events))
    for (_, source), event in zip(numbered, events, strict=True):
        if isinstance(event, Transaction):
            row = next(answered)
            for part in PARTS:
                named = names_part(part, event)
                if not named or shard_of(entity_key(part, event), shards) == shard:
                    slots[rows[source], part_columns(part)] = row[part_columns(part)]


def _renamed(event: Event, i: int) -> Event:
    return event._replace(event_id=f"{i}") if isinstance(event, Transaction) else event


def _answers(state: MemoryState, events: Sequence[Event]) -> NDArray[np.float64]:
    log = LogId("parity", "parity", "parity", 0)
    entries = [Entry(0, i, event) for i, event in enumerate(events)]
    return asyncio.run(state.apply([Span(log, 0, 0, len(entries), healing=True)], entries)).slots
