"""Is the state what the topics say? A sample of entities, recomputed by the oracle and compared bit for bit.

The state may be written to meanwhile. An answer is judged only if no record touches its entity that lies
between where every shard stood before the question and the farthest that any can be after the answer. The
other entities are asked for again, until one stands still for as long as a question takes.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from features.algebra import Slot
from features.catalog import SLOTS
from features.errors import VigiaError
from features.state import State
from features.transaction import Transaction
from features.windows import DAY, HOUR
from stream.audit.inputs import Inputs, Offsets
from stream.audit.recount import Recount
from stream.audit.replay import Event, read
from stream.audit.sample import ROLES, Entity, Name
from stream.record import Record
from stream.stands import Place

LATER = (0, 1, HOUR, DAY)
"""ms after an entity's newest payment at which its windows are read; an older one's at its own time."""

VIEWS = {"payer": ("payer", "inflow"), "payee": ("payee", "outflow")}
"""What is read of an account in a role; of anything else, itself."""

_READ, _SHOWN, _PAUSE = 500, 10, 0.05

Progress = Callable[[int, int], None]
Probe = tuple[str, Transaction]
"""A role and a payment that names an entity in it."""


class Difference(NamedTuple):
    """A value that the two tell differently. `entity`: its kind and hash, never an account."""

    entity: str
    slot: str
    time: int
    state: float
    oracle: float


@dataclass
class Verification:
    """What was compared, and what came of it."""

    events: int = 0
    """Transactions and reports that were recounted."""
    entities: dict[str, int] = field(default_factory=dict)
    """Compared, by kind."""
    values: int = 0
    differences: int = 0
    """Values that differ."""
    differing: int = 0
    """Entities that they are of."""
    first: list[Difference] = field(default_factory=list)
    moving: int = 0
    """Entities that changed whenever they were asked for."""
    keys: int = 0
    """Keys of the state that were looked for in the topics."""
    unexplained: int = 0
    """Those of them that no event names."""
    strangers: list[list[str]] = field(default_factory=list)
    """Group, topic and topic id of other logs that fed the state, looked for if a key is unexplained."""
    excused: bool = False
    """Whether unexplained keys may be of one of those (`store.excuses`)."""
    missing: int = 0
    """Committed records that the state does not have: it lost them, and is not healed yet."""
    seconds: float = 0.0

    @property
    def sound(self) -> bool:
        """Whether the whole sample was compared and nothing was found."""
        unexplained = self.unexplained and not self.excused
        wrong = self.differences or self.moving or self.missing or unexplained
        return not (wrong or self.uncompared)

    @property
    def uncompared(self) -> bool:
        """Whether the state holds keys, and nothing was there to compare them with."""
        return bool(self.keys) and not self.entities


@dataclass(frozen=True)
class Question:
    """How much is asked, and for how long."""

    size: int
    seed: int = 0
    wait: float = 30.0
    """Seconds to ask again for what moves, after the topics were read."""
    shards: int = 1
    ids: frozenset[bytes] = frozenset()
    """Of keys that the state held before: events must name them."""


async def verify(
    inputs: Inputs,
    state: State,
    question: Question,
    history: Iterable[Event] = (),
    on_progress: Progress = lambda _done, _of: None,
) -> Verification:
    """Compare. `history`: what the state was given from files before it read the topics.

    `on_progress(done, of)` counts the records of the topics. Raises StateAway, StateError, KafkaAway, and
    VigiaError if the state loses events meanwhile.
    """
    began = time.monotonic()
    verifier = _Verifier(inputs, state, question, on_progress)
    await verifier.recount.history(history)
    report = await verifier.run()
    report.seconds = round(time.monotonic() - began, 3)
    return report


class _Verifier:
    def __init__(self, inputs: Inputs, state: State, question: Question, on_progress: Progress) -> None:
        self._inputs, self._state, self._question, self._progress = inputs, state, question, on_progress
        self._first = {place: stand.start for place, stand in inputs.stands().items()}
        self._whole = not any(self._first.values())
        self.recount = Recount(inputs.logs, self._first, question.size, question.seed, question.ids)
        self.report = Verification(keys=len(question.ids))
        self._columns = {role: _columns(role, self._whole) for role in ROLES}

    async def run(self) -> Verification:
        await self._advance()
        deadline = time.monotonic() + self._question.wait
        while self.report.missing and time.monotonic() < deadline:
            await self._again()
        left = await self._compare([] if self.report.missing else self.recount.settle(self._question.size))
        deadline = time.monotonic() + self._question.wait
        while left and time.monotonic() < deadline:
            await self._again()
            left = await self._compare(left)
        return self._finished(left)

    def _finished(self, left: list[Entity]) -> Verification:
        report = self.report
        report.events, report.moving = self.recount.events, len(left)
        # What the broker deleted by age may still be explained by it.
        report.unexplained = len(self.recount.unexplained) if self._whole else 0
        return report

    async def _again(self) -> None:
        await asyncio.sleep(_PAUSE)
        await self._advance()

    async def _advance(self) -> None:
        """Recount up to where every shard of the state is now."""
        stands = self._inputs.stands()
        reached = await self._reached()
        self.report.missing = sum(max(0, stands[place].committed - at) for place, at in reached.items())
        self._refuse_loss(reached)
        position = self.recount.position
        records = self._inputs.records(position, reached)
        await self.recount.take(self._told(records, position, reached), reached)

    def _refuse_loss(self, reached: Offsets) -> None:
        if any(reached[place] < at for place, at in self.recount.position.items()):
            raise VigiaError("the state lost events while it was verified: verify it again once it is healed")

    async def _reached(self) -> dict[Place, int]:
        """The offset of each log below which every shard has applied all."""
        states = await self._state.log_states(list(self._inputs.logs.values()))
        return {
            place: max(self._first[place], state.next if state else 0)
            for place, state in zip(self._inputs.logs, states, strict=True)
        }

    async def _farthest(self) -> Offsets:
        """Offsets that no shard has gone beyond. Several shards stand apart while a call is under way."""
        if self._question.shards == 1:
            return await self._reached()
        return {place: stand.end for place, stand in self._inputs.stands().items()}

    async def _compare(self, entities: list[Entity]) -> list[Entity]:
        """Ask for these entities; those that moved meanwhile are left."""
        probes = {entity.name: list(_probes(entity)) for entity in entities}
        answers = iter(await self._read([probe for asked in probes.values() for _, probe in asked]))
        farthest = await self._farthest()
        self._refuse_loss(farthest)
        moved = self.recount.explain(read(self._inputs.records(self.recount.position, farthest)))
        for entity in entities:
            asked = probes[entity.name]
            answered = np.array(list(islice(answers, len(asked))))
            if entity.name.id not in moved:
                self._judge(entity.name, asked, answered)
        return [entity for entity in entities if entity.name.id in moved]

    async def _read(self, probes: Sequence[Transaction]) -> NDArray[np.float64]:
        parts = [await self._state.read(probes[i : i + _READ]) for i in range(0, len(probes), _READ)]
        return np.concatenate(parts) if parts else np.empty((0, len(SLOTS)))

    def _judge(self, name: Name, asked: Sequence[Probe], state: NDArray[np.float64]) -> None:
        self.report.entities[name.kind] = self.report.entities.get(name.kind, 0) + 1
        differing = False
        for (role, payment), row in zip(asked, state, strict=True):
            columns = self._columns[role]
            oracle = np.array(self.recount.windows(payment, columns))
            self.report.values += len(columns)
            other = row[columns].view(np.uint64) != oracle.view(np.uint64)
            for i in np.flatnonzero(other).tolist():
                differing = True
                self._tell(name, payment, columns[i], float(row[columns[i]]), float(oracle[i]))
        self.report.differing += differing

    def _tell(self, name: Name, payment: Transaction, column: int, state: float, oracle: float) -> None:
        self.report.differences += 1
        if len(self.report.first) < _SHOWN:
            whose, slot = f"{name.kind} {name.id.hex()}", slot_name(SLOTS[column])
            self.report.first.append(Difference(whose, slot, payment.occurred_at, state, oracle))

    def _told(self, records: Iterator[Record], start: Offsets, stop: Offsets) -> Iterator[Record]:
        """The same records, with progress told now and then."""
        size = sum(stop.values()) - sum(start.values())
        for done, record in enumerate(records):
            if done % 5000 == 0:
                self._progress(done, size)
            yield record
        self._progress(size, size)


def _probes(entity: Entity) -> Iterator[Probe]:
    for role, (*older, newest) in entity.last.items():
        for payment in older:
            yield role, payment
        for later in LATER:
            yield role, newest._replace(occurred_at=newest.occurred_at + later)


def _columns(role: str, whole: bool) -> list[int]:
    """What tells of a role. Of a log whose beginning was deleted, nobody can tell when an entity began."""
    views = VIEWS.get(role, (role,))
    return [i for i, slot in enumerate(SLOTS) if slot.entity in views and (whole or slot.stat != "first")]


def slot_name(slot: Slot) -> str:
    """`payer count 24h`, `payee sum 7d delayed`."""
    flags = [name for name in ("delayed", "night") if getattr(slot, name, False)]
    return " ".join(filter(None, (slot.entity, slot.stat, slot.window, *flags)))
