"""`vigia reasons`: the codes of the decisions and their texts."""

from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from stream.cli.common import emit_json
from stream.reasons import RIGHTS, UNSAID
from stream.reasons_page import Row, page, rows


def register(app: typer.Typer) -> None:
    app.command("reasons")(reasons)


def reasons(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print docs/reasons.md.")] = False,
) -> None:
    """List every reason code with its texts for the analyst and for the customer."""
    if as_json and markdown:
        raise typer.BadParameter("--json and --markdown: give one of them")
    if markdown:
        typer.echo(page(), nl=False)
    elif as_json:
        listed = [row._asdict() for row in rows()]
        emit_json({"reasons": listed, "customer_unsaid": UNSAID, "customer_rights": RIGHTS})
    else:
        table = Table(*Row._fields[:3])
        for row in rows():
            table.add_row(*row[:3])
        Console().print(table)
