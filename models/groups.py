"""Whom the model serves worse: the same measures on parts of the payments.

Groups come from the vector's own columns (see docs/features.md) and from the reports' `type`. What a file
does not tell is left out with a note, never guessed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from features.transaction import INITIATIONS, REPORT_TYPES
from models.costs import Thresholds
from models.dataset import Rows, open_parquet
from models.decisions import held_or_denied
from models.intervals import effective, wilson
from models.labels import CONFIRMED
from models.metrics import average_precision
from models.scored import Floats, Mask, Scored

WORSE_RECALL = 0.8
"""A group is served much worse when the model stops less than this share of what it stops of the rest's
frauds, even at the upper end of the group's interval; or ..."""

WORSE_STOPS = 2.0
"""... when it stops more than so many times the rest's share of honest payments, at the lower end of its
interval and the upper end of the rest's."""

MIN_FRAUDS = 20
"""A group with fewer is said to be too small for a verdict on recall."""

MIN_HONEST = 50
"""With fewer honest payments nothing is said of those that were stopped."""

NEW_PAYER_DAYS = 30

_HOURS = (("00-06 h", 0, 6), ("06-12 h", 6, 12), ("12-20 h", 12, 20), ("20-24 h", 20, 24))
_AMOUNTS = (("up to R$ 50", 0, 50), ("R$ 50 to 200", 50, 200), ("R$ 200 to 1,000", 200, 1_000),
            ("R$ 1,000 and more", 1_000, np.inf))  # fmt: skip

_AGES = (f"new (under {NEW_PAYER_DAYS} days)", f"{NEW_PAYER_DAYS} days and more")

Values = NDArray[np.str_]


@dataclass(frozen=True, slots=True)
class Served:
    """One model on the rows, and which of them it held or denied."""

    found: Scored
    stopped: Mask

    @classmethod
    def by(cls, found: Scored, thresholds: Thresholds) -> "Served":
        """Decided by `thresholds`."""
        return cls(found, held_or_denied(thresholds, found.score, found.amount))


@dataclass(frozen=True, slots=True)
class Grouping:
    """(n,) value of each row, "" where it has none; of typologies only frauds have one."""

    name: str
    values: Values
    order: tuple[str, ...]
    frauds_only: bool = False


def groupings(rows: Rows, names: Sequence[str], types: Values) -> tuple[list[Grouping], list[str]]:
    """The groupings that the rows allow, and a note on each that they do not.

    `names` are the vector's columns, `types` (n,) what `fraud_types` found.
    """
    columns = {name: rows.vectors[:, at] for at, name in enumerate(names)}
    found = [
        Grouping("typology", types, REPORT_TYPES, frauds_only=True),
        Grouping("initiation", _codes(columns.get("initiation"), INITIATIONS, len(rows)), INITIATIONS),
        Grouping("hour", _bands(columns.get("local_hour"), _HOURS, len(rows)), _names(_HOURS)),
        Grouping("payer", _payers(columns.get("payer_age_seconds"), len(rows)), _AGES),
        Grouping("amount", _bands(rows.amount, _AMOUNTS, len(rows)), _names(_AMOUNTS)),
    ]
    notes = [f"{x.name}: the files do not tell it; left out" for x in found if not (x.values != "").any()]
    return [grouping for grouping in found if (grouping.values != "").any()], notes


def fraud_types(rows: Rows, y: Mask, reports: Path) -> Values:
    """(n,) the `type` of a fraud's first CONFIRMED report that has one, UNKNOWN without; "" for the honest.

    All are "" when the reports have no such column. Raises BadInput for a missing file.
    """
    wanted = ["transaction_event_id", "status", "reported_at"]
    source = open_parquet(reports, "--reports", wanted)
    values = np.full(len(rows), "", dtype=f"<U{max(len(kind) for kind in REPORT_TYPES)}")
    if "type" not in source.schema.names:
        return values
    table = source.to_table(columns=[*wanted, "type"], filter=pc.field("status") == CONFIRMED)
    table = table.sort_by("reported_at").filter(pc.is_in(pc.field("type"), pa.array(REPORT_TYPES[:-1])))
    ids = table.column("transaction_event_id").cast(pa.string()).combine_chunks()
    place = pc.index_in(rows.event_id, value_set=ids).fill_null(-1).to_numpy(zero_copy_only=False)
    kinds = np.array([*table.column("type").to_pylist(), REPORT_TYPES[-1]], dtype=values.dtype)
    values[y] = kinds[place[y]]
    return values


