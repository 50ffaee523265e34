"""What a run found, kept as JSON beside the page, and the bars of DESIGN section 8 it meets or misses."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
from rich.table import Table

from features.errors import BadInput

FIGURES = "figures.json"


@dataclass(frozen=True)
class Bar:
    """A figure that must be reached, and what was measured (None: not measured)."""

    name: str
    wanted: float
    found: float | None
    at_least: bool = True

    @property
    def met(self) -> bool | None:
        if self.found is None:
            return None
        return self.found >= self.wanted if self.at_least else self.found <= self.wanted


@dataclass(frozen=True)
class Report:
    """The figures of `stream.bench.run`, of one run or of several parts measured apart."""

    figures: Mapping[str, Any]

    @classmethod
    def kept(cls, page: Path) -> "Report":
        """What lies beside a page. Raises BadInput if nothing does."""
        path = page.with_suffix("") / FIGURES
        if not path.exists():
            raise BadInput(f"{path}: there are no figures; run `vigia bench --write {page}` first")
        return cls(orjson.loads(path.read_bytes()))

    def over(self, page: Path) -> "Report":
        """These figures, and what was kept beside the page of parts that this run left out."""
        try:
            earlier = Report.kept(page).figures
        except BadInput:
            return self
        conditions = {**earlier.get("conditions", {}), **self.figures["conditions"]}
        memory = {**earlier.get("memory_mb", {}), **self.figures.get("memory_mb", {})}
        return Report({**earlier, **self.figures, "conditions": conditions, "memory_mb": memory})

    def keep(self, page: Path) -> None:
        folder = page.with_suffix("")
        folder.mkdir(parents=True, exist_ok=True)
        options = orjson.OPT_INDENT_2 | orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_APPEND_NEWLINE
        (folder / FIGURES).write_bytes(orjson.dumps(dict(self.figures), option=options))

    def get(self, *path: str) -> Any:
        """The figure at this path; None where that was not measured."""
        at: Any = self.figures
        for name in path:
            at = at.get(name) if isinstance(at, Mapping) else None
        return at

    def bars(self) -> list[Bar]:
        """DESIGN section 8, throughput, latency and the worker's memory."""
        get = self.get
        return [
            Bar("events/s, Vigia", 7_300, get("throughput", "vigia")),
            Bar(
                "events/s, Vigia on four busy entities an event", 5_500, get("throughput", "vigia_prefilled")
            ),
            Bar("times the one-at-a-time baseline", 15, get("ratio_baseline")),
            Bar("share of the consumer without Faust", 0.7, get("ratio_floor")),
            Bar("ms end to end at 3,626/s, p50", 10, get("latency_ms", "3626", "end_to_end", "p50"), False),
            Bar("ms end to end at 3,626/s, p99", 40, get("latency_ms", "3626", "end_to_end", "p99"), False),
            Bar("ms in the worker at 3,626/s, p99", 15, get("latency_ms", "3626", "in_worker", "p99"), False),
            Bar("events without a decision at 3,626/s", 0, get("latency_ms", "3626", "missing"), False),
            Bar("MB of a worker", 400, get("memory_mb", "worker"), False),
        ]

    def table(self) -> Table:
        """The bars for a person."""
        table = Table("figure", "wanted", "measured", "")
        for bar in self.bars():
            found = "not measured" if bar.found is None else f"{bar.found:,.2f}"
            sign = "≥" if bar.at_least else "≤"
            table.add_row(bar.name, f"{sign} {bar.wanted:,}", found, VERDICT[bar.met])
        return table


VERDICT = {True: "met", False: "MISSED", None: ""}
