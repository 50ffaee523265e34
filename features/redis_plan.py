"""What the catalog decides of the script in Redis: which levels an entity keeps, what each view answers.

`SCRIPT` is `redis_state.lua` behind these constants. Their hash, and the number of shards, are part of every
key, so that values of another layout are never read: another layout means a rebuild from the log.
"""

import hashlib
import struct
from importlib.resources import files
from typing import Any

from features.aggregates import COUNT_MAX, EXACT_MAX, JUST_UNDER, UNKNOWN, Slot
from features.catalog import ENTITIES, SLOTS
from features.redis_codegen import functions, head_format, head_size
from features.state import (
    BINS,
    COUNTERPARTY_CAP,
    COUNTERPARTY_KEEP,
    KEPT_AS,
    NEWCOMER_AFTER,
    PARTS,
    RECENT_CAP,
    RECENT_KEEP,
    RING_SIZE,
    VIEWS,
)
from features.windows import (
    DAY,
    LEVELS,
    LOCAL_OFFSET,
    NIGHT_FROM,
    NIGHT_TO,
    REPORT_DELAY,
    RETENTION,
    WINDOWS,
    Level,
    Window,
)

LAYOUT = 4
"""Raised by hand when the Lua text or a hash changes what is stored; a changed plan changes it by itself."""

KINDS = ("payer", "pair", "payee", "device", "payee_key")
"""What is kept, one value an entity."""

_IDS = {"payer": 1, "payee": 2, "pair": 3, "device": 4, "payee_key": 5, "inflow": 1, "outflow": 2}
"""Which of an entry's ids a view reads."""

_VIEW_FIELDS = ("number", "kind", "id", "reports")
"""What the text by hand uses of a view; the rest is written out by redis_codegen."""

_GENERATED = "-- (what redis_codegen.py writes)"

_TILED = ("count", "sum", "squares", "max")

Plan = dict[str, Any]


def _lua(value: object) -> str:
    """A Python value as a Lua literal; None leaves a field out."""
    if isinstance(value, dict):
        return "{" + ",".join(f"{k}={_lua(v)}" for k, v in value.items() if v is not None) + "}"
    if isinstance(value, list | tuple):
        return "{" + ",".join(map(_lua, value)) + "}"
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"'{value}'" if isinstance(value, str) else repr(value)


def _position(slot: Slot) -> int | None:
    """1-based place in the answered row; None if no feature needs it."""
    return SLOTS.index(slot) + 1 if slot in SLOTS else None


def slots_of(view: str) -> list[Slot]:
    return [slot for slot in SLOTS if slot.entity == view]


def part_columns(part: str) -> slice:
    """The columns of a row of slots that a part answers."""
    places = [i for i, slot in enumerate(SLOTS) if slot.entity in VIEWS[part]]
    return slice(places[0], places[-1] + 1)


def _slots_kept(kind: str) -> list[Slot]:
    """Of every view that is read from what a kind keeps."""
    return [slot for slot in SLOTS if KEPT_AS.get(slot.entity, slot.entity) == kind]


def _levels(kind: str) -> list[tuple[Level, bool]]:
    """(level, only of payments at night) that the views of a kind read."""
    slots = _slots_kept(kind)
    found = {(WINDOWS[slot.window].level, slot.night) for slot in slots if slot.stat in _TILED}
    if _keeps(kind, "newcomers"):
        found |= {(LEVELS[1], False), (LEVELS[2], False)}
    return sorted(found, key=lambda level: (level[1], level[0].number))


def _keeps(kind: str, stat: str) -> bool:
    return any(slot.stat == stat for slot in _slots_kept(kind))


def _level_plan(kind: str, level: Level, night: bool) -> Plan:
    """A narrow tile keeps only what the level's windows tell, in few bytes; a wide one everything."""
    # Days since 1970 fit 16 bits until 2149; finer tiles need 32.
    index = "H" if level.grain == DAY else "I"
    told = {
        slot.stat
        for slot in _slots_kept(kind)
        if slot.stat in _TILED and (WINDOWS[slot.window].level, slot.night) == (level, night)
    }
    squares, sums = "squares" in told, bool(told & {"squares", "sum"})
    largest, size = "max" in told, struct.calcsize(f"<{index}")
    bins = _keeps(kind, "newcomers") and level in (LEVELS[1], LEVELS[2]) and not night
    return {
        "grain": level.grain,
        "kept": level.keep // level.grain,
        "night": night or None,
        "index": f"<I{size}",
        "index_size": size,
        "sums": sums or None,
        "squares": squares or None,
        "narrow": "<I2" + "I4" * sums + "I5" * squares + f"I{size}",
        "narrow_width": size + 2 + 4 * sums + 5 * squares,
        "narrow_max": 4 * largest,
        "wide": f"<I5I6I2I6I4I{size}",
        "wide_rest": f"<I6I2I6I4I{size}",
        "wide_width": size + 23,
        "wide_max": 5 * largest,
        "bins": 8 * bins,
    }


