"""The live traffic: simulated messages with malformed ones and exact repeats mixed in by the seed."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import cycle
from typing import Literal, NamedTuple

import numpy as np
import orjson

from stream.demo.bad_input import KINDS
from stream.simulate import Message

_LONGEST_WAIT = 300
"""Transactions between a payment and its repeat, at most."""

_PAYER_MAY_PAY = 16
"""Payments of the same payer between the two, at most: half of the 32 ids that the state remembers."""


class Planned(NamedTuple):
    """One message to publish. `event_id`: of payments and repeats; `code`: of what is malformed."""

    topic: str
    key: bytes
    value: bytes
    role: Literal["payment", "repeat", "bad", "report"]
    event_id: str | None = None
    code: str | None = None


@dataclass(frozen=True)
class Plan:
    """What will be published, and so what must come out."""

    messages: list[Planned]

    @property
    def payments(self) -> set[str]:
        """Event ids that must be decided."""
        return {m.event_id for m in self.messages if m.role == "payment" and m.event_id}

    @property
    def repeated(self) -> list[str]:
        """Event ids published once more, one entry a repeat."""
        return [m.event_id for m in self.messages if m.role == "repeat" and m.event_id]

    @property
    def codes(self) -> Counter[str]:
        """Dead letters that must come out, by code."""
        return Counter(m.code for m in self.messages if m.code)

    @property
    def transactions(self) -> int:
        """Messages for the transactions topic."""
        return sum(m.topic == "transactions" for m in self.messages)


@dataclass
class _Waiting:
    message: Planned
    left: int
    payments: int = 0

    def due_after(self, key: bytes) -> bool:
        """Whether it must go out now that `key` paid once more."""
        self.left -= 1
        self.payments += self.message.key == key
        return self.left <= 0 or self.payments >= _PAYER_MAY_PAY


def mixed(
    messages: Iterable[Message], seed: int, bad_share: float, repeat_share: float, now: datetime
) -> Iterator[Planned]:
    """`messages` in their order; to its share of the payments, a malformed message or (later) a repeat.

    The kinds of bad input take turns. Equal arguments give equal bytes; `now` dates the times that lie ahead.
    """
    rng = np.random.default_rng([seed, 20])
    kinds = cycle(KINDS)
    waiting: list[_Waiting] = []
    for message in messages:
        if message.topic != "transactions":
            yield Planned(message.topic, message.key, message.value, "report")
            continue
        content = orjson.loads(message.value)
        payment = Planned(message.topic, message.key, message.value, "payment", content["event_id"])
        yield payment
        due = [repeat for repeat in waiting if repeat.due_after(message.key)]
        waiting = [repeat for repeat in waiting if repeat not in due]
        yield from (repeat.message for repeat in due)
        if rng.random() < repeat_share:
            wait = int(rng.integers(1, _LONGEST_WAIT, endpoint=True))
            waiting.append(_Waiting(payment._replace(role="repeat"), wait))
        if rng.random() < bad_share:
            kind = next(kinds)
            value = kind.make({**content, "event_id": content["event_id"][::-1]}, now)
            yield Planned(message.topic, message.key, value, "bad", code=kind.code)
    yield from (repeat.message for repeat in waiting)
