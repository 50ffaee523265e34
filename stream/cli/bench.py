"""`vigia bench`: what Vigia costs, measured on this machine."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from features.errors import BadInput, VigiaError
from models.extras import train_extra
from stream.cli.common import console, emit_json, progress

Entities = Annotated[int, typer.Option(min=1_000, help="At least so many entities, of all kinds together.")]
Days = Annotated[float, typer.Option(min=1.0, max=60.0, help="Days of traffic; 60 fill every window.")]
Markdown = Annotated[bool, typer.Option("--markdown", help="Print docs/memory.md.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output.")]
Only = Annotated[
    list[str] | None, typer.Option(help="Only this part (throughput, latency or sweep); may be given twice.")
]
Sweep = Annotated[
    bool, typer.Option("--sweep", help="Also how cost grows: workers, entities, fill, batch, partitions.")
]
Events = Annotated[int | None, typer.Option(min=1_000, help="Payments of one drain (60,000).")]
Seconds = Annotated[
    float | None, typer.Option(min=1.0, help="Of load at 3,626 events/s (60); half of it at 100 and 1,000.")
]
Repeats = Annotated[int | None, typer.Option(min=1, help="Drains of Vigia and of the floor, by turns (3).")]
Quick = Annotated[bool, typer.Option("--quick", help="Everything once and small: whether it works.")]
Model = Annotated[
    Path | None, typer.Option(help="Folder of the model for all; default: one trained on the history.")
]
Write = Annotated[
    Path | None, typer.Option(help="Write this page, its plots and its figures, e.g. docs/performance.md.")
]


def register(app: typer.Typer) -> None:
    """Add the command to ``app``."""
    group = typer.Typer(help="What Vigia costs, measured on this machine.")
    group.callback(invoke_without_command=True)(bench_command)
    group.command("state")(state_command)
    group.command("page")(page_command)
    app.add_typer(group, name="bench")


def bench_command(
    context: typer.Context,
    only: Only = None,
    sweep: Sweep = False,
    events: Events = None,
    seconds: Seconds = None,
    repeats: Repeats = None,
    quick: Quick = False,
    model: Model = None,
    write: Write = None,
    json: Json = False,
) -> None:
    """Measure throughput and latency: a one-at-a-time Faust agent, Vigia, and Vigia's batch without Faust.

    Starts a Kafka and a Redis of its own and ends them. The stream is the Fraud Detection Handbook's (in
    $VIGIA_DATA or ../shared/data), or simulated traffic as dense, with its history loaded first; what is
    loaded once is kept in .vigia/bench. About ten minutes, and some more the first time.
    """
    if context.invoked_subcommand is not None:
        return
    with train_extra():
        from stream.bench.performance_page import write as write_page
        from stream.bench.report import Report
        from stream.bench.run import Config, run
        from stream.demo.steps import Steps
    parts = _parts(only, sweep)
    base = Config.quickly(parts, model) if quick else Config(parts, model=model)
    report = Report(run(base.changed(events=events, seconds=seconds, repeats=repeats), Steps(console)))
    if write:
        write_page(report.over(write), write)
        console.print(f"wrote {write}", highlight=False)
    if json:
        emit_json(report.figures)
    else:
        Console().print(report.table())


def _parts(only: list[str] | None, sweep: bool) -> list[str]:
    known = ("throughput", "latency", "sweep")
    if wrong := set(only or ()) - set(known):
        raise BadInput(f"--only: {', '.join(sorted(wrong))} is no part; choose {', '.join(known)}")
    return [*(only or known[:2]), *(("sweep",) if sweep else ())]


def page_command(page: Annotated[Path, typer.Argument(help="docs/performance.md")]) -> None:
    """Write the page again from the figures that are kept beside it; nothing is measured."""
    from stream.bench.performance_page import write
    from stream.bench.report import Report

    write(Report.kept(page), page)


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
