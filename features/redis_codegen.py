"""Lua written out for the catalog: for each view how it is read, for each kind how a payment is added.

Loops over windows and levels are unrolled and constants folded, which halves what Redis spends on an event
(docs/adr/0003). The functions come in two forms, as an entity's tiles are narrow or wide; both lean on the
helpers that `redis_state.lua` has above the line where this text is put in. The layout is told there too.
"""

import struct
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from features.aggregates import UNKNOWN
from features.windows import HOUR

Plan = dict[str, Any]
Report = tuple[str, int]
"""Status and length of a window in which reports are counted."""

REPORT_STATUSES = ("open", "confirmed")

HEAD = "I1I6I6I1I1I4I5I6I6I5"
"""Form, newest, first time, numbers of counterparties, of latest payments and of reports; payments, their sum
and squares (low halves), payments at night. Then the number of tiles of each level, I2 each."""
TAIL = "I2I4I6I6I6"
"""High halves of sum and squares; newest and first time of the life before; newest report."""
BRIEF = 3 * HOUR
"""Levels that are kept no longer than this are mostly all dropped when the next payment comes."""

HEAD_SIZE, TAIL_SIZE = 41, 24
"""In bytes."""

_NARROW, _WIDE = "narrow", "wide"
FORMS = (_NARROW, _WIDE)


def head_format(levels: int) -> str:
    return f"<{HEAD}{'I2' * levels}{TAIL}"


def head_size(levels: int) -> int:
    return HEAD_SIZE + 2 * levels + TAIL_SIZE


def texts(kinds: Sequence[Plan], views: Sequence[Plan], parts: Sequence[Plan]) -> dict[str, str]:
    """What `redis_state.lua` has a line `-- (name)` for, by name."""
    unread = [_if_asked(part, _answer(part, _none_read(part))) for part in parts]
    return {
        "functions": "\n".join(_makers(kinds, views)),
        "before the entries": "\n".join(_before(parts)),
        "read and apply": "\n".join(_read_and_apply(parts, views, kinds)),
        "answer without reading": "\n".join(line for lines in unread for line in lines),
    }


def _makers(kinds: Sequence[Plan], views: Sequence[Plan]) -> Iterator[str]:
    """TAKE by twice the kind's number and READ by twice the view's, one more for the wide form, BEGIN by the
    kind's; each function is made by `taker`, `reader` or `beginner` when a call first needs it."""
    reports = _reports_of(views)
    main = [next(view for view in views if view["name"] == kind["name"]) for kind in kinds]
    takers = {2 * kind["number"] + i: _taker(view, kind, form, reports)
              for view, kind in zip(main, kinds, strict=True) for i, form in enumerate(FORMS)}  # fmt: skip
    readers = {2 * view["number"] + i: _reader(view, kinds[view["kind"] - 1], form)
               for view in views if view not in main for i, form in enumerate(FORMS)}  # fmt: skip
    begins = {kind["number"]: _beginner(kind) for kind in kinds}
    yield from _reported(reports)
    yield from _maker("beginner", "BEGIN", begins)
    yield from _maker("taker", "TAKE", takers)
    yield from _maker("reader", "READ", readers)


def _lua_table(item: str, n: int) -> str:
    return f"{{{', '.join([item] * n)}}}"


def _maker(name: str, table: str, functions: dict[int, str]) -> Iterator[str]:
    yield f"local {table} = {_lua_table('false', max(functions))}"  # as long as it gets: to grow is slow
    yield f"local function {name}(n)"
    word = "if"
    for n, text in functions.items():
        yield f"{word} n == {n} then {table}[n] = {text}"
        word = "elseif"
    yield "end"
    yield f"return {table}[n]"
    yield "end"


def _before(parts: Sequence[Plan]) -> Iterator[str]:
    yield "local prefix = ARGV[1]"
    yield f"local answers = {{{', '.join('{}' for _ in parts)}}}"
    for part in parts:
        yield f"local answers{part['number']}, answered{part['number']} = answers[{part['number']}], 0"


def _if_asked(part: Plan, lines: Iterable[str]) -> list[str]:
    bit = 2 ** (part["number"] - 1)
    return [f"if parts % {2 * bit} >= {bit} then", *lines, "end"]


