"""`vigia models train|evaluate|score`: options in, one answer out; the work is in `models/`."""

from collections.abc import Mapping
from datetime import date, timedelta
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from features import catalog
from features.errors import BadInput
from models.costs import Costs
from models.extras import train_extra
from stream.cli import model_data
from stream.cli.common import console, emit_json, parse_day, progress

PRODUCTS = ("pix-fraud",)
REPORT_DELAY = timedelta(days=8)  # a week for the report, and the day on which it is known in full
_COSTS = Costs()

app = typer.Typer(help="Train, measure and apply models.", no_args_is_help=True)

Features = Annotated[Path, typer.Option("--features", help="Parquet file of `vigia features build`.")]
Reports = Annotated[Path, typer.Option("--reports", help="Parquet file of fraud reports.")]
First = Annotated[str, typer.Option("--from", metavar="DAY", help="First day (UTC).")]
Last = Annotated[str, typer.Option("--to", metavar="DAY", help="Last day (UTC), included.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output.")]
Folder = Annotated[Path, typer.Argument(metavar="DIR", help="Model folder of `vigia models train`.")]


def register(parent: typer.Typer) -> None:
    """Add the group `models` to the command line."""
    model_data.register(app)
    parent.add_typer(app, name="models")


@app.command()
def train(
    product: Annotated[str, typer.Argument(help="Which model: pix-fraud.")],
    features: Features,
    reports: Reports,
    train_from: Annotated[str, typer.Option(metavar="DAY", help="First day (UTC).")],
    train_to: Annotated[str, typer.Option(metavar="DAY", help="Last day (UTC), included.")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder to write: model.onnx and model.json.")],
    as_of: Annotated[
        str | None,
        typer.Option(metavar="DAY", help="Labels: reports before this day. Default: train-to + 8 days."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, max=2**31 - 1, help="Same seed and input, same model.")] = 0,
    cost_fraud_loss_share: Annotated[
        float, typer.Option(help="Share of a fraud's amount that is lost.")
    ] = _COSTS.fraud_loss_share,
    cost_review: Annotated[float, typer.Option(help="BRL for one review.")] = _COSTS.review,
    cost_review_catch_share: Annotated[
        float, typer.Option(help="Share of frauds under review that it stops.")
    ] = _COSTS.review_catch_share,
    cost_wrong_denial: Annotated[
        float, typer.Option(help="BRL for one honest payment denied.")
    ] = _COSTS.wrong_denial,
    as_json: Json = False,
) -> None:
    """Train a model on labelled days and write its folder."""
    if product not in PRODUCTS:
        raise BadInput(f"{product!r} is no product of this version; known: {', '.join(PRODUCTS)}")
    costs = Costs(cost_fraud_loss_share, cost_review, cost_review_catch_share, cost_wrong_denial)
    first, last = _days(train_from, train_to, "--train-from", "--train-to")
    known = parse_day(as_of, "--as-of") if as_of else last + REPORT_DELAY
    if known <= last:
        raise BadInput(f"--as-of: {known} is not after --train-to {last}; labels come after the payments")
    with train_extra():
        from models.dataset import Span, start_of
        from models.folds import fold_count
        from models.labelled import labelled
        from models.maturity import immaturity, maturity
        from models.registry import check_target, save
        from models.train import Task
        from models.train import train as fit
    check_target(out)
    span = Span(first, last)
    data = labelled(features, reports, span, catalog.NAMES, catalog.FEATURES_VERSION, start_of(known))
    rows, y = data.rows, data.y
    labels = maturity(features, reports, known, span)
    if warning := immaturity(labels):
        console.print(f"warning: {warning}", highlight=False, markup=False, soft_wrap=True)
    with progress("steps") as bar:
        steps = bar.add_task(f"training on {len(rows):,} payments, {int(y.sum()):,} frauds")
        bar.update(steps, total=fold_count((last - first).days + 1) + 2)
        task = Task(product, span, known, catalog.NAMES, catalog.FEATURES_VERSION, costs, seed)
        model = fit(task, rows, y, lambda _: bar.advance(steps))
    save(out, model)
    manifest = model.manifest
    answer = {"model": manifest.model_id, "out": str(out), "n": manifest.n, "frauds": manifest.n_frauds}
    answer |= {"unlabelled": data.unlabelled, "labels_to_come": labels["span"]["to_come_share"]}
    _answer({**answer, "trees": manifest.params["n_trees"], "out_of_time": dict(manifest.metrics)}, as_json)


@app.command()
def evaluate(
    folder: Folder,
    features: Features,
    reports: Reports,
    first: First,
    last: Last,
    exclude_known: Annotated[
        bool, typer.Option("--exclude-known", help="Leave out payers known as defrauded on the day.")
    ] = False,
    against_simple: Annotated[
        bool, typer.Option("--against-simple", help="Also measure a depth-3 tree on the three best features.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Measure a model on later days, by all reports of the file."""
    days = _days(first, last, "--from", "--to")
    with train_extra():
        from models.dataset import Span
        from models.evaluate import Question
        from models.evaluate import evaluate as measure
    from models.scorer import Scorer

    question = Question(features, reports, Span(*days), exclude_known, against_simple)
    with console.status("measuring"):
        answer = measure(Scorer.load(folder), question)
    _answer(answer, as_json)


@app.command()
def score(
    folder: Folder,
    features: Features,
    first: First,
    last: Last,
    out: Annotated[Path, typer.Option(metavar="FILE", help="Parquet file to write: event_id, score.")],
    as_json: Json = False,
) -> None:
    """Score days of a features file."""
    days = _days(first, last, "--from", "--to")
    with train_extra():
        from models.dataset import Span, read_rows
        from models.evaluate import score_rows
        from models.scores import write_scores
    from models.scorer import Scorer

    scorer = Scorer.load(folder)
    with console.status("scoring"):
        rows = read_rows(features, Span(*days), catalog.NAMES, catalog.FEATURES_VERSION)
        write_scores(out, rows, score_rows(scorer, rows), scorer.model_id)
    _answer({"model": scorer.model_id, "n": len(rows), "out": str(out)}, as_json)


def _days(first: str, last: str, first_option: str, last_option: str) -> tuple[date, date]:
    span = parse_day(first, first_option), parse_day(last, last_option)
    if span[1] < span[0]:
        raise BadInput(f"{last_option}: {last} is before {first_option} {first}")
    return span


def _answer(answer: Mapping[str, Any], as_json: bool) -> None:
    """The JSON object on standard output, or a table for people on standard error."""
    if as_json:
        emit_json(answer)
        return
    table = Table(show_header=False)
    for name, value in _flat(answer, ""):
        table.add_row(name, f"{value:,.6g}" if isinstance(value, float) else str(value))
    console.print(table)


def _flat(answer: Mapping[str, Any], prefix: str) -> list[tuple[str, Any]]:
    rows: list[tuple[str, Any]] = []
    for name, value in answer.items():
        rows += _flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) else [(prefix + name, value)]
    return rows
