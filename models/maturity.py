"""How long labels take, and how many of a span are still to come.

Only frauds that are confirmed by the date asked for are seen, so quick reports are seen too often: the
delays are right-truncated. The curve is the Kaplan-Meier (Lynden-Bell) estimator in reversed time, as in R's
`flexsurv::survrtrunc`; with days as units it is the actuaries' chain ladder.
"""

from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
from numpy.typing import NDArray

from models.dataset import Span, Times, as_times, open_parquet, start_of, to_numpy_time, within
from models.labels import Verdicts, read_verdicts

MATURE = 0.95
"""A span is mature when at least this share of its frauds is known."""

FEW = 200
"""A curve of fewer frauds is told with a warning."""

_DAY = np.timedelta64(1, "D")
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class DelayCurve:
    """Of the frauds that are confirmed within `horizon` days, the share that is after `days` (ascending)."""

    days: Floats
    share: Floats
    horizon: float
    frauds: int

    def known(self, age: Floats) -> Floats:
        """(n,) The share that is known of frauds of these ages in days."""
        if not self.frauds:
            return np.full(len(age), np.nan)
        return np.concatenate([[0.0], self.share])[np.searchsorted(self.days, age, side="right")]


def delay_curve(delay: Floats, age: Floats) -> DelayCurve:
    """From frauds confirmed after `delay` days (n,) whose payments are `age` days old (n,), `delay` < `age`.

    The share at the longest delay is 1 by definition: what takes longer than any payment is old is unseen.
    """
    times, counts = np.unique(delay, return_counts=True)
    # Who could have been seen with a delay of u, and was with at most u.
    at_risk = np.searchsorted(np.sort(delay), times, "right") - np.searchsorted(np.sort(age), times, "right")
    later = np.cumprod((1 - counts / at_risk)[::-1])[::-1]
    share = np.append(later[1:], 1.0)[: len(times)]
    return DelayCurve(times, share, float(age.max(initial=0.0)), len(delay))


def maturity(features: Path, reports: Path, as_of: date, span: Span | None = None) -> dict[str, Any]:
    """The delay curve as of the start of `as_of`, and how mature `span` (None: all before `as_of`) is then.

    Raises BadInput for files that can't be read. See docs/training-data.md for the keys.
    """
    return known_maturity(features, read_verdicts(reports), as_of, span)


def known_maturity(
    features: Path, verdicts: Verdicts, as_of: date, span: Span | None = None
) -> dict[str, Any]:
    """`maturity`, of verdicts that were read already."""
    source = open_parquet(features, "--features", ["event_id", "occurred_at"])
    horizon = to_numpy_time(start_of(as_of))
    curve = _curve(source, verdicts, horizon)
    wanted = within(source, span.start, span.end) if span else ds.field("occurred_at").is_valid()
    occurred = as_times(source.to_table(columns=["occurred_at"], filter=wanted).column("occurred_at"))
    occurred = occurred[occurred < horizon]
    return {
        "as_of": as_of.isoformat(),
        "frauds": curve.frauds,
        "horizon_days": round(curve.horizon, 3),
        "curve": _told(curve),
        "mature_after_days": _mature_after(curve),
        "span": _of_span(curve, occurred, horizon),
        "warnings": _warnings(curve),
    }


def _curve(source: ds.Dataset, verdicts: Verdicts, horizon: np.datetime64) -> DelayCurve:
    frauds = [event for event, verdict in verdicts.items() if verdict.is_fraud(horizon)]
    wanted = ds.field("event_id").isin(pa.array(frauds, pa.string()))
    found = source.to_table(columns=["event_id", "occurred_at"], filter=wanted)
    events = {
        e: i for i, e in enumerate(found.column("event_id").to_pylist())
    }  # an archive may tell one twice
    occurred = as_times(found.column("occurred_at"))[list(events.values())]
    confirmed = np.array([verdicts[event].confirmed_at for event in events], dtype="datetime64[us]")
    past = occurred < horizon
    # A report before its payment: two clocks. It was known at once.
    delay = np.maximum((confirmed - occurred)[past] / _DAY, 0.0)
    return delay_curve(delay, (horizon - occurred)[past] / _DAY)


def _of_span(curve: DelayCurve, occurred: Times, horizon: np.datetime64) -> dict[str, Any]:
    if not len(occurred) or not curve.frauds:
        return {"payments": len(occurred), "known_share": None, "to_come_share": None, "mature": False}
    known = float(curve.known((horizon - occurred) / _DAY).mean())
    return {
        "from": str(occurred.min().astype("datetime64[D]")),
        "to": str(occurred.max().astype("datetime64[D]")),
        "payments": len(occurred),
        "known_share": round(known, 6),
        "to_come_share": round(1 - known, 6),
        "mature": known >= MATURE,
    }


def _told(curve: DelayCurve) -> list[dict[str, float]]:
    """At whole days, up to the first after which nothing comes."""
    last = int(np.ceil(curve.days[-1])) if curve.frauds else -1
    ages = np.arange(last + 1, dtype=np.float64)
    return [
        {"days": int(age), "share": round(float(share), 6)}
        for age, share in zip(ages, curve.known(ages), strict=True)
    ]


def _mature_after(curve: DelayCurve) -> int | None:
    """Whole days after which a payment's label is known well enough."""
    return next((int(point["days"]) for point in _told(curve) if point["share"] >= MATURE), None)


def _warnings(curve: DelayCurve) -> list[str]:
    few = f"{curve.frauds} confirmed frauds: fewer than {FEW} make a coarse curve"
    return [few] if curve.frauds < FEW else []


def immaturity(answer: dict[str, Any]) -> str | None:
    """One line for a span that is not mature; None for one that is, or where no fraud is known at all."""
    span = answer["span"]
    if span["mature"] or span["known_share"] is None:
        return None
    wait = answer["mature_after_days"]
    last = date.fromisoformat(answer["as_of"]) - timedelta(days=wait + 1)
    return (
        f"labels are not mature: as of {answer['as_of']} about {span['to_come_share']:.0%} of the frauds "
        f"from {span['from']} to {span['to']} are still to be confirmed ({MATURE:.0%} are after {wait} "
        f"days); they count as honest. Choose days until {last}, or a later --as-of"
    )
