"""`vigia shadow`: the challenger scores what was decided."""

from pathlib import Path
from typing import Annotated

import typer

from stream.settings import load_settings


def register(app: typer.Typer) -> None:
    """Add the command to ``app``."""
    app.command()(shadow)


def shadow(
    model: Annotated[Path, typer.Option(help="Who scores: registry:NAME@ALIAS, or a model folder.")] = Path(
        "registry:pix-fraud@challenger"
    ),
    http_port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port of /metrics, /healthz, /readyz; 0: any.")
    ] = 0,
) -> None:
    """Score what workers decided by the challenger, to topic shadow-scores, until SIGTERM.

    A process of its own that reads the feature log and the decisions: it cannot slow, change or break a
    decision. While there is no challenger, payments pass by unscored.
    """
    from stream.bootstrap import run_shadow

    run_shadow(load_settings(http_port=http_port), model)
