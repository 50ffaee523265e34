"""Rows with their labels as known at a date, and what each row stands for: what every fit and measure begins
with.

A payment that was denied and that nobody judged has no label: it is left out, not taken for honest. Of what
the policy would hold for review, the control group alone went its way; it stands for the rest by its weight.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from features.errors import BadInput
from models.dataset import Rows, Span, open_parquet, read_rows, within
from models.labels import Verdicts, judged, label, read_verdicts, weight

_NAMED = 3


@dataclass(frozen=True, slots=True)
class Labelled:
    """n rows that have a label: `y` bool (n,), `weight` float64 (n,) by inverse propensity, 0 where others
    stand for the row."""

    rows: Rows
    y: NDArray[np.bool_]
    weight: NDArray[np.float64]
    unlabelled: int
    """Rows that were left out: denied, and nobody judged them."""

    def __len__(self) -> int:
        return len(self.y)


def labelled(
    path: Path,
    reports: Path,
    span: Span,
    names: Sequence[str],
    features_version: str,
    as_of: datetime | None = None,
) -> Labelled:
    """The labelled rows of `span`, by the reports from before `as_of` (None: by all).

    Raises BadInput for what can't be read, when no row has a label, and when an event is there twice: it
    might fall on both sides of a split.
    """
    verdicts = read_verdicts(reports)
    rows = read_rows(path, span, names, features_version)
    require_unique(rows)
    found = with_labels(rows, verdicts, as_of)
    if len(found) == 0:
        raise BadInput(
            f"{path}: all payments from {span} were denied and judged by nobody; choose other days"
        )
    return found


def with_labels(rows: Rows, verdicts: Verdicts, as_of: datetime | None = None) -> Labelled:
    """Those of `rows` that have a label."""
    known = judged(rows, verdicts, as_of)
    kept = rows if known.all() else rows.take(known)
    return Labelled(kept, label(kept, verdicts, as_of), weight(kept), int((~known).sum()))


def require_unique(rows: Rows) -> None:
    """Raises BadInput that names events that are there more than once."""
    counts = pc.value_counts(rows.event_id)
    twice = counts.filter(pc.greater(counts.field("counts"), 1)).field("values")
    if len(twice):
        raise BadInput(f"--features: {_some(twice)} there more than once; leave each event once")


def require_disjoint(path: Path, train: Span, test: Rows) -> None:
    """Raises BadInput that names events of `test` that the features file has within `train` too."""
    source = open_parquet(path, "--features", ["event_id", "occurred_at"])
    wanted = within(source, train.start, train.end) & pc.field("event_id").isin(test.event_id)
    shared = source.to_table(columns=["event_id"], filter=wanted).column("event_id").unique()
    if len(shared):
        raise BadInput(
            f"--features: {_some(shared)} both in training ({train}) and in what is measured; choose days "
            "that do not overlap, and leave each event once"
        )


def _some(events: pa.Array) -> str:
    """`e1, e2, e3 and 7 more events are`."""
    named = ", ".join(str(event) for event in sorted(events.to_pylist())[:_NAMED])
    more = len(events) - _NAMED
    return (
        f"event {named} is" if len(events) == 1 else f"events {named}{f' and {more} more' * (more > 0)} are"
    )
