"""What the catalog decides of the script in Redis: which levels an entity keeps, what each view answers.

`SCRIPT` is `redis_state.lua` with these constants and tables put into it. Their hash, and the
number of shards, are part of every key, so that values of another layout are never read: another layout means
a rebuild from the log.
"""

import hashlib
import re
from functools import cache
from importlib.resources import files
from typing import Any

from features.algebra import COUNT_MAX, EXACT_MAX, JUST_UNDER, UNKNOWN, Slot
from features.catalog import ENTITIES, SLOTS
from features.redis_codegen import texts
from features.redis_layout import head_format, head_size
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

LAYOUT = 6
"""Raised by hand when the Lua text or a hash changes what is stored; a changed plan changes it by itself."""

KINDS = ("payer", "pair", "payee", "device", "payee_key")
"""What is kept, one value an entity."""

_IDS = {"inflow": "payer", "outflow": "payee"}
"""Whose id a view reads by, where it is not its own name."""

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


@cache
def part_columns(part: str) -> slice:
    """The columns of a row of slots that a part answers."""
    places = [i for i, slot in enumerate(SLOTS) if slot.entity in VIEWS[part]]
    return slice(places[0], places[-1] + 1)


def _slots_kept(kind: str) -> list[Slot]:
    """Of every view that is read from what a kind keeps."""
    return [slot for slot in SLOTS if KEPT_AS.get(slot.entity, slot.entity) == kind]


def _levels(kind: str) -> list[Level]:
    """Those that the views of a kind read."""
    found = {WINDOWS[slot.window].level for slot in _slots_kept(kind) if slot.stat in _TILED}
    if _keeps(kind, "newcomers"):
        found |= {LEVELS[1], LEVELS[2]}
    if _keeps(kind, "run"):
        found |= {LEVELS[3]}
    return sorted(found, key=lambda level: level.number)


def _keeps(kind: str, stat: str) -> bool:
    return any(slot.stat == stat for slot in _slots_kept(kind))


def _level_plan(kind: str, level: Level) -> Plan:
    """A narrow tile keeps only what the level's windows tell, in few bytes; a wide one everything."""
    # Days since 1970 fit 16 bits until 2149; finer tiles need 32.
    size = 2 if level.grain == DAY else 4
    tiled = [slot for slot in _slots_kept(kind) if slot.stat in _TILED]
    mine = [slot for slot in tiled if WINDOWS[slot.window].level is level]
    told, nights = {slot.stat for slot in mine}, any(slot.night for slot in mine)
    squares, sums, largest = "squares" in told, bool(told & {"squares", "sum"}), "max" in told
    bins = _keeps(kind, "newcomers") and level in (LEVELS[1], LEVELS[2])
    narrow = {"c": 2, "d": 2 * nights, "sl": 4 * sums, "ql": 5 * squares, "index": size}
    wide = {"c": 5, "d": 5 * nights, "sl": 6, "sh": 2, "ql": 6, "qh": 4, "index": size}
    return {
        "grain": level.grain,
        "kept": level.keep // level.grain,
        "index": f"<I{size}",
        "index_size": size,
        **_form("narrow", narrow),
        "narrow_max": 4 * largest,
        **_form("wide", wide),
        "wide_max": 5 * largest,
        "bins": 8 * bins,
    }


def _form(name: str, sizes: dict[str, int]) -> Plan:
    """Running totals and the index of a tile, by their sizes in bytes; 0 is not kept."""
    kept = {field: size for field, size in sizes.items() if size}
    return {
        name: "<" + "".join(f"I{size}" for size in kept.values()),
        f"{name}_fields": list(kept),
        f"{name}_width": sum(kept.values()),
    }


def _kind_plan(kind: str) -> Plan:
    levels = _levels(kind)
    newcomers = _keeps(kind, "newcomers")
    return {
        "name": kind,
        "number": KINDS.index(kind) + 1,
        "head": head_format(len(levels)),
        "head_size": head_size(len(levels)),
        "levels": [_level_plan(kind, level) for level in levels],
        "sums": _keeps(kind, "sum") or _keeps(kind, "squares"),
        "squares": _keeps(kind, "squares"),
        "fine": levels.index(LEVELS[1]) + 1 if newcomers else None,
        "coarse": levels.index(LEVELS[2]) + 1 if newcomers else None,
        "days": levels.index(LEVELS[3]) + 1 if _keeps(kind, "run") else None,
        "parties": (_keeps(kind, "distinct") or _keeps(kind, "changed")) or None,
        "recent": _keeps(kind, "same") or None,
    }


