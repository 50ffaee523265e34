"""Lua that reads an entity and adds a payment to it in one go, or begins one. Late payments, lives begun with
reports and totals that outgrow their field go to `slowly().add`, by hand in `redis_state.lua`."""

from collections.abc import Iterator, Sequence

from features.redis_layout import (
    FORMS,
    NARROW,
    WIDE,
    Plan,
    entity_totals,
    head_locals,
    level_places,
    numbered,
    place_after,
    tile_fields,
    tile_format,
    tile_of,
)
from features.redis_reading import Report, packed_row
from features.windows import HOUR

BRIEF = 3 * HOUR
"""Levels that are kept no longer than this are mostly all dropped when the next payment comes."""


def taker(view: Plan, kind: Plan, form: str, reports: Sequence[Report]) -> str:
    """function(value, ...) -> the view's row, the value with this payment if it is to take it"""
    levels, number, ends = kind["levels"], kind["number"], kind["head_size"] - 18
    grain = levels[0]["grain"]
    pieces = [name for i, level in enumerate(levels, 1) for name in _piece_names(i, level, form)]
    lines = [
        "function(v, t, amount, ql, qh, cp, night, take)",
        head_locals(len(levels)),
        *level_places(kind, form),
        *packed_row(view, kind, form, reports),
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
        lines += _piece(i, levels[i - 1], place_after(kind, i), form)
    if form == NARROW:
        lines += _renewed(kind, brief, long)
    for i in brief:
        lines += _piece(i, levels[i - 1], place_after(kind, i), form)
    if form == WIDE:
        for low, high, x, y in _carried(kind):
            lines.append(f"{low},{high} = carry({low} + {x}, {high} + {y})")
    head = _head_values(kind, form, numbered("n", len(levels)))
    lines += [
        f"return row, sp('{kind['head']}', {', '.join(head)})",
        f".. {' .. '.join([*pieces, *_tail_names(kind)])}",
        "end",
    ]
    return "\n".join(lines)


def _carried(kind: Plan) -> list[tuple[str, str, str, str]]:
    """Low and high half of a total, and of what is added to it."""
    return [("SL", "SH", "amount", "0")] * kind["sums"] + [("QL", "QH", "ql", "qh")] * kind["squares"]


def _head_values(kind: Plan, form: str, tiles: Sequence[str]) -> list[str]:
    sums = "SL + amount" if form == NARROW and kind["sums"] else "SL"
    squares = "QL + ql" if form == NARROW and kind["squares"] else "QL"
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
        formats += tile_format(level, NARROW) + "c8" * bool(level["bins"])
        values += [*entity_totals(level, NARROW), tile_of("t", level)] + ["bin_of(cp)"] * bool(level["bins"])
    tiles = ["1" if i in brief else f"n{i}" for i in range(1, n + 1)]
    pieces = [name for i in long for name in _piece_names(i, levels[i - 1], NARROW)]
    yield f"if {tile_of('t', longest)} - {longest['kept']} >= {tile_of('N', longest)} then"
    yield f"return row, sp('{formats}', {', '.join([*_head_values(kind, NARROW, tiles), *values])})"
    yield f".. {' .. '.join([*pieces, *_tail_names(kind)])}"
    yield "end"


def _outgrown(kind: Plan, form: str) -> Iterator[str]:
    if form == WIDE:
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
    yield f"local is = {tile_of('t', level)}"
    yield f"local was = {tile_of('N', level)}"
    yield "if is > was then"
    yield f"local drop, kept = 0, is - {level['kept']}"
    yield f"if was <= kept then drop = n{i} else"
    yield f"while {index.replace('DROP', 'drop')} <= kept do drop = drop + 1 end"
    yield "end"
    names = _piece_names(i, level, form)
    pieces = [
        f"sub(v, a{i} + drop * {width} + 1, a{i} + n{i} * {width})",
        f"sp('<{tile_format(level, form)}', {','.join(entity_totals(level, form))}, is)",
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
    return numbered(f"s{i}_", 2 * (1 + bool(level[f"{form}_max"]) + bool(level["bins"])))


def beginner(kind: Plan) -> str:
    """The value of an entity that has this payment alone."""
    levels = kind["levels"]
    formats, values = kind["head"], []
    for level in levels:
        zeros = len(tile_fields(level, NARROW))
        formats += tile_format(level, NARROW) + f"I{level['narrow_max']}" * bool(level["narrow_max"])
        values += ["0"] * zeros + [tile_of("t", level)]
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
