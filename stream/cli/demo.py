"""`vigia demo`: everything on this machine, with a verdict."""

from typing import Annotated, Any

import typer
from rich.table import Table

from features.errors import VigiaError
from models.extras import train_extra
from stream.cli.common import console, emit_json

Seed = Annotated[int, typer.Option(min=0, max=2**31 - 1, help="The same seed simulates the same payments.")]
Rate = Annotated[float, typer.Option(min=1.0, max=20_000.0, help="Live messages a second.")]
Seconds = Annotated[float, typer.Option(min=1.0, max=3_600.0, help="Length of the live part.")]
FraudRate = Annotated[
    float,
    typer.Option(
        min=0.0005,
        max=0.1,
        help="Share of the simulated payments that is fraud; rarer fraud takes a longer history.",
    ),
]
Keep = Annotated[bool, typer.Option("--keep", help="Keep the folder: logs, files, model, Kafka's data.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output.")]

NOTE = "Simulated payments: these figures say nothing about quality on real ones."


def register(app: typer.Typer) -> None:
    """Add the command to ``app``."""
    app.command("demo")(demo_command)


def demo_command(
    seed: Seed = 7,
    rate: Rate = 1_000.0,
    seconds: Seconds = 20.0,
    fraud_rate: FraudRate = 0.005,
    keep: Keep = False,
    json: Json = False,
) -> None:
    """See all of it work on this machine, in a minute or two.

    In a temporary folder of its own it starts a real Kafka and a real Redis, simulates a history of Pix
    payments, builds it into windows and vectors, trains and evaluates a model, starts `vigia worker`, and
    sends it live traffic with malformed messages and repeats among it. Then it ends everything and says
    whether every payment was decided, exactly once. A `vigia up` of yours is not touched.

    Exit 0 only if lost = 0, conflicting = 0, decisions = events - dead_letters - repeats, and the model's
    average precision is at least 1.3 times that of a simple tree; else exit 1, what failed, and where the
    logs are kept. The payments are simulated: the figures say nothing about quality on real ones.
    """
    with train_extra():
        from stream.demo import DemoConfig, Kept, run
    kept = Kept(keep)
    console.print(f"[bold]vigia demo[/bold]  {NOTE}")
    try:
        verdict = run(DemoConfig(seed=seed, rate=rate, seconds=seconds, fraud_rate=fraud_rate), kept, console)
    except KeyboardInterrupt:
        console.print("interrupted; everything that was started is ended")
        raise typer.Exit(130) from None
    finally:
        if kept.keep and kept.folder:
            console.print(f"kept: {kept.folder}", highlight=False, soft_wrap=True)
    if json:
        emit_json(verdict.as_json())
    console.print(summary(verdict.as_json()))
    console.print(NOTE)
    if verdict.failures:
        raise VigiaError(f"the demo failed: {'; '.join(verdict.failures)}; logs are in {kept.folder}")


def summary(answer: dict[str, Any]) -> Table:
    """The verdict for a person."""
    table = Table(show_header=False, box=None, padding=(0, 2))
    for name, value in answer.items():
        text = "  ".join(f"{part} {of}" for part, of in value.items()) if isinstance(value, dict) else value
        table.add_row(name, f"{text:,}" if isinstance(text, int | float) else str(text))
    return table
