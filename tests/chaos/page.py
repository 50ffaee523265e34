"""docs/chaos.md: the results as a table."""

import os
from collections.abc import Sequence
from pathlib import Path

from .faults import FAULTS
from .recovery import worst
from .run import Result

_HEAD = """\
# What breaks, and what comes of it

Written by `make chaos` (`python -m tests.chaos --write docs/chaos.md`). Each fault has a world of its own:
Kafka, Redis, 4 partitions, 2 workers, and an open-loop load of {rate:,.0f} events a second from a process of
its own, transactions and reports, repeats and bad records among them. All on one machine with {cores} cores.

At the end every record of the topics is accounted for. *Lost*: good payments with neither a decision nor the
dead letter that the fault explains. *Conflicting*: payments with two different decisions. *Repeated*:
decisions that came twice, byte for byte. *Differences*: of 1,000 entities, values in Redis that are not what
the oracle computes from the topics (`vigia state verify`). Also checked, each time: nothing is committed
before its decision is produced; every bad record has its dead letter; every alert and every vector of the
feature log is there; while Redis or the broker is away every worker's `/readyz` says 503, and no worker
leaves.

*Flows again*: seconds from the fault's end (or the kill) until a consumer of `decisions` sees the first one of
a payment that was published after the fault began, on the slowest of the partitions. *Largest gap*: the longest
time without a decision on any partition from the fault on; *before*: the same without a fault.

| fault | what happens | lasted s | flows again s | largest gap s | before s | payments | lost | conflicting | repeated | differences | holds |
|---|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---|
"""  # noqa: E501


def write(page: Path, results: Sequence[Result], rate: float) -> None:
    """Replace the page."""
    head = _HEAD.format(rate=rate, cores=os.cpu_count())
    failed = [f"- `{result.fault}`: {wrong}" for result in results for wrong in result.wrong]
    tail = ["", "What does not hold:", "", *failed] if failed else []
    page.write_text(head + "\n".join([*map(_row, results), *tail]) + "\n")


def _row(result: Result) -> str:
    verdict, again = result.verdict, worst(result.recovery)
    cells = [
        f"`{result.fault}`",
        FAULTS[result.fault].told,
        f"{result.lasted:.1f}",
        "never" if again is None else f"{again:.1f}",
        f"{max(result.gap.values(), default=0):.1f}",
        f"{max(result.gap_before.values(), default=0):.1f}",
        f"{verdict.published:,}",
        f"{verdict.lost}",
        f"{verdict.conflicting}",
        f"{verdict.repeated}",
        "–" if result.differences is None else f"{result.differences}",
        "yes" if result.right else "**no**",
    ]
    return f"| {' | '.join(cells)} |"
