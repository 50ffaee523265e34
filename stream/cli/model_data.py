"""`vigia models maturity`: whether the labels of some days are known yet."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from features.errors import BadInput
from models.extras import train_extra
from stream.cli.common import console, emit_json, parse_day
from stream.cli.model_options import days


def register(models: typer.Typer) -> None:
    """Add to the group `models`."""
    models.command("maturity")(maturity_command)


def maturity_command(
    features: Annotated[Path, typer.Option(help="Features file, or archive.")],
    reports: Annotated[Path, typer.Option(help="Fraud reports, or archive.")],
    as_of: Annotated[str, typer.Option(metavar="DAY", help="Reports from before this day (UTC) are known.")],
    first: Annotated[str | None, typer.Option("--from", metavar="DAY", help="First day of a span.")] = None,
    last: Annotated[str | None, typer.Option("--to", metavar="DAY", help="Its last day, included.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """The delay from a payment to its confirmed report, and the share of a span's labels still to come.

    Reports that are still to come are allowed for: the curve is estimated in reversed time.
    """
    with train_extra():
        from models.dataset import Span
        from models.maturity import maturity

    if (first is None) != (last is None):
        raise BadInput("--from, --to: give both, or neither")
    known = parse_day(as_of, "--as-of")
    span = Span(*days(first, last, "--from", "--to")) if first and last else None
    answer = maturity(features, reports, known, span)
    if as_json:
        emit_json(answer)
    else:
        _tell(answer)


def _tell(answer: dict[str, Any]) -> None:
    table = Table("days", "known", title=f"{answer['frauds']:,} confirmed frauds as of {answer['as_of']}")
    for point in answer["curve"]:
        table.add_row(str(point["days"]), f"{point['share']:.1%}")
    console.print(table)
    lines = [f"{name}: {value}" for name, value in answer["span"].items()]
    console.print("\n".join([*lines, *answer["warnings"]]), highlight=False, markup=False)
