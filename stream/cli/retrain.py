"""`vigia retrain`: archive, data, search, train, evaluate, report, register, promote, in one command."""

import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from features.errors import BadInput
from models.costs import read_costs
from models.extras import train_extra
from models.registry import require_product
from stream.cli.archive import bring_up_to_date
from stream.cli.common import console, emit_json, parse_day
from stream.cli.model_options import Json

_REFUSED = 1
_NAMES = {
    "0-archive": "archive the topics",
    "1-data": "read the labelled payments",
    "2-search": "search settings",
    "3-train": "train",
    "4-evaluate": "evaluate on later days",
    "5-report": "draw the report",
    "6-register": "register",
    "7-promote": "ask the gates",
}


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(retrain)


def retrain(
    product: Annotated[str, typer.Argument(help="Which model: pix-fraud.")] = "pix-fraud",
    archive: Annotated[
        Path, typer.Option(metavar="FOLDER", help="The archive of the topics: brought up to date first.")
    ] = Path(".vigia/archive"),
    features: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Vectors of `vigia features build`, instead of the archive."),
    ] = None,
    reports: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Reports that belong to --features.")
    ] = None,
    as_of: Annotated[
        str | None, typer.Option(metavar="DAY", help="Labels: reports before this day (UTC). Default: today.")
    ] = None,
    train_days: Annotated[int, typer.Option(min=2, max=3650, help="Days to train on.")] = 60,
    test_days: Annotated[
        int, typer.Option(min=1, max=3650, help="Days to judge by, the newest whose labels are in.")
    ] = 7,
    trials: Annotated[int, typer.Option(min=0, help="Trials of the search; 0: the built-in recipe.")] = 0,
    minutes: Annotated[float, typer.Option(min=0.1, help="Minutes of the search.")] = 15.0,
    candidate: Annotated[str, typer.Option(help="Which candidate is searched.")] = "lightgbm",
    costs: Annotated[Path | None, typer.Option(metavar="FILE", help="Other costs than costs.toml's.")] = None,
    gates: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Other bounds than gates.toml's.")
    ] = None,
    promote: Annotated[
        bool, typer.Option("--promote/--no-promote", help="Serve it if it passes the gates.")
    ] = True,
    seed: Annotated[int, typer.Option(min=0, max=2**31 - 1, help="Same seed and data, same model.")] = 0,
    runs: Annotated[Path, typer.Option(metavar="DIR", help="Where each run's steps are kept.")] = Path(
        ".vigia/retrain"
    ),
    as_json: Json = False,
) -> None:
    """Train a new model on the newest labelled days, and let it serve if it passes every gate.

    Each step is kept in the run's folder: run the command again after a failure and it goes on where it was;
    run it again after success and nothing changes. Exit 0: promoted, registered or unchanged; 1: a gate
    refused the model, which stays registered as the challenger, or a step failed; 2: bad input.
    """
    require_product(product)
    if (features is None) != (reports is None):
        raise BadInput("--features and --reports go together; without both, the archive is used")
    day = parse_day(as_of, "--as-of") if as_of else datetime.now(UTC).date()
    if day > datetime.now(UTC).date():
        raise BadInput(f"--as-of: {day} is not here yet; no report from before it can be known")
    stated = read_costs(costs)
    with train_extra():
        from models.gate_bounds import load_gates
        from models.mlflow_registry import Registry
        from models.retrain import REFUSED, Plan, Retraining, Spans
        from models.steps import Steps
    began = time.monotonic()

    def say(name: str, known: bool) -> None:
        done = " (done before)" if known else ""
        console.print(f"{time.monotonic() - began:6.1f} s  {_NAMES.get(name, name)}{done}", highlight=False)

    archived: dict[str, Any] = {}
    if features is None or reports is None:
        say("0-archive", False)
        found = bring_up_to_date(archive)
        counts = {"archived": found.archived, "skipped": found.skipped, "lost": found.lost}
        archived = {name: dict(count) for name, count in counts.items()}
        features, reports = archive, archive
    plan = Plan(
        product, features, reports, Spans.before(day, train_days, test_days), stated, load_gates(gates),
        trials, minutes, candidate, seed, promote,
    )  # fmt: skip
    steps = Steps(runs / f"{product}-{day}", say)
    answer = {**Retraining(plan, Registry(product).make(), steps).run(), "archive": archived}
    if as_json:
        emit_json(answer)
    else:
        _tell(answer)
    if answer["outcome"] == REFUSED:
        raise typer.Exit(_REFUSED)


def _tell(answer: Mapping[str, Any]) -> None:
    """For people, on standard error."""
    spans = answer["spans"]
    console.print(
        f"{answer['model']}: {answer['outcome']}; trained on {spans['train_from']} to {spans['train_to']}, "
        f"judged on {spans['test_from']} to {spans['test_to']}",
        soft_wrap=True, highlight=False,
    )  # fmt: skip
    for warning in answer["warnings"]:
        console.print(f"  warning: {warning}", soft_wrap=True, highlight=False)
    for finding in answer.get("gates", ()):
        console.print(
            f"  {finding['result']:8} {finding['gate']}: {finding['told']}", soft_wrap=True, highlight=False
        )
    console.print(f"steps, model and report: {answer['folder']}", soft_wrap=True, highlight=False)