def _window_plan(view: str, window: Window, delayed: bool) -> Plan | None:
    places = {stat: _position(Slot(view, stat, window.name, delayed)) for stat in _TILED}
    places["nights"] = _position(Slot(view, "count", window.name, delayed, night=True))
    if not any(places.values()):
        return None
    grain = window.level.grain  # divides every length, so that a window is a number of whole tiles
    since = None if window.since is None else window.since // grain
    day = None if since is None else DAY // grain
    shift = REPORT_DELAY // grain if delayed else 0
    return {"tiles": window.length // grain, "shift": shift, "since": since, "day": day, **places}


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
            if (plan := _window_plan(view, window, delayed))
        ]
        for level in _levels(kind)
    ]
    mine = slots_of(view)
    lengths = {
        stat: [{"length": WINDOWS[s.window].length, "at": _position(s)} for s in mine if s.stat == stat]
        for stat in ("distinct", "same", "under", "open", "confirmed")
    }
    return {
        "name": view,
        "number": ENTITIES.index(view) + 1,
        "kind": KINDS.index(kind) + 1,
        "id": _IDS.get(view, view),
        "from": SLOTS.index(mine[0]) + 1,
        "to": SLOTS.index(mine[-1]) + 1,
        "last": _position(Slot(view, "last")),
        "first": _position(Slot(view, "first")),
        "changed": _position(Slot(view, "changed")),
        "newcomers": _position(Slot(view, "newcomers", "1h")),
        "run": _position(Slot(view, "run")),
        "levels": levels,
        "distinct": lengths["distinct"] or None,
        "same": lengths["same"] or None,
        "under": lengths["under"] or None,
        "open": lengths["open"],
        "confirmed": lengths["confirmed"],
    }


def _part_plan(part: str) -> Plan:
    columns = part_columns(part)
    # The other account: the payee of a payer and of a key, the payer of all else.
    other = "to_payee" if part in ("payer", "payee_key") else "to_payer"
    applied = [view for view in VIEWS[part] if view not in KEPT_AS]
    return {
        "number": PARTS.index(part) + 1,
        "views": [ENTITIES.index(view) + 1 for view in VIEWS[part]],
        "applied": [ENTITIES.index(view) + 1 for view in applied],
        "labelled": KINDS.index(part) + 1,
        "other": other,
        "width": 8 * (columns.stop - columns.start),
    }


_KINDS = [_kind_plan(kind) for kind in KINDS]
_VIEWS = [_view_plan(view) for view in ENTITIES]
_PARTS = [_part_plan(part) for part in PARTS]

_CONSTANTS: Plan = {
    "RETENTION": RETENTION,
    "CP_CAP": COUNTERPARTY_CAP,
    "CP_KEEP": COUNTERPARTY_KEEP,
    "RECENT_CAP": RECENT_CAP,
    "RECENT_KEEP": RECENT_KEEP,
    "BINS": BINS,
    "NEWCOMER_AFTER": NEWCOMER_AFTER,
    "REPORT_DELAY": REPORT_DELAY,
    "FINE": LEVELS[1].grain,
    "FINE_KEPT": LEVELS[1].keep // LEVELS[1].grain,
    "COARSE": LEVELS[2].grain,
    "COARSE_KEPT": LEVELS[2].keep // LEVELS[2].grain,
    "RING_SIZE": RING_SIZE,
    "COUNT_MAX": int(COUNT_MAX),
    "EXACT_MAX": int(EXACT_MAX),
    "UNKNOWN": int(UNKNOWN),
    "LOCAL_OFFSET": LOCAL_OFFSET,
    "NIGHT_FROM": NIGHT_FROM,
    "NIGHT_TO": NIGHT_TO,
    "JUST_UNDER": " or ".join(f"x >= {low} and x <= {high}" for low, high in JUST_UNDER),
}


def _plan() -> str:
    """The plan's tables, for what is not written out."""
    return f"""local planned
local function plan()
  planned = planned or {_lua({"kinds": _KINDS, "parts": _PARTS})}
  return planned
end"""


_CONSTANT = re.compile(r"^local ([A-Z_, ]+) = ([^{}()]+?)(?: --.*)?$\n", re.MULTILINE)


def folded(text: str) -> str:
    """The text with its constants (and ours) in place of their names: a name would be made at every call."""
    constants = {name: str(value) for name, value in _CONSTANTS.items()}
    for names, values in _CONSTANT.findall(text):
        constants |= dict(zip(names.split(", "), values.split(", "), strict=True))
    known = re.compile(rf"\b({'|'.join(constants)})\b")
    return known.sub(lambda name: constants[name[0]], _CONSTANT.sub("", text))


_NUMBER = re.compile(r"I([124])(?![0-9])")
_FORMAT = re.compile(r"'<[^'\\]*'")


def native(text: str) -> str:
    """Fields of 1, 2 and 4 bytes by the letters that have no length behind them, which is quicker to read."""
    letters = {"1": "B", "2": "H", "4": "I"}
    return _FORMAT.sub(lambda found: _NUMBER.sub(lambda size: letters[size[1]], found[0]), text)


def _script() -> str:
    text = files("features").joinpath("redis_state.lua").read_text()
    for name, lines in {"plan": _plan(), **texts(_KINDS, _VIEWS, _PARTS)}.items():
        assert f"-- ({name})\n" in text, name
        text = text.replace(f"-- ({name})\n", lines + "\n")
    return native(folded(text))


SCRIPT = _script()
LAYOUT_VERSION = hashlib.sha256(f"{LAYOUT}\n{_KINDS}\n{_VIEWS}\n{_PARTS}\n{_CONSTANTS}".encode()).hexdigest()[
    :8
]
