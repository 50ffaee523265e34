"""A fair sample of the entities that a log names, taken while it is read once, in bounded memory.

Of each kind the entities whose (seeded) hash is smallest: which these are does not depend on how often or
when one occurs, and one that is among them at the end was among them since its first event. So all of its
history can be kept from there on, though nobody knew the log before.
"""

import heapq
import random
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from features.transaction import FraudReport, Transaction, entity_key, names_part

KINDS = ("account", "pair", "device", "payee_key")

ROLES = {"payer": "account", "payee": "account", "pair": "pair", "device": "device", "payee_key": "payee_key"}
"""Role in an event → kind of entity: an account pays and is paid, and both are kept of it."""

_LAST = 2


class Name(NamedTuple):
    kind: str
    id: bytes


@dataclass
class Entity:
    """`last`: by role, the newest payments of the log that name it so (or what a report says of one), oldest
    first."""

    name: Name
    last: dict[str, deque[Transaction]] = field(default_factory=dict)

    def touch(self, role: str, event: Transaction | FraudReport) -> None:
        payments = self.last.setdefault(role, deque(maxlen=_LAST))
        if isinstance(event, Transaction):
            payments.append(event)
        elif not payments:
            payments.append(_reported(event))


def names(event: Transaction | FraudReport) -> dict[str, Name]:
    """Role → the entity that the event changes in it."""
    roles = [role for role in ROLES if role == "pair" or names_part(role, event)]
    if isinstance(event, FraudReport):
        roles.remove("pair")
    return {role: Name(ROLES[role], entity_key(role, event)) for role in roles}


class Sample:
    """At most `size` entities of each kind. It contains an id if one of any kind has it."""

    def __init__(self, size: int, seed: int) -> None:
        self._size = size
        masks = random.Random(seed)
        self._masks = {kind: masks.getrandbits(96) for kind in KINDS}
        self._heaps: dict[str, list[tuple[int, Name]]] = {kind: [] for kind in KINDS}
        self._entities: dict[Name, Entity] = {}
        self._ids: dict[bytes, int] = {}

    def __contains__(self, id_: object) -> bool:
        return id_ in self._ids

    def meet(self, event: Transaction | FraudReport, found: Mapping[str, Name]) -> None:
        """Take in the entities of an event that belong to the sample as it is now."""
        for name in found.values():
            if name not in self._entities:
                self._offer(name)
        self.follow(event, found)

    def follow(self, event: Transaction | FraudReport, found: Mapping[str, Name]) -> None:
        """As `meet`, when the sample is settled: nothing is added."""
        for role, name in found.items():
            if entity := self._entities.get(name):
                entity.touch(role, event)

    def chosen(self, n: int) -> list[Entity]:
        """`n` of them, as evenly over the kinds as the log allows."""
        ranked = {
            kind: [name for _, name in sorted(heap, reverse=True)] for kind, heap in self._heaps.items()
        }
        taken: list[Entity] = []
        for turn in range(self._size):
            for kind in KINDS:
                if turn < len(ranked[kind]) and len(taken) < n:
                    taken.append(self._entities[ranked[kind][turn]])
        return taken

    def _offer(self, name: Name) -> None:
        heap, rank = self._heaps[name.kind], -(int.from_bytes(name.id, "little") ^ self._masks[name.kind])
        if len(heap) < self._size:
            heapq.heappush(heap, (rank, name))
        elif rank > heap[0][0]:
            self._forget(heapq.heapreplace(heap, (rank, name))[1])
        else:
            return
        self._entities[name] = Entity(name)
        self._ids[name.id] = self._ids.get(name.id, 0) + 1

    def _forget(self, name: Name) -> None:
        del self._entities[name]
        self._ids[name.id] -= 1
        if not self._ids[name.id]:
            del self._ids[name.id]


def _reported(report: FraudReport) -> Transaction:
    """A payment that names the same entities as a report, for one that no payment of the log names."""
    return Transaction(
        report.transaction_event_id,
        report.reported_at,
        1,
        report.payer_account,
        report.payee_account,
        payer_ispb=report.payer_ispb,
        payee_ispb=report.payee_ispb,
        device_id=report.device_id,
        payee_key=report.payee_key,
    )
