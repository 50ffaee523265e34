"""From the times at which decisions came: when they flowed again, and how long they were away."""

from collections.abc import Mapping, Sequence

import numpy as np

SILENCE = 0.5
"""Seconds without a decision on a partition: twenty times what one at 500 a second is ever without."""

FLOWING = 2.0
"""Seconds without such a silence, and decisions flow: what was in flight when a worker died is none."""


def recovery(arrivals: Sequence[float], began: float, ended: float) -> float | None:
    """Seconds from the fault's end until decisions flow again; None: they do not.

    `began`: a silence that begins in the fault and ends after it is waited for, whatever came between.
    """
    times = np.asarray(arrivals)
    after = times[times > ended]
    if not len(after):
        return None
    before = times[(times > began) & (times <= ended)]
    around = np.concatenate([before[-1:], after]) if len(before) else after
    starts, stops = around[:-1], around[1:]
    silences = [(start, stop) for start, stop in zip(starts, stops, strict=True) if stop - start > SILENCE]
    again = float(after[0])
    for start, stop in silences:
        if start < again + FLOWING:
            again = float(stop)
    return again - ended


def largest_gap(arrivals: Sequence[float], since: float) -> float:
    """Seconds of the longest time without a decision from `since` on."""
    times = np.asarray(arrivals)
    return float(np.diff(times[times >= since]).max(initial=0.0))


def worst(values: Mapping[int, float | None]) -> float | None:
    """The largest; None if any is None, or there is none."""
    found = list(values.values())
    return None if not found or None in found else max(value for value in found if value is not None)
