"""Lua written out for the catalog, put into `redis_state.lua` by `redis_plan`: what is done with an entry,
and the functions for each view and kind, made when a call first needs them.

They come in two forms, as an entity's tiles are narrow or wide, and lean on the helpers above the line where
they are put in. Written out they cost Redis half of what walking the plan did (docs/adr/0003).
"""

from collections.abc import Iterable, Iterator, Sequence

from features.redis_adding import beginner, taker
from features.redis_layout import FORMS, Plan
from features.redis_reading import none_row, reader, reported_counts, reports_of


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
    reports = reports_of(views)
    main = [next(view for view in views if view["name"] == kind["name"]) for kind in kinds]
    takers = {2 * kind["number"] + i: taker(view, kind, form, reports)
              for view, kind in zip(main, kinds, strict=True) for i, form in enumerate(FORMS)}  # fmt: skip
    readers = {2 * view["number"] + i: reader(view, kinds[view["kind"] - 1], form)
               for view in views if view not in main for i, form in enumerate(FORMS)}  # fmt: skip
    begins = {kind["number"]: beginner(kind) for kind in kinds}
    yield from reported_counts(reports)
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
    yield f"else row{view['number']} = {none_row(view)} end"


def _take(part: Plan, view: Plan, kinds: Sequence[Plan]) -> Iterator[str]:
    kind, given = view["kind"], f"t, amount, ql, qh, {part['other']}, night"
    yield from _fetch(view, kinds)
    yield f"if v then form = {2 * kind} + byte(v)"
    yield f"row, v = (TAKE[form] or taker(form))(v, {given}, take)"
    yield "else"
    yield f"row = {none_row(view)}"
    yield f"if take then v = (BEGIN[{kind}] or beginner({kind}))({given}) end"
    yield "end"
    yield "if take then values[key], changed[key] = v, v end"
    yield from _told(part, "row")