def _none_read(part: Plan) -> str:
    """The row that an earlier call answered, else zeros."""
    return f"rows and rows[{part['number']}] or rep('\\0', {part['width']})"


def _answer(part: Plan, row: str) -> Iterator[str]:
    k = part["number"]
    yield f"answered{k} = answered{k} + 1"
    yield f"answers{k}[answered{k}] = {row}"


def _read_and_apply(parts: Sequence[Plan], views: Sequence[Plan], kinds: Sequence[Plan]) -> Iterator[str]:
    """First what is only read, the other side of an account: an account may pay itself."""
    only_read = [n for part in parts for n in part["views"] if n not in part["applied"]]
    yield f"local key, v, form, row, {', '.join(f'row{n}' for n in only_read)}"
    for part in parts:
        read = [line for n in part["views"] if n in only_read for line in _read(part, views[n - 1], kinds)]
        if read:
            yield from _if_asked(part, read)
    for part in parts:
        lines = [line for n in part["applied"] for line in _take(part, views[n - 1], kinds)]
        for n in part["views"]:
            if n in only_read:
                lines += _told(part, f"row{n}")
        yield from _if_asked(part, lines)


def _fetch(view: Plan, kinds: Sequence[Plan]) -> Iterator[str]:
    yield f"key = prefix .. '{kinds[view['kind'] - 1]['name']}:' .. {view['id']}"
    yield "v = values[key]"
    yield "if v == nil then v = call('GET', key); values[key] = v end"


def _told(part: Plan, row: str) -> Iterator[str]:
    """A row goes to its part's answers and to the log."""
    yield from _answer(part, row)
    yield "n = n + 1"
    yield f"log[n] = {row}"


def _read(part: Plan, view: Plan, kinds: Sequence[Plan]) -> Iterator[str]:
    yield from _fetch(view, kinds)
    yield f"if v then form = {2 * view['number']} + byte(v)"
    yield f"row{view['number']} = (READ[form] or reader(form))(v, t, amount, {part['other']})"
    yield f"else row{view['number']} = {_none(view)} end"


def _take(part: Plan, view: Plan, kinds: Sequence[Plan]) -> Iterator[str]:
    kind, given = view["kind"], f"t, amount, ql, qh, {part['other']}, night"
    yield from _fetch(view, kinds)
    yield f"if v then form = {2 * kind} + byte(v)"
    yield f"row, v = (TAKE[form] or taker(form))(v, {given}, take)"
    yield "else"
    yield f"row = {_none(view)}"
    yield f"if take then v = (BEGIN[{kind}] or beginner({kind}))({given}) end"
    yield "end"
    yield "if take then values[key], changed[key] = v, v end"
    yield from _told(part, "row")


def _none(view: Plan) -> str:
    """What is answered of an entity that there is not."""
    slots = range(view["from"], view["to"] + 1)
    row = struct.pack(f"<{len(slots)}d", *(UNKNOWN if at in _unknown(view) else 0.0 for at in slots))
    return "'" + "".join(f"\\{byte:03d}" for byte in row) + "'"


def _unknown(view: Plan) -> set[int]:
    """The slots for which there is a word for nothing known; the others are 0 then."""
    return {view[name] for name in ("last", "first", "changed") if view[name]}


def _names(prefix: str, n: int) -> list[str]:
    return [f"{prefix}{i}" for i in range(1, n + 1)]


def _tile_of(time: str, level: Plan) -> str:
    """The index of its tile, exact; without a call of floor."""
    return f"({time} - {time} % {level['grain']}) / {level['grain']}"


def _fields(level: Plan, form: str) -> list[str]:
    """The running totals that a tile of the level holds in front of its index."""
    return [name for name in level[f"{form}_fields"] if name != "index"]


def _totals(level: Plan, form: str) -> list[str]:
    """The entity's own, in the same order."""
    return [name.upper() for name in _fields(level, form)]


def _tile_format(level: Plan, form: str) -> str:
    return str(level[form][1:])


def _head_locals(levels: int) -> str:
    numbers = [
        "_",
        "N",
        "F",
        "nc",
        "nx",
        "nr",
        "C",
        "SL",
        "QL",
        "D",
        *_names("n", levels),
        "SH",
        "QH",
        "PN",
        "PF",
        "M",
    ]
    return f"local {','.join(numbers)} = su('{head_format(levels)}', v)"


