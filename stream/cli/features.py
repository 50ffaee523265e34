"""`vigia features list|build`: what the vectors are, and history to vectors."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from features.catalog import FEATURES_VERSION
from features.page import FIELDS, page, rows
from models.extras import train_extra
from stream.cli.archive import archive
from stream.cli.common import console, emit_json, progress
from stream.cli.leak_check import leak_check
from stream.settings import load_settings

if TYPE_CHECKING:
    from features.replay import BuildReport, Resumable


def register(app: typer.Typer) -> None:
    group = typer.Typer(help="Feature vectors from history.", no_args_is_help=True)
    group.command("list")(list_features)
    group.command()(build)
    group.command("archive")(archive)
    group.command("leak-check")(leak_check)
    app.add_typer(group, name="features")


def list_features(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print docs/features.md.")] = False,
) -> None:
    """List every feature in the order of the vector: its meaning, unit, entity and window."""
    if as_json and markdown:
        raise typer.BadParameter("--json and --markdown: give one of them")
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
        typer.Option("--redis", help="Build in this Redis, whose windows then hold the history; one that "
                     "holds it already is refused. Default: a private one, gone afterwards."),
    ] = None,
    every: Annotated[int | None, typer.Option("--checkpoint-every", min=1, hidden=True)] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:  # fmt: skip
    """Turn history into vectors, through the same Redis code as the live path.

    Transactions and reports are merged in event time; each vector holds what was known before its
    transaction. Rows that the message contract refuses are left out and counted by code.

    A build that was ended, even by kill -9, goes on where it was when the same command is started again:
    the folder OUT.work keeps what is done, every 200,000 events, until the file is whole. Not with --redis:
    what a killed build left there is part of that Redis, which has to be emptied first.
    """
    with train_extra():
        from features.replay import CHECKPOINT_EVERY

    if redis_url:
        settings = load_settings(redis_url=redis_url)  # refuses what is no address of a Redis
        report = _build(redis_url, transactions, reports, out, shards=settings.state_shards)
    else:
        report = _build_resumably(transactions, reports, out, every or CHECKPOINT_EVERY)
    if report.rejected:
        left_out = ", ".join(f"{n} {code}" for code, n in report.rejected.items())
        _say(f"left out: {left_out}")
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
        _say(f"{out}: {report.vectors} vectors")


def _build_resumably(transactions: Path, reports: Path | None, out: Path, every: int) -> "BuildReport":
    """In a private Redis, with the work folder of `out`."""
    from deploy.local import private_redis, save_dump
    from features.replay import Resumable
    from features.work import belongings, open_work

    with open_work(out, belongings(transactions, reports)) as work:
        if work.checkpoint:
            at = work.checkpoint
            _say(f"going on from event {at.events:,} of {at.of:,}; delete {out}.work to begin anew")
        elif work.began_anew:
            _say(f"{out}.work is of other inputs, another version or too old: begun anew")
        try:
            with private_redis(work.dump) as url:
                resumable = Resumable(work, lambda: save_dump(url), every)
                return _build(url, transactions, reports, out, resumable)
        except KeyboardInterrupt:
            if work.checkpoint:
                _say(f"the same command goes on from event {work.checkpoint.events:,}")
            raise


def _build(
    url: str,
    transactions: Path,
    reports: Path | None,
    out: Path,
    resumable: "Resumable | None" = None,
    *,
    shards: int = 1,
) -> "BuildReport":
    from features.redis_state import RedisState
    from features.replay import build
    from stream.garbage import settle

    async def run() -> "BuildReport":
        state = await RedisState.connect(url, shards)
        try:
            with progress() as bar:
                task = bar.add_task("features", total=None)

                def on_progress(done: int, of: int) -> None:
                    bar.update(task, completed=done, total=of)

                settle()
                return await build(transactions, reports, out, state, on_progress, resumable)
        finally:
            await state.close()

    return asyncio.run(run())


def _say(text: str) -> None:
    console.print(text, highlight=False, soft_wrap=True)
