"""What one call of the script carries: an event as it reads it, what a shard is asked, what it answered."""

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from features.state import PARTS, Entry, LogId, Status
from features.transaction import (
    REPORT_STATUSES,
    FraudReport,
    Transaction,
    content_hash,
    digest,
    event_hash,
    pair_key,
)

BITS = {part: 1 << i for i, part in enumerate(PARTS)}
ASK_RING, READ_ONLY = 16, 32

SPAN = struct.Struct("<QQQB")
_HEAD, _TAIL = struct.Struct("<BBHQ"), struct.Struct("<QQ8s8s12s12s12s12s12s")
_NO_HASH, _NO_ENTITY = bytes(8), bytes(12)

_ACCOUNTS = BITS["payer"] | BITS["payee"]

_APPLIED = int(Status.APPLIED)  # an enum's own comparison costs more than the rest of a loop

UNSEEN = -1


class Packed:
    """An event as the script reads it, but for where it was read, and where its parts lie."""

    __slots__ = ("ids", "is_report", "mask", "tail")

    def __init__(self, event: Transaction | FraudReport) -> None:
        payer = digest(event.payer_ispb, event.payer_account)
        payee = digest(event.payee_ispb, event.payee_account)
        ids, mask, device, key = {"payer": payer, "payee": payee}, _ACCOUNTS, _NO_ENTITY, _NO_ENTITY
        if event.device_id is not None:
            ids["device"] = device = digest(event.device_id)
            mask |= BITS["device"]
        if event.payee_key is not None:
            ids["payee_key"] = key = digest(event.payee_key)
            mask |= BITS["payee_key"]
        self.ids, self.mask = ids, mask
        self.is_report = isinstance(event, FraudReport)
        if isinstance(event, FraudReport):
            status = min(REPORT_STATUSES.index(event.status), 2)  # REJECTED and WITHDRAWN are both final
            about = event_hash(event.transaction_event_id)
            self.tail = _TAIL.pack(
                event.reported_at, status, about, _NO_HASH, payer, payee, _NO_ENTITY, device, key
            )
        else:
            self.tail = _TAIL.pack(
                event.occurred_at, event.amount, event_hash(event.event_id), content_hash(event),
                payer, payee, pair_key(payer, payee), device, key,
            )  # fmt: skip

    def entry(self, entry: Entry, mask: int) -> bytes:
        kind = 2 if self.is_report else int(entry.replay)
        return _HEAD.pack(kind, mask, entry.span, entry.offset) + self.tail


@dataclass
class Shard:
    """One slot's share of the state, and what this process knows of it."""

    number: int
    prefix: str
    stops: dict[tuple[str, LogId], int] = field(default_factory=dict)
    """The `stop` of the last call, by kind of log: where the next call begins."""
    seen: int = UNSEEN
    """The greatest number that it gave."""
    life: int = 0
    """The life that it told of last; 0 is none."""
    renew: bool = False
    """Whether the next healing call ends that life: this process found a loss in it."""

    @property
    def counter(self) -> str:
        return f"{self.prefix}numbers"

    def log_key(self, kind: str, log: LogId) -> str:
        return f"{self.prefix}{kind}{log.group}:{log.topic}:{log.topic_id}:{log.partition}"


@dataclass
class Call:
    """What one shard is to do in one round: entries by index, each with the parts that it is asked for."""

    shard: Shard
    indexes: list[int] = field(default_factory=list)
    masks: list[int] = field(default_factory=list)

    def add(self, index: int, mask: int) -> None:
        self.indexes.append(index)
        self.masks.append(mask)


@dataclass
class Reply:
    """What it answered; `rows` are by part, of the transactions that were asked for that part."""

    statuses: NDArray[np.uint8]
    numbers: list[int]
    rows: list[bytes]
    versions: dict[int, str]


def numbers(call: Call, statuses: bytes, last: int, earlier: Sequence[bytes | int]) -> list[int]:
    """Of each entry, 0 for none. What this call applied has the numbers up to `last`, in order; `earlier` are
    index and number of what calls before it applied."""
    applied = [
        i
        for i, (status, mask) in enumerate(zip(statuses, call.masks, strict=True))
        if status == _APPLIED and mask != ASK_RING
    ]
    found = [0] * len(statuses)
    for i, given in zip(applied, range(last - len(applied) + 1, last + 1), strict=True):
        found[i] = given
    for index, number in zip(earlier[::2], earlier[1::2], strict=True):
        found[int(index)] = int(number)
    return found
