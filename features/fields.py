"""Features of the event alone: its own fields and the calendar. No state is read for them."""

from collections.abc import Callable, Sequence

import numpy as np

from features.aggregates import Column, Feature, Frame
from features.windows import HOUR

LOCAL_OFFSET = -3 * HOUR
"""America/Sao_Paulo: UTC-3 all year since daylight saving ended (Decree 9.772/2019), before Pix began."""


def field(name: str, meaning: str, unit: str, reason: str, read: Callable[[Frame], Column]) -> Feature:
    """A feature of the event alone."""
    return Feature(name, meaning, unit, reason, read)


def category(name: str, values: Sequence[str], reason: str) -> Feature:
    """The position of the field's value in `values`; NaN if the sender left it out."""
    code: dict[object, float] = {value: float(i) for i, value in enumerate(values)}
    code[None] = np.nan
    return Feature(
        name,
        "position in " + ", ".join(values),
        "code",
        reason,
        lambda frame: np.array([code[value] for value in frame.field(name)], dtype=np.float64),
    )


def local_hour(frame: Frame) -> Column:
    return (frame.time + LOCAL_OFFSET) // HOUR % 24


def local_weekday(frame: Frame) -> Column:
    """0 is Monday (1970-01-01 was a Thursday)."""
    return ((frame.time + LOCAL_OFFSET) // (24 * HOUR) + 3) % 7


def is_night(frame: Frame) -> Column:
    """20 h to 6 h local: the hours of Pix's night limit."""
    hour = local_hour(frame)
    return ((hour >= 20) | (hour < 6)).astype(np.float64)


def same_institution(frame: Frame) -> Column:
    return np.array(
        [
            np.nan if t.payer_ispb is None or t.payee_ispb is None else float(t.payer_ispb == t.payee_ispb)
            for t in frame.transactions
        ]
    )


def device_registered(frame: Frame) -> Column:
    return np.array(
        [np.nan if t.device_registered is None else float(t.device_registered) for t in frame.transactions]
    )
