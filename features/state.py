"""The contract of the state store: windows, labels, the repeat ring and the applied log.

Two stores keep it: `memory_state` (the plain oracle) and `redis_state` (the one that serves); one
contract suite (`tests/contract`) runs on both.

The applied log makes a redelivery exact and a loss noticed (DESIGN section 6). For each log (a group's
view of one topic partition) the store keeps `floor` <= `next`; offsets below `floor` are committed, those
between are remembered with their answers, those from `next` on are new. A call covers offsets
[start, stop) of each of its logs, in order; `start` is the `stop` of the worker's previous call.

Entities are spread over shards. An event has up to four parts (`PARTS`); all that is kept of a part lies
on one shard, and an account's two sides lie together. Each shard numbers what it applies: events that
share an entity share its shard, so replaying in the order of these numbers gives every vector again.

::

    StateError          the store cannot be used as it is; the message says what to do
    ├── Behind          the store lost what had been applied: ask all logs what they lack, heal, call again
    └── StateAway       the store does not answer: wait and make the same call again
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from features.errors import VigiaError
from features.transaction import FraudReport, Transaction
from features.windows import DAY

PARTS = ("payer", "payee", "device", "payee_key")
"""What an event may be about; a part's entities lie on one shard, that of the part's id."""

VIEWS = {
    "payer": ("payer", "pair", "inflow"),
    "payee": ("payee", "outflow"),
    "device": ("device",),
    "payee_key": ("payee_key",),
}
"""Part → the entities whose numbers it answers (`catalog.ENTITIES`)."""

KEPT_AS = {"inflow": "payee", "outflow": "payer"}
"""An account's other side is no entity of its own: it is read from what is kept of the account there."""


def shard_of(id_: bytes, shards: int) -> int:
    """The shard on which a part's entities lie, by the part's id (`entity_key`)."""
    return int.from_bytes(id_[:4], "little") % shards


RING_SIZE = 32
"""Event ids that a payer remembers to tell a repeat; beyond them a repeat counts as new."""

COUNTERPARTY_CAP = 64
"""Latest counterparties that an entity retains; distinct counts saturate here."""

COUNTERPARTY_KEEP = 7 * DAY
"""Counterparties are kept this long behind the entity's newest event time: the longest distinct count."""


RECENT_CAP = 32
"""Latest payments whose amounts a payer retains; counts of like amounts saturate here."""

RECENT_KEEP = DAY
"""They are kept this long behind the payer's newest event time."""

BINS = 64
"""Counterparties are told apart by their hash modulo this, where newcomers are counted."""

NEWCOMER_AFTER = 3 * DAY
"""Whoever was not there in these days before is a newcomer."""


class StateError(VigiaError):
    """The state store cannot be used as it is."""


class StateAway(StateError):
    """The store does not answer; nothing is known of the call's fate, and it may be made again as it was."""


class LogId(NamedTuple):
    """A consumer group's view of one partition. `topic_id` tells a topic made anew from its namesake."""

    group: str
    topic: str
    topic_id: str
    partition: int


class Span(NamedTuple):
    """Offsets [start, stop) of one log, as one call covers them.

    `floor`: offsets below it are committed at the broker; the store forgets their answers.
    `healing`: apply what is missing, remember no answers, and take everything below `stop` as committed.
    `floor` is then the log's first offset: what lies below can't be read again, and is not missed.
    Whatever the kind, the store must have everything of the log below `start`, or it answers Behind.
    """

    log: LogId
    floor: int
    start: int
    stop: int
    healing: bool = False


class Entry(NamedTuple):
    """One decoded record of a call.

    `replay`: sent again on purpose from the dead letters. `prepared`: what the store's `prepare` made of the
    event, where that was done ahead.
    """

    span: int
    offset: int
    event: Transaction | FraudReport
    replay: bool = False
    prepared: Any = None


class Status(IntEnum):
    """What the store did with an entry."""

    APPLIED = 0
    STORED = 1
    """Applied by an earlier call: the answer is that call's, byte for byte."""
    STALE = 2
    """Below the floor: committed, so decided; or healed, which remembers nothing. Whoever asks drops it."""
    REPEAT = 3
    """The payer's ring knows this event id with this content; nothing was changed."""
    REUSED = 4
    """The ring knows this event id with other content; nothing was changed."""
    REPLAYED = 5
    """A replay of something the ring knows: answered from the windows, applied to nothing twice."""


ANSWERED = (Status.APPLIED, Status.STORED, Status.REPLAYED)
"""The statuses whose row of slots means something."""


Numbers = tuple[tuple[int, int], ...]
"""(shard, number) of each shard that an entry's parts lie on, by shard. Numbers of a shard only grow, over
losses and repairs too."""


@dataclass(frozen=True)
class Answer:
    """What a call brought back."""

    statuses: NDArray[np.uint8]
    """(entries,) of Status."""
    slots: NDArray[np.float64]
    """(transactions among the entries, catalog.SLOTS); zeros where the status is not in ANSWERED."""
    sequences: list[Numbers]
    """(entries,); empty where nothing was applied (a repeat, a stale or a replayed one)."""
    versions: dict[int, str] = field(default_factory=dict)
    """Entry index → the versions that were to decide it, for STORED transactions."""


class LogState(NamedTuple):
    floor: int
    next: int


class Behind(StateError):
    """The store lost applied offsets, of whichever log: ask `log_states` of all of them, and heal.

    Some shard's `next` is below a span's `start`, or its numbers are below one that it gave before. No
    entity was changed on that shard.
    """

    def __init__(self) -> None:
        super().__init__("the state lost applied events; they are read again")


class State(Protocol):
    """What both stores do."""

    def prepare(self, event: Transaction | FraudReport) -> object:
        """For `Entry.prepared`: what needs nothing but the event, so that the store need not wait for it."""
        ...

    async def apply(self, spans: Sequence[Span], entries: Sequence[Entry], versions: str = "") -> Answer:
        """Read every transaction's windows, then apply it, in the order given; a shard does all or nothing.

        Raises Behind or StateAway. A shard that answered has applied its share; the same call made again is
        answered with what it said then.
        """
        ...

    async def read(self, transactions: Sequence[Transaction]) -> NDArray[np.float64]:
        """(transactions, catalog.SLOTS): the windows as they stand at each one's time; applies nothing."""
        ...

    async def log_states(self, logs: Sequence[LogId]) -> list[LogState | None]:
        """Where each log stands on the shard that is least far; None for one that no shard knows.

        A log that some shards know and others lost stands at 0.
        """
        ...

    async def claim(self, group: str) -> str:
        """The consumer group that this state belongs to: the first that asked, since it was empty.

        Entities carry no group: another one would find its events applied already.
        """
        ...

    async def close(self) -> None: ...
