"""Lua that answers a view of an entity: loops over windows and levels unrolled, constants folded."""

import struct
from collections.abc import Iterator, Sequence

from features.algebra import UNKNOWN
from features.redis_layout import (
    NARROW,
    Plan,
    entity_totals,
    head_locals,
    level_places,
    numbered,
    tile_fields,
    tile_format,
    tile_of,
)

Report = tuple[str, int]
"""Status and length of a window in which reports are counted."""

REPORT_STATUSES = ("open", "confirmed")


def none_row(view: Plan) -> str:
    """What is answered of an entity that there is not."""
    slots = range(view["from"], view["to"] + 1)
    row = struct.pack(f"<{len(slots)}d", *(UNKNOWN if at in _unknown(view) else 0.0 for at in slots))
    return "'" + "".join(f"\\{byte:03d}" for byte in row) + "'"


def _unknown(view: Plan) -> set[int]:
    """The slots for which there is a word for nothing known; the others are 0 then."""
    return {view[name] for name in ("last", "first", "changed") if view[name]}


def reader(view: Plan, kind: Plan, form: str) -> str:
    """function(value, ...) -> the view's row"""
    lines = [
        "function(v, t, amount, cp)",
        head_locals(len(kind["levels"])),
        *level_places(kind, form),
        *packed_row(view, kind, form, []),
        "return row",
        "end",
    ]
    return "\n".join(lines)


def packed_row(view: Plan, kind: Plan, form: str, reports: Sequence[Report]) -> Iterator[str]:
    """Local `row`: what is answered, packed."""
    slots = range(view["from"], view["to"] + 1)
    outs = ",".join(f"o{at}" for at in slots)
    unknown = _unknown(view)
    yield "local row"
    yield "do"
    yield f"local {outs} = {','.join('UNKNOWN' if at in unknown else '0' for at in slots)}"
    yield "if N > 0 and t - N <= RETENTION then"
    yield from _seen(view, kind, form)
    yield "end"
    yield from _reports(view, reports)
    yield f"row = sp('<{'d' * len(slots)}', {outs})"
    yield "end"


def _seen(view: Plan, kind: Plan, form: str) -> Iterator[str]:
    if view["last"]:
        yield f"o{view['last']} = N"
    if view["first"]:
        yield f"o{view['first']} = F"
    if view["changed"]:
        yield f"o{view['changed']} = sub(v, reports - 5, reports) == cp and 0 or 1"
    for i, level in enumerate(kind["levels"], 1):
        if view["levels"][i - 1]:
            yield from _level(i, level, view["levels"][i - 1], form)
    longest_first = sorted(view["distinct"] or (), key=lambda slot: -int(slot["length"]))
    if longest_first:
        yield "local old = 0"
    for slot in longest_first:
        yield f"if t - {slot['length']} < N then"
        yield f"old = not_after(v, cps, nc, N, t - {slot['length']}, old)"
        yield f"o{slot['at']} = nc - old"
        yield "end"
    if view["newcomers"]:
        i, j = kind["fine"], kind["coarse"]
        grain = kind["levels"][i - 1]["grain"]
        yield f"if (t - HOUR) - (t - HOUR) % {grain} < N - N % {grain} then"
        places = ", ".join(_binned(kind["levels"][at - 1], form, at) for at in (i, j))
        call = f"slowly().newcomers(v, t, N, {places})"
        yield f"o{view['newcomers']} = {call}"
        yield "end"
    yield from _recent(view)
    if view["run"]:
        yield "if nr > 0 then"
        yield f"o{view['run']} = {_run(kind, form)}"
        yield "end"


def _run(kind: Plan, form: str) -> str:
    i = kind["days"]
    level = kind["levels"][i - 1]
    count = f"'<{tile_format(level, form)[:2]}'"  # of a tile's totals the first
    tiles = f"'{level['index']}', {level['index_size']}, {count}, {level[f'{form}_width']}, {level['kept']}"
    return f"slowly().reported_run(v, t, N, M, C, {tiles}, a{i}, n{i}, reports, recent)"


def _binned(level: Plan, form: str, i: int) -> str:
    """Width of a tile, where tiles begin, where bins begin, how many."""
    width = level[f"{form}_width"]
    return f"{width}, a{i}, a{i} + n{i} * {width + level[f'{form}_max']}, n{i}"


def _recent(view: Plan) -> Iterator[str]:
    for same in view["same"] or ():
        under = [slot for slot in view["under"] or () if slot["length"] == same["length"]]
        yield f"if t - {same['length']} < N then"
        targets = ", ".join(f"o{slot['at']}" for slot in (same, *under))
        yield f"{targets} = like_amounts(v, recent, nx, N, t - {same['length']}, t, amount)"
        yield "end"


def _reports(view: Plan, reports: Sequence[Report]) -> Iterator[str]:
    asked = {(status, slot["length"]): slot["at"] for status in REPORT_STATUSES for slot in view[status]}
    if not asked:
        return
    outs = ",".join(f"o{asked[report]}" if report in asked else "_" for report in reports)
    yield "if nr > 0 then"
    yield f"{outs} = reported_counts(v, reports, recent, N > M and N or M, t)"
    yield "end"


