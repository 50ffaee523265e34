"""`vigia topics` and `vigia worker`."""

from pathlib import Path
from typing import Annotated

import typer

from stream.cli.common import console, emit_json
from stream.settings import load_settings


def register(app: typer.Typer) -> None:
    app.command()(topics)
    app.command()(worker)


def topics(
    partitions: Annotated[
        int | None,
        typer.Option(min=1, max=10_000, help="Partitions of every topic; default: as they are, or 4."),
    ] = None,
    replication: Annotated[int, typer.Option(min=1, max=10, help="Replicas of every partition.")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Create the topics; what exists already is left as it is.

    Names begin with VIGIA_TOPIC_PREFIX (`pix.`); records are kept VIGIA_TOPIC_RETENTION_DAYS (75).
    """
    from stream.topics import create_topics

    made = create_topics(load_settings(), partitions, replication)
    if as_json:
        emit_json({"topics": made})
    else:
        for name, what in made.items():
            console.print(f"{name}  {what}", highlight=False)


def worker(
    model: Annotated[
        Path | None, typer.Option(help="Model folder, or registry:NAME@ALIAS; default VIGIA_MODEL.")
    ] = None,
    http_port: Annotated[
        int | None, typer.Option(help="Port of /metrics, /healthz, /readyz; 0: any.")
    ] = None,
) -> None:
    """Decide what arrives on the transactions topic, until SIGTERM.

    Settings are VIGIA_* environment variables (see docs/settings.md). Start one worker a core; they share
    the partitions. Killed at any moment, it loses nothing and decides nothing twice.
    """
    from stream.bootstrap import run_worker

    run_worker(load_settings(model=model, http_port=http_port))