def group_figures(model: Served, among: Sequence[Grouping], champion: Served | None) -> list[dict[str, Any]]:
    """A dict for each value of each grouping, in their order.

    `recall`: share of its frauds that were held or denied; `honest_stopped`: share of its honest payments
    that were; both with intervals (`low`, `high`). A typology's `average_precision` is that of its frauds
    among all honest payments. `warning` (None or text) when it is served much worse than the rest; `note`
    when it is too small for that. With `champion`: `champion_recall`, `champion_average_precision`, and
    `champion_honest_stopped` with its interval.
    """
    return [
        _figures(model, grouping, str(value), champion)
        for grouping in among
        for value in grouping.order
        if (grouping.values == value).any()
    ]


def _figures(model: Served, grouping: Grouping, value: str, champion: Served | None) -> dict[str, Any]:
    inside = grouping.values == value
    y = model.found.y
    of = inside | ~y if grouping.frauds_only else inside
    answer: dict[str, Any] = {
        "group": grouping.name,
        "value": value,
        "n": int(inside.sum()),
        "frauds": int((inside & y).sum()),
    }
    answer["average_precision"] = _ranked(model, of)
    answer |= _shares("recall", model, inside & y)
    answer |= _shares("honest_stopped", model, inside & ~y)
    rest = {**_shares("recall", model, ~inside & y), **_shares("honest_stopped", model, ~inside & ~y)}
    small = answer["frauds"] < MIN_FRAUDS
    alone = int((~inside & y).sum()) < MIN_FRAUDS
    few = int((inside & ~y).sum()) < MIN_HONEST
    caught = [] if small or alone else _fewer_caught(answer, rest)
    said = [*caught, *([] if few else _more_stopped(answer, rest))]
    answer["warning"] = f"{grouping.name} {value}: {'; '.join(said)}" if said else None
    answer["note"] = f"too small for a verdict on recall: {MIN_FRAUDS} frauds are needed" if small else None
    if champion is not None:
        answer["champion_average_precision"] = _ranked(champion, of)
        answer["champion_recall"] = _shares("recall", champion, inside & y)["recall"]
        answer |= _shares("champion_honest_stopped", champion, inside & ~y)
    return answer


def _ranked(model: Served, of: Mask) -> float | None:
    part = model.found.take(of)
    return average_precision(part.y, part.score, part.weight)


def _shares(name: str, model: Served, of: Mask) -> dict[str, float | None]:
    """The share of the rows `of` that was stopped, and its interval; None where there are no rows."""
    weight: Floats = model.found.weight[of]
    if not len(weight):
        return {name: None, f"{name}_low": None, f"{name}_high": None}
    share = float(weight[model.stopped[of]].sum() / weight.sum())
    low, high = wilson(share, effective(weight))
    return {name: share, f"{name}_low": low, f"{name}_high": high}


def _fewer_caught(found: Mapping[str, Any], rest: Mapping[str, Any]) -> list[str]:
    if found["recall_high"] >= WORSE_RECALL * rest["recall"]:
        return []
    ours, usual = 100 * found["recall"], 100 * rest["recall"]
    return [f"{ours:.0f} % of its frauds are stopped, {usual:.0f} % of the rest's"]


def _more_stopped(found: Mapping[str, Any], rest: Mapping[str, Any]) -> list[str]:
    low, usual = found["honest_stopped_low"], rest["honest_stopped_high"]
    if low is None or usual is None or low <= WORSE_STOPS * usual:
        return []
    ours, others = 100 * found["honest_stopped"], 100 * rest["honest_stopped"]
    return [f"{ours:.2f} % of its honest payments are stopped, {others:.2f} % of the rest's"]


def _codes(column: NDArray[np.float32] | None, words: Sequence[str], n: int) -> Values:
    """A code column as its words; "" where it holds none of them."""
    if column is None:
        return np.full(n, "")
    known = (column >= 0) & (column < len(words))  # NaN is not
    values: Values = np.array([*words, ""])[np.where(known, column, len(words)).astype(np.int64)]
    return values


def _bands(column: NDArray[Any] | None, bands: Sequence[tuple[str, float, float]], n: int) -> Values:
    """The band [low, high) of each value; "" where it is in none."""
    values = np.full(n, "", dtype=f"<U{max(len(name) for name, _, _ in bands)}")
    if column is not None:
        for name, low, high in bands:
            values[(column >= low) & (column < high)] = name
    return values


def _payers(age_seconds: NDArray[np.float32] | None, n: int) -> Values:
    """New: never seen to pay, or first seen less than NEW_PAYER_DAYS ago."""
    if age_seconds is None:
        return np.full(n, "")
    old = age_seconds >= NEW_PAYER_DAYS * 86_400  # NaN, a payer never seen, is not old
    return np.where(old, _AGES[1], _AGES[0])


def _names(bands: Sequence[tuple[str, float, float]]) -> tuple[str, ...]:
    return tuple(name for name, _, _ in bands)