def reports_of(views: Sequence[Plan]) -> list[Report]:
    """All that are asked for, the longest of a status first."""
    return [
        (status, length)
        for status in REPORT_STATUSES
        for length in sorted({slot["length"] for view in views for slot in view[status]}, reverse=True)
    ]


def reported_counts(reports: Sequence[Report]) -> Iterator[str]:
    """For each window, the standing reports between from and to that became so in it."""
    counts = numbered("x", len(reports))
    yield "local function reported_counts(v, from, to, newest, t)"
    yield f"local kept, {','.join(counts)} = newest - RETENTION, {','.join('0' * len(counts))}"
    yield "for at = from + 9, to, REPORT_SIZE do"
    yield "local open, confirmed, final = su('<I6I6I6', v, at)"
    yield "if final == 0 or final <= kept then"
    for status in REPORT_STATUSES:
        mine = [(length, x) for (of, length), x in zip(reports, counts, strict=True) if of == status]
        yield f"if {status} > 0 and {status} > kept and {status} <= t then"
        for length, x in mine:
            yield f"if {status} > t - {length} then {x} = {x} + 1"
        yield "end " * (len(mine) + 1)
    yield "end"
    yield "end"
    yield f"return {','.join(counts)}"
    yield "end"


def _level(i: int, level: Plan, windows: Sequence[Plan], form: str) -> Iterator[str]:
    """Each window is the difference of two running totals. These are sought once for each tile at which a
    window begins or ends, from the newest back; the present's need no search."""
    fixed = [w for w in windows if w["since"] is None]
    ends = sorted({w["shift"] for w in fixed} - {0})
    offsets = sorted({w["shift"] + w["tiles"] for w in fixed} | set(ends))
    reach = max([*offsets, *(w["day"] for w in windows if w["since"] is not None)])
    names = tile_fields(level, form)
    width, size = level[f"{form}_width"], level["index_size"]
    yield "do"
    yield f"local now = {tile_of('t', level)}"
    yield f"local last = {tile_of('N', level)}"
    yield f"local kept = last - {level['kept']}"
    yield f"if last > now - {reach} then"
    yield f"local p, at, {','.join(names)} = n{i} + 1, last, {','.join(entity_totals(level, form))}"
    fs = ",".join(f"f{name}" for name in names)
    yield f"local {fs}, first = su('<{tile_format(level, form)}', v, a{i} + 1)"
    yield f"local base, low = a{i} + {1 - size - width}"
    seek = list(_seek(level, form, names))
    yield "if now < last then low = now"
    yield from seek
    yield "end"
    yield from _mark(0, names)
    for window in windows:
        if window["since"] is not None:
            yield "do"
            yield f"local p, at, {','.join(names)} = p, at, {','.join(names)}"
            yield f"low = now - (now - {window['since']}) % {window['day']} - 1"
            yield from seek
            yield from _outputs(i, level, window, form)
            yield "end"
    for offset in offsets:
        yield f"low = now - {offset}"
        yield from seek
        if offset in ends:
            yield from _mark(offset, names)
        for window in fixed:
            if window["shift"] + window["tiles"] == offset:
                yield from _outputs(i, level, window, form)
    yield "end"
    yield "end"


def _mark(offset: int, names: Sequence[str]) -> Iterator[str]:
    kept = ["p", *names]
    yield f"local {','.join(f'{name}{offset}' for name in kept)} = {','.join(kept)}"


def _seek(level: Plan, form: str, names: Sequence[str]) -> Iterator[str]:
    """Go back to the first tile behind `low`: p its position, the totals at its begin, `at` the index of the
    tile before it. Tiles are near evenly spread, so a proportional guess is mostly a step or two off. A
    tile's index comes last, so that it and the one before are read in one go."""
    width = level[f"{form}_width"]
    format_ = f"{level['index']}{tile_format(level, form)}"
    read = f"at,{','.join(names)},index = su('{format_}', v, base + p * {width})"
    yield "if low < kept then low = kept end"
    yield "if at > low then"
    yield f"if first > low then p, at, {','.join(names)} = 1, -1, {','.join(f'f{name}' for name in names)}"
    yield "else"
    yield "local y = (p - 2) * (at - low - 1) / (at - first)"
    yield "p = p - 1 - (y - y % 1)"
    yield f"local index; {read}"
    yield f"while at > low do p = p - 1; {read} end"
    yield f"while index <= low do p = p + 1; {read} end"
    yield "end"
    yield "end"


def _outputs(i: int, level: Plan, window: Plan, form: str) -> Iterator[str]:
    end = window["shift"]
    for stat, name in (("count", "c"), ("nights", "d")):
        if window[stat]:
            count = f"{name}{end} - {name}"
            yield f"o{window[stat]} = {count if form == NARROW else f'least({count}, COUNT_MAX)'}"
    for stat, low, high in (("sum", "sl", "sh"), ("squares", "ql", "qh")):
        if window[stat]:
            exact = f"{low}{end} - {low}"
            whole = f"saturated({high}{end} - {high}, {exact})"
            yield f"o{window[stat]} = {exact if form == NARROW else whole}"
    if window["max"]:
        width, size = level[f"{form}_width"], level[f"{form}_max"]
        maxima = f"largest(v, a{i} + n{i} * {width}, {size}, p - 1, p{end} - 1)"
        yield f"if p < p{end} then o{window['max']} = {maxima} end"
