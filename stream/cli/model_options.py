"""What the commands under `vigia models` share: options, spans of days, and the answer."""

from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from features.errors import BadInput
from stream.cli.common import console, emit_json, parse_day

Features = Annotated[Path, typer.Option("--features", help="Parquet file of `vigia features build`.")]
Reports = Annotated[Path, typer.Option("--reports", help="Parquet file of fraud reports.")]
First = Annotated[str, typer.Option("--from", metavar="DAY", help="First day (UTC).")]
Last = Annotated[str, typer.Option("--to", metavar="DAY", help="Last day (UTC), included.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output.")]
Folder = Annotated[Path, typer.Argument(metavar="DIR", help="Model folder of `vigia models train`.")]


def days(first: str, last: str, first_option: str, last_option: str) -> tuple[date, date]:
    """An inclusive span. Raises BadInput that names the option."""
    span = parse_day(first, first_option), parse_day(last, last_option)
    if span[1] < span[0]:
        raise BadInput(f"{last_option}: {last} is before {first_option} {first}")
    return span


def answer(found: Mapping[str, Any], as_json: bool) -> None:
    """The JSON object on standard output, or a table for people on standard error."""
    if as_json:
        emit_json(found)
        return
    table = Table(show_header=False)
    for name, value in _flat(found, ""):
        table.add_row(name, f"{value:,.6g}" if isinstance(value, float) else str(value))
    console.print(table)


def _flat(found: Mapping[str, Any], prefix: str) -> list[tuple[str, Any]]:
    rows: list[tuple[str, Any]] = []
    for name, value in found.items():
        rows += _flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) else [(prefix + name, value)]
    return rows
