"""Where things lie in an entity's packed value, as Lua says it: head, tiles of each level, what follows."""

from collections.abc import Iterator
from typing import Any

Plan = dict[str, Any]

HEAD = "I1I6I6I1I1I4I5I6I6I5"
"""Form, newest, first time, numbers of counterparties, of latest payments and of reports; payments, their sum
and squares (low halves), payments at night. Then the number of tiles of each level, I2 each."""
TAIL = "I2I4I6I6I6"
"""High halves of sum and squares; newest and first time of the life before; newest report."""
HEAD_SIZE, TAIL_SIZE = 41, 24
"""In bytes."""

NARROW, WIDE = "narrow", "wide"
FORMS = (NARROW, WIDE)


def head_format(levels: int) -> str:
    return f"<{HEAD}{'I2' * levels}{TAIL}"


def head_size(levels: int) -> int:
    return HEAD_SIZE + 2 * levels + TAIL_SIZE


def numbered(prefix: str, n: int) -> list[str]:
    return [f"{prefix}{i}" for i in range(1, n + 1)]


def tile_of(time: str, level: Plan) -> str:
    """The index of its tile, exact; without a call of floor."""
    return f"({time} - {time} % {level['grain']}) / {level['grain']}"


def tile_fields(level: Plan, form: str) -> list[str]:
    """The running totals that a tile of the level holds in front of its index."""
    return [name for name in level[f"{form}_fields"] if name != "index"]


def entity_totals(level: Plan, form: str) -> list[str]:
    """The entity's own, in the same order."""
    return [name.upper() for name in tile_fields(level, form)]


def tile_format(level: Plan, form: str) -> str:
    return str(level[form][1:])


def head_locals(levels: int) -> str:
    before = ["_", "N", "F", "nc", "nx", "nr", "C", "SL", "QL", "D"]
    numbers = [*before, *numbered("n", levels), "SH", "QH", "PN", "PF", "M"]
    return f"local {','.join(numbers)} = su('{head_format(levels)}', v)"


def level_places(kind: Plan, form: str) -> Iterator[str]:
    """Locals: where each level begins (zero-based), then the counterparties, reports, latest payments."""
    yield f"local a1 = {kind['head_size']}"
    for i, level in enumerate(kind["levels"], 1):
        size = level[f"{form}_width"] + level[f"{form}_max"] + level["bins"]
        yield f"local {place_after(kind, i)} = a{i} + n{i} * {size}"
    yield "local reports = cps + nc * CP_SIZE"
    yield "local recent = reports + nr * REPORT_SIZE"


def place_after(kind: Plan, i: int) -> str:
    return "cps" if i == len(kind["levels"]) else f"a{i + 1}"
