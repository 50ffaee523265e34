"""What every command shares: one JSON object on stdout, all else on stderr, dates, progress."""

import sys
from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Any

import orjson
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from features.errors import BadInput

console = Console(stderr=True)


def emit_json(answer: Mapping[str, Any]) -> None:
    """Print exactly one JSON object on standard output."""
    sys.stdout.write(orjson.dumps(dict(answer), option=orjson.OPT_SERIALIZE_NUMPY).decode() + "\n")
    sys.stdout.flush()


def progress(unit: str = "events") -> Progress:
    """A progress bar on standard error: what, how many, how long still."""
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(unit),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
    )


def parse_day(text: str, option: str) -> date:
    """An inclusive UTC day of this century, `YYYY-MM-DD`. Raises BadInput that names the option.

    At the ends of the calendar the days before and after it, that everybody counts with, are none.
    """
    try:
        day = datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC).date()
    except ValueError:
        raise BadInput(f"{option}: {text!r} is not a day; write it as YYYY-MM-DD, e.g. 2018-07-25") from None
    if not 2000 <= day.year <= 2099:
        raise BadInput(f"{option}: {text} must lie between 2000-01-01 and 2099-12-31")
    return day