def _places(kind: Plan, form: str) -> Iterator[str]:
    """Locals: where each level begins (zero-based), then the counterparties, reports, latest payments."""
    yield f"local a1 = {kind['head_size']}"
    for i, level in enumerate(kind["levels"], 1):
        size = level[f"{form}_width"] + level[f"{form}_max"] + level["bins"]
        yield f"local {_after(kind, i)} = a{i} + n{i} * {size}"
    yield "local reports = cps + nc * CP_SIZE"
    yield "local recent = reports + nr * REPORT_SIZE"


def _after(kind: Plan, i: int) -> str:
    return "cps" if i == len(kind["levels"]) else f"a{i + 1}"


# Reading.


def _reader(view: Plan, kind: Plan, form: str) -> str:
    """function(value, ...) -> the view's row"""
    lines = [
        "function(v, t, amount, cp)",
        _head_locals(len(kind["levels"])),
        *_places(kind, form),
        *_row(view, kind, form, []),
        "return row",
        "end",
    ]
    return "\n".join(lines)


def _row(view: Plan, kind: Plan, form: str, reports: Sequence[Report]) -> Iterator[str]:
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
    yield f"{outs} = reported(v, reports, recent, N > M and N or M, t)"
    yield "end"


def _reports_of(views: Sequence[Plan]) -> list[Report]:
    """All that are asked for, the longest of a status first."""
    return [
        (status, length)
        for status in REPORT_STATUSES
        for length in sorted({slot["length"] for view in views for slot in view[status]}, reverse=True)
    ]


def _reported(reports: Sequence[Report]) -> Iterator[str]:
    """For each window, the standing reports between from and to that became so in it."""
    counts = _names("x", len(reports))
    yield "local function reported(v, from, to, newest, t)"
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
    names = _fields(level, form)
    width, size = level[f"{form}_width"], level["index_size"]
    yield "do"
    yield f"local now = {_tile_of('t', level)}"
    yield f"local last = {_tile_of('N', level)}"
    yield f"local kept = last - {level['kept']}"
    yield f"if last > now - {reach} then"
    yield f"local p, at, {','.join(names)} = n{i} + 1, last, {','.join(_totals(level, form))}"
    fs = ",".join(f"f{name}" for name in names)
    yield f"local {fs}, first = su('<{_tile_format(level, form)}', v, a{i} + 1)"
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
    format_ = f"{level['index']}{_tile_format(level, form)}"
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
            yield f"o{window[stat]} = {count if form == _NARROW else f'least({count}, COUNT_MAX)'}"
    for stat, low, high in (("sum", "sl", "sh"), ("squares", "ql", "qh")):
        if window[stat]:
            exact = f"{low}{end} - {low}"
            whole = f"saturated({high}{end} - {high}, {exact})"
            yield f"o{window[stat]} = {exact if form == _NARROW else whole}"
    if window["max"]:
        width, size = level[f"{form}_width"], level[f"{form}_max"]
        maxima = f"largest(v, a{i} + n{i} * {width}, {size}, p - 1, p{end} - 1)"
        yield f"if p < p{end} then o{window['max']} = {maxima} end"


# Adding.


