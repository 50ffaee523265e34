"""`vigia bench`: what Vigia costs, measured on this machine."""

from typing import Annotated

import typer
from rich.console import Console

from features.errors import VigiaError
from models.extras import train_extra
from stream.cli.common import console, emit_json, progress

Entities = Annotated[int, typer.Option(min=1_000, help="At least so many entities, of all kinds together.")]
Days = Annotated[float, typer.Option(min=1.0, max=60.0, help="Days of traffic; 60 fill every window.")]
Markdown = Annotated[bool, typer.Option("--markdown", help="Print docs/memory.md.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output.")]


def register(app: typer.Typer) -> None:
    """Add the command to ``app``."""
    group = typer.Typer(help="What Vigia costs, measured on this machine.", no_args_is_help=True)
    group.command("state")(state_command)
    app.add_typer(group, name="bench")


def state_command(
    entities: Entities = 200_000, days: Days = 60.0, markdown: Markdown = False, json: Json = False
) -> None:
    """Measure the bytes that each kind of entity takes in Redis, and that all of them expire.

    A private Redis gets the history of simulated traffic, three payments a day of each payer; then every
    key is weighed with MEMORY USAGE. `steady` are the entities that had 2 to 4 payments a day themselves,
    `busy` those that had more. 200,000 entities take about 600,000 events: some minutes.

    Exit 1 if the mean misses a bar: 2,500 bytes a steady payer with its ring of event ids, 1,800 a steady
    payee, 500 a pair; or if a key would stay for ever.
    """
    if json and markdown:
        raise typer.BadParameter("--json and --markdown: give one of them")
    with train_extra():
        from stream.bench.page import page, table
        from stream.bench.state import measure
    with progress() as bar:
        task = bar.add_task(f"{days:g} days of traffic", total=None)
        figures = measure(entities, days, lambda done, of: bar.update(task, completed=done, total=of))
    if markdown:
        typer.echo(page(figures), nl=False)
    elif json:
        emit_json(figures.as_json())
    else:
        Console().print(table(figures))
    if failures := figures.failures():
        raise VigiaError(f"bars missed: {'; '.join(failures)}")
    console.print("every bar is met, every key expires", highlight=False)
