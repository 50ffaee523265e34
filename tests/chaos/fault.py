"""What a fault is to the harness."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from .stage import Stage


def nothing(_: Stage) -> None:
    """Most faults need no preparation."""


@dataclass(frozen=True)
class Fault:
    """`strike` makes it happen inside `stage.fault()`, so that its time is known."""

    name: str
    told: str
    """What happens, for the page."""
    strike: Callable[[Stage], None]
    prepare: Callable[[Stage], None] = nothing
    """Before the workers start."""
    seconds: float = 25.0
    """How long the load lasts; the fault comes after `BEFORE`."""
    static: bool = True
    environment: Mapping[str, str] = field(default_factory=dict)
    away: bool = False
    """Whether something that a decision needs is away: then every worker says 503 meanwhile, and stays."""
    letters: Mapping[str, int] = field(default_factory=dict)
    """Dead letters of good payments that are right, by code."""
    bar: float | None = None
    """Seconds within which decisions flow again."""


BEFORE = 8.0
"""Seconds of load before the fault."""