def _taker(view: Plan, kind: Plan, form: str, reports: Sequence[Report]) -> str:
    """function(value, ...) -> the view's row, the value with this payment if it is to take it"""
    levels, number, ends = kind["levels"], kind["number"], kind["head_size"] - 18
    grain = levels[0]["grain"]
    pieces = [name for i, level in enumerate(levels, 1) for name in _piece_names(i, level, form)]
    lines = [
        "function(v, t, amount, ql, qh, cp, night, take)",
        _head_locals(len(levels)),
        *_places(kind, form),
        *_row(view, kind, form, reports),
        "if not take then return row end",
        "if t > N + RETENTION and N > 0 and nr == 0 then",
        f"local fresh = (BEGIN[{number}] or beginner({number}))(t, amount, ql, qh, cp, night)",
        # a new life, with the ends of the one before and its newest report
        f"return row, sub(fresh, 1, {ends}) .. sp('<I6I6I6', N, F, M) .. sub(fresh, {kind['head_size'] + 1})",
        "end",
        f"if t - t % {grain} < N - N % {grain} or N == 0 or t > N + RETENTION",
        "or PN > 0 and t - PN <= RETENTION",
        *_outgrown(kind, form),
        f"then return row, slowly().add(plan().kinds[{number}], v, t, amount, ql, qh, cp, night) end",
        f"local {','.join(pieces)}",
        "local newest = t > N and t or N",
        *_tail(kind),
    ]
    brief = [i for i, level in enumerate(levels, 1) if level["kept"] * level["grain"] <= BRIEF]
    long = [i for i in range(1, len(levels) + 1) if i not in brief]
    for i in long:
        lines += _piece(i, levels[i - 1], _after(kind, i), form)
    if form == _NARROW:
        lines += _renewed(kind, brief, long)
    for i in brief:
        lines += _piece(i, levels[i - 1], _after(kind, i), form)
    if form == _WIDE:
        for low, high, x, y in _carried(kind):
            lines.append(f"{low},{high} = carry({low} + {x}, {high} + {y})")
    lines += [
        f"return row, sp('{kind['head']}', {', '.join(_head_values(kind, form, _names('n', len(levels))))})",
        f".. {' .. '.join([*pieces, *_tail_names(kind)])}",
        "end",
    ]
    return "\n".join(lines)


def _carried(kind: Plan) -> list[tuple[str, str, str, str]]:
    """Low and high half of a total, and of what is added to it."""
    return [("SL", "SH", "amount", "0")] * kind["sums"] + [("QL", "QH", "ql", "qh")] * kind["squares"]


def _head_values(kind: Plan, form: str, tiles: Sequence[str]) -> list[str]:
    sums = "SL + amount" if form == _NARROW and kind["sums"] else "SL"
    squares = "QL + ql" if form == _NARROW and kind["squares"] else "QL"
    return [
        *(str(FORMS.index(form)), "newest", "t < F and t or F", "nc", "nx", "nr"),
        *("C + 1", sums, squares, "D + night", *tiles, "SH", "QH", "PN", "PF", "M"),
    ]


def _tail(kind: Plan) -> Iterator[str]:
    """What lies behind the tiles, in the pieces that `_tail_names` names."""
    if kind["parties"]:
        yield "local parties, others, mine = with_counterparty(v, cps, nc, newest, t, cp)"
        yield "nc = (#parties + #others + #mine) / CP_SIZE"
    yield "local standing = ''"
    yield "if nr > 0 then"
    yield "standing = standing_reports(v, reports, recent, newest > M and newest or M)"
    yield "nr = #standing / REPORT_SIZE"
    yield "end"
    if kind["recent"]:
        yield "local latest, this = with_recent(v, recent, nx, newest, t, amount)"
        yield "nx = (#latest + #this) / RECENT_SIZE"


def _tail_names(kind: Plan) -> list[str]:
    parties, recent = bool(kind["parties"]), bool(kind["recent"])
    return ["parties", "others", "mine"] * parties + ["standing"] + ["latest", "this"] * recent


def _renewed(kind: Plan, brief: Sequence[int], long: Sequence[int]) -> Iterator[str]:
    """After a pause nothing is left of the brief levels but the tile that begins: packed with the head."""
    levels, n = kind["levels"], len(kind["levels"])
    longest = levels[brief[-1] - 1]
    formats, values = str(kind["head"]), []
    for level in (levels[i - 1] for i in brief):
        formats += _tile_format(level, _NARROW) + "c8" * bool(level["bins"])
        values += [*_totals(level, _NARROW), _tile_of("t", level)] + ["bin_of(cp)"] * bool(level["bins"])
    tiles = ["1" if i in brief else f"n{i}" for i in range(1, n + 1)]
    pieces = [name for i in long for name in _piece_names(i, levels[i - 1], _NARROW)]
    yield f"if {_tile_of('t', longest)} - {longest['kept']} >= {_tile_of('N', longest)} then"
    yield f"return row, sp('{formats}', {', '.join([*_head_values(kind, _NARROW, tiles), *values])})"
    yield f".. {' .. '.join([*pieces, *_tail_names(kind)])}"
    yield "end"


