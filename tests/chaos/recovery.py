"""From the decisions as they came: when they flowed again, and how long they were away."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple


class Arrival(NamedTuple):
    """Some decisions of a partition that came together: when, and the latest offset that they are of."""

    at: float
    offset: int


def recovery(arrivals: Sequence[Arrival], mark: int, ended: float) -> float | None:
    """Seconds from the fault's end to the first decision, after it, of a record that was published after
    the fault began; None: none came. `mark`: the end of the partition right before it.

    What a worker had sent before it was killed is of records below the mark.
    """
    return next((a.at - ended for a in arrivals if a.at > ended and a.offset >= mark), None)


def largest_gap(arrivals: Sequence[Arrival], since: float, until: float) -> float:
    """Seconds of the longest time without a decision that reaches into [since, until]."""
    pairs = pairwise(arrivals)
    return max((b.at - a.at for a, b in pairs if b.at > since and a.at < until), default=0.0)


def worst(values: Mapping[int, float | None]) -> float | None:
    """The largest; None if any is None, or there is none."""
    found = list(values.values())
    return None if not found or None in found else max(value for value in found if value is not None)
