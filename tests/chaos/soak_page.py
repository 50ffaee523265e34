"""docs/soak.md, its plot and its JSON."""

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from .memory import Sample
from .plot import svg
from .recovery import worst

if TYPE_CHECKING:
    from .soak import Soak


def write(page: Path, soak: "Soak") -> None:
    """`page`, and beside it a .svg and a .json of the same name."""
    plot = page.with_suffix(".svg")
    plot.write_text(
        svg("Memory of each process", _lines(soak.samples), [s.minute for s in soak.faults], "MiB")
    )
    page.with_suffix(".json").write_text(json.dumps(asdict(soak)) + "\n")
    page.write_text(_text(soak, plot.name))


def _lines(samples: Sequence[Sample]) -> dict[str, list[tuple[float, float]]]:
    lines: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for sample in samples:
        lines[sample.name].append((sample.at / 60, sample.mib))
    return dict(lines)


def _text(soak: "Soak", plot: str) -> str:
    verdict = soak.verdict
    events = soak.load.get("sent", 0)
    entities = sum(soak.verified.get("entities", {}).values())
    counted = [
        f"# {soak.minutes:g} minutes at {soak.rate:,.0f} events a second, a fault every minute",
        "",
        "Written by `make soak` (`python -m tests.chaos.soak --write docs/soak.md`): Kafka, Redis, 4",
        f"partitions, 2 workers, the generator and this harness on one machine with {soak.cores} cores.",
        "Words and columns are those of [chaos.md](chaos.md). The feature log is kept to 64 MiB a partition,",
        "to bound the disk; all other topics are kept whole and accounted for, record by record, at the end.",
        "Segments are of 16 MiB (Kafka's default is 1 GiB): a broker that was killed reads what it may not",
        "have flushed again, and took up to 55 s without. Event time spans less than a day: what looks back",
        "a week or more (reported shares and runs, a payer's usual amounts) has nothing to tell in it.",
        "",
        f"{events:,} records were published; {verdict.published:,} different good payments:",
        f"**lost {verdict.lost}, conflicting {verdict.conflicting}**, repeated byte for byte",
        f"{verdict.repeated}, committed before decided {verdict.early}. All was decided {soak.drained:.1f} s",
        "after the load.",
        f"The state: {soak.verified.get('differences')} differences in {entities:,} entities "
        f"({soak.verified.get('values', 0):,} values) from the oracle's.",
        f"Workers that left by themselves: {len(soak.left)}.",
        "",
        "What does not hold: " + ("; ".join(soak.wrong) if soak.wrong else "nothing") + ".",
        "",
        "| minute | fault | lasted s | flows again s | largest gap s |",
        "|---:|---|---:|---:|---:|",
    ]
    for struck in soak.faults:
        again = worst(struck.recovery)
        told = "never" if again is None else f"{again:.1f}"
        gap = max(struck.gap.values(), default=0)
        counted.append(
            f"| {struck.minute:.1f} | `{struck.fault}` | {struck.lasted:.1f} | {told} | {gap:.1f} |"
        )
    return "\n".join([*counted, *_memory(soak, plot)]) + "\n"


def _memory(soak: "Soak", plot: str) -> list[str]:
    growth = [
        f"| {name} | {pid} | {seconds / 60:.1f} | {first:.0f} | {last:.0f} | {slope:+.0f} |"
        for name, pid, seconds, first, last, slope in soak.growth
    ]
    return [
        "",
        "## Memory",
        "",
        f"![Memory of each process]({plot})",
        "",
        "Resident memory every 10 s. Of each process that lived for more than four minutes: the slope by",
        "least squares, its first two minutes left out. A worker that was killed is another process then.",
        "Judged is the growth of workers that were watched for ten minutes (none by more than 60 MiB an",
        "hour; of fewer the slope says nothing), and the most that any worker had at any time (400 MiB).",
        "",
        "| process | pid | minutes | first MiB | last MiB | MiB an hour |",
        "|---|---:|---:|---:|---:|---:|",
        *growth,
        "",
        f"Redis grows with what it keeps: {soak.redis.get('used_mib', 0):,} MiB for "
        f"{soak.redis.get('keys', 0):,} keys, {soak.redis.get('bytes_per_event', 0)} bytes an event.",
    ]