def _outgrown(kind: Plan, form: str) -> Iterator[str]:
    if form == _WIDE:
        return
    yield "or C + 1 >= NARROW_COUNT or amount >= NARROW_SUM"
    if kind["sums"]:
        yield "or SL + amount >= NARROW_SUM"
    if kind["squares"]:
        yield "or QL + ql >= NARROW_SQUARES or qh > 0"


def _piece(i: int, level: Plan, after: str, form: str) -> Iterator[str]:
    """A level with this payment in it: in its last tile, or in a new one."""
    width, size = level[f"{form}_width"], level["index_size"]
    largest, bins = level[f"{form}_max"], level["bins"]
    index = f"su('{level['index']}', v, a{i} + DROP * {width} + {width - size + 1})"
    yield "do"
    yield f"local is = {_tile_of('t', level)}"
    yield f"local was = {_tile_of('N', level)}"
    yield "if is > was then"
    yield f"local drop, kept = 0, is - {level['kept']}"
    yield f"if was <= kept then drop = n{i} else"
    yield f"while {index.replace('DROP', 'drop')} <= kept do drop = drop + 1 end"
    yield "end"
    names = _piece_names(i, level, form)
    pieces = [
        f"sub(v, a{i} + drop * {width} + 1, a{i} + n{i} * {width})",
        f"sp('<{_tile_format(level, form)}', {','.join(_totals(level, form))}, is)",
    ]
    if largest:
        at = f"a{i} + n{i} * {width}"
        pieces += [f"sub(v, {at} + drop * {largest} + 1, {at} + n{i} * {largest})",
                   f"sp('<I{largest}', amount + BIAS)"]  # fmt: skip
    if bins:
        at = f"a{i} + n{i} * {width + largest}"
        pieces += [f"sub(v, {at} + drop * 8 + 1, {at} + n{i} * 8)", "bin_of(cp)"]
    yield f"{', '.join(names)} = {', '.join(pieces)}"
    yield f"n{i} = n{i} - drop + 1"
    yield "else"
    empty = ["''"] * (len(names) - 1)
    yield f"{', '.join(names)} = {', '.join([f'sub(v, a{i} + 1, {after})', *empty])}"
    if largest:
        at = f"n{i} * {width + largest} - {largest - 1}"
        yield f"{names[0]} = raised({names[0]}, {at}, {largest}, amount)"
    if bins:
        yield f"{names[0]} = marked({names[0]}, n{i} * {width + largest + 8} - 7, cp)"
    yield "end"
    yield "end"


def _piece_names(i: int, level: Plan, form: str) -> list[str]:
    """The locals that hold a level anew: its tiles, maxima, bins, of each the old ones and the last."""
    return _names(f"s{i}_", 2 * (1 + bool(level[f"{form}_max"]) + bool(level["bins"])))


def _beginner(kind: Plan) -> str:
    """The value of an entity that has this payment alone."""
    levels = kind["levels"]
    formats, values = kind["head"], []
    for level in levels:
        zeros = len(_fields(level, _NARROW))
        formats += _tile_format(level, _NARROW) + f"I{level['narrow_max']}" * bool(level["narrow_max"])
        values += ["0"] * zeros + [_tile_of("t", level)]
        if level["narrow_max"]:
            values.append("amount + BIAS")
        if level["bins"]:
            formats += "c8"
            values.append("bin_of(cp)")
    head = ["0", "t", "t", str(int(bool(kind["parties"]))), str(int(bool(kind["recent"]))), "0", "1"]
    head += ["amount" if kind["sums"] else "0", "ql" if kind["squares"] else "0", "night"]
    head += ["1"] * len(levels) + ["0"] * 5
    pieces = [f"sp('{formats}', {', '.join([*head, *values])})"]
    if kind["parties"]:
        pieces.append("sp('<I6', t) .. cp")
    if kind["recent"]:
        pieces.append("sp(RECENT, t, amount)")
    return "\n".join(
        [
            "function(t, amount, ql, qh, cp, night)",
            "if amount >= NARROW_SUM or ql >= NARROW_SQUARES or qh > 0 then",
            f"return slowly().add(plan().kinds[{kind['number']}], nil, t, amount, ql, qh, cp, night)",
            "end",
            f"return {' .. '.join(pieces)}",
            "end",
        ]
    )