def _kind_plan(kind: str) -> Plan:
    levels = _levels(kind)
    newcomers = _keeps(kind, "newcomers")
    return {
        "name": kind,
        "number": KINDS.index(kind) + 1,
        "head": head_format(len(levels)),
        "head_size": head_size(len(levels)),
        "levels": [_level_plan(kind, *level) for level in levels],
        "sums": _keeps(kind, "sum") or _keeps(kind, "squares"),
        "squares": _keeps(kind, "squares"),
        "fine": levels.index((LEVELS[1], False)) + 1 if newcomers else None,
        "coarse": levels.index((LEVELS[2], False)) + 1 if newcomers else None,
        "parties": (_keeps(kind, "distinct") or _keeps(kind, "changed")) or None,
        "recent": _keeps(kind, "same") or None,
    }


def _window_plan(view: str, window: Window, delayed: bool, night: bool) -> Plan | None:
    places = {stat: _position(Slot(view, stat, window.name, delayed, night)) for stat in _TILED}
    if not any(places.values()):
        return None
    grain = window.level.grain  # divides every length, so that a window is a number of whole tiles
    since = None if window.since is None else window.since // grain
    day = None if since is None else DAY // grain
    shift = REPORT_DELAY // grain if delayed else 0
    return {"tiles": window.length // grain, "shift": shift, "since": since, "day": day, **places}


def _report_plan(opened: list[Plan], confirmed: list[Plan]) -> Plan | None:
    """`places`: the slots in the order of the answer; by status {length, place in it}, the longest first."""
    places = [slot["at"] for slot in opened + confirmed]
    lists = {
        status: sorted(([slot["length"], places.index(slot["at"]) + 1] for slot in slots), reverse=True)
        for status, slots in (("open", opened), ("confirmed", confirmed))
    }
    return {"places": places, **lists} if places else None


def _view_plan(view: str) -> Plan:
    kind = KEPT_AS.get(view, view)
    # The script leans on this order: of one shift the windows grow, and those of the present come first.
    windows = [w for w in WINDOWS.values() if w.since is None] + [w for w in WINDOWS.values() if w.since]
    order = [(w, False) for w in windows] + [(w, True) for w in windows if w.since is None]
    levels = [
        [
            plan
            for window, delayed in order
            if window.level is level
            if (plan := _window_plan(view, window, delayed, night))
        ]
        for level, night in _levels(kind)
    ]
    mine = slots_of(view)
    lengths = {
        stat: [{"length": WINDOWS[s.window].length, "at": _position(s)} for s in mine if s.stat == stat]
        for stat in ("distinct", "same", "under", "open", "confirmed")
    }
    return {
        "number": ENTITIES.index(view) + 1,
        "kind": KINDS.index(kind) + 1,
        "id": _IDS[view],
        "from": SLOTS.index(mine[0]) + 1,
        "to": SLOTS.index(mine[-1]) + 1,
        "last": _position(Slot(view, "last")),
        "first": _position(Slot(view, "first")),
        "changed": _position(Slot(view, "changed")),
        "newcomers": _position(Slot(view, "newcomers", "1h")),
        "levels": levels,
        "distinct": lengths["distinct"] or None,
        "same": lengths["same"] or None,
        "under": lengths["under"] or None,
        "reports": _report_plan(lengths["open"], lengths["confirmed"]),
    }


def _part_plan(part: str) -> Plan:
    columns = part_columns(part)
    # The other account: the payee of a payer and of a key, the payer of all else.
    other = _IDS["payee"] if part in ("payer", "payee_key") else _IDS["payer"]
    applied = [view for view in VIEWS[part] if view not in KEPT_AS]
    return {
        "number": PARTS.index(part) + 1,
        "views": [ENTITIES.index(view) + 1 for view in VIEWS[part]],
        "applied": [ENTITIES.index(view) + 1 for view in applied],
        "labelled": ENTITIES.index(part) + 1,
        "other": other,
        "from": columns.start + 1,
        "to": columns.stop,
    }


_KINDS = [_kind_plan(kind) for kind in KINDS]
_VIEWS = [_view_plan(view) for view in ENTITIES]


def plan() -> str:
    """The Lua constants that the catalog decides."""
    constants = {
        "RETENTION": RETENTION,
        "CP_CAP": COUNTERPARTY_CAP,
        "CP_KEEP": COUNTERPARTY_KEEP,
        "RECENT_CAP": RECENT_CAP,
        "RECENT_KEEP": RECENT_KEEP,
        "JUST_UNDER": JUST_UNDER,
        "BINS": BINS,
        "NEWCOMER_AFTER": NEWCOMER_AFTER,
        "RING_SIZE": RING_SIZE,
        "COUNT_MAX": int(COUNT_MAX),
        "EXACT_MAX": int(EXACT_MAX),
        "UNKNOWN": int(UNKNOWN),
        "LOCAL_OFFSET": LOCAL_OFFSET,
        "NIGHT_FROM": NIGHT_FROM,
        "NIGHT_TO": NIGHT_TO,
        "KINDS": _KINDS,
        "VIEWS": [{name: view[name] for name in _VIEW_FIELDS} for view in _VIEWS],
        "PARTS": [_part_plan(part) for part in PARTS],
    }
    return "".join(f"local {name} = {_lua(value)}\n" for name, value in constants.items())


def _script() -> str:
    text = files("features").joinpath("redis_state.lua").read_text()
    return plan() + text.replace(_GENERATED, functions(_KINDS, _VIEWS))


SCRIPT = _script()
LAYOUT_VERSION = hashlib.sha256(f"{LAYOUT}\n{_KINDS}\n{_VIEWS}\n{plan()}".encode()).hexdigest()[:8]
