"""`vigia features build`: history to vectors."""

import asyncio
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from features.catalog import FEATURES_VERSION
from features.page import FIELDS, page, rows
from models.extras import train_extra
from stream.cli.common import console, emit_json, progress
from stream.settings import load_settings


def register(app: typer.Typer) -> None:
    group = typer.Typer(help="Feature vectors from history.", no_args_is_help=True)
    group.command("list")(list_features)
    group.command()(build)
    app.add_typer(group, name="features")


def list_features(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print docs/features.md.")] = False,
) -> None:
    """List every feature in the order of the vector: its meaning, unit, entity and window."""
    if markdown:
        typer.echo(page(), nl=False)
    elif as_json:
        emit_json({"features_version": FEATURES_VERSION, "features": [row._asdict() for row in rows()]})
    else:
        table = Table("", *FIELDS, title=f"features_version {FEATURES_VERSION}")
        for number, row in enumerate(rows()):
            table.add_row(str(number), *row)
        Console().print(table)


def build(
    transactions: Annotated[Path, typer.Option(help="Parquet file of transactions.")],
    out: Annotated[Path, typer.Option(help="Parquet file to write: a row per transaction.")],
    reports: Annotated[Path | None, typer.Option(help="Parquet file of fraud reports.")] = None,
    redis_url: Annotated[
        str | None,
        typer.Option("--redis", help="Build in this Redis, whose windows then hold the history; "
                     "default: a private one, gone afterwards."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:  # fmt: skip
    """Turn history into vectors, through the same Redis code as the live path.

    Transactions and reports are merged in event time; each vector holds what was known before its
    transaction. Rows that the message contract refuses are left out and counted by code.
    """
    from deploy.local import private_redis
    from features.redis_state import RedisState

    if redis_url:
        load_settings(redis_url=redis_url)  # refuses what is no address of a Redis
    with train_extra():
        from features.replay import BuildReport, build

    async def run(url: str) -> BuildReport:
        state = await RedisState.connect(url)
        try:
            with progress() as bar:
                task = bar.add_task("features", total=None)
                return await build(
                    transactions, reports, out, state,
                    lambda done, of: bar.update(task, completed=done, total=of),
                )  # fmt: skip
        finally:
            await state.close()

    with nullcontext(redis_url) if redis_url else private_redis() as url:
        report = asyncio.run(run(url))
    if report.rejected:
        left_out = ", ".join(f"{n} {code}" for code, n in report.rejected.items())
        console.print(f"left out: {left_out}", highlight=False)
    summary = {
        "out": str(out),
        "transactions": report.transactions,
        "reports": report.reports,
        "vectors": report.vectors,
        "repeats": report.repeats,
        "rejected": dict(report.rejected),
    }
    if as_json:
        emit_json(summary)
    else:
        console.print(f"{out}: {report.vectors} vectors", highlight=False)
