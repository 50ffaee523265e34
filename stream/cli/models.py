"""`vigia models train|score`: options in, one answer out; the work is in `models/`."""

from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer

from features import catalog
from features.errors import BadInput
from models.costs import Costs
from models.extras import train_extra
from stream.cli import model_evaluation
from stream.cli.common import console, parse_day, progress
from stream.cli.model_options import Features, First, Folder, Json, Last, Reports, answer, days

PRODUCTS = ("pix-fraud",)
REPORT_DELAY = timedelta(days=8)  # a week for the report, and the day on which it is known in full
_COSTS = Costs()

app = typer.Typer(help="Train, measure and apply models.", no_args_is_help=True)


def register(parent: typer.Typer) -> None:
    """Add the group `models` to the command line."""
    model_evaluation.register(app)
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
    first, last = days(train_from, train_to, "--train-from", "--train-to")
    known = parse_day(as_of, "--as-of") if as_of else last + REPORT_DELAY
    if known <= last:
        raise BadInput(f"--as-of: {known} is not after --train-to {last}; labels come after the payments")
    with train_extra():
        from models.dataset import Span, read_rows, start_of
        from models.folds import fold_count
        from models.labels import label, read_verdicts
        from models.registry import check_target, save
        from models.train import Task
        from models.train import train as fit
    check_target(out)
    span = Span(first, last)
    verdicts = read_verdicts(reports)
    rows = read_rows(features, span, catalog.NAMES, catalog.FEATURES_VERSION)
    y = label(rows, verdicts, start_of(known))
    with progress("steps") as bar:
        steps = bar.add_task(f"training on {len(rows):,} payments, {int(y.sum()):,} frauds")
        bar.update(steps, total=fold_count((last - first).days + 1) + 2)
        task = Task(product, span, known, catalog.NAMES, catalog.FEATURES_VERSION, costs, seed)
        model = fit(task, rows, y, lambda _: bar.advance(steps))
    save(out, model)
    manifest = model.manifest
    done = {"model": manifest.model_id, "out": str(out), "n": manifest.n, "frauds": manifest.n_frauds}
    answer({**done, "trees": manifest.params["n_trees"], "out_of_time": dict(manifest.metrics)}, as_json)


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
    span = days(first, last, "--from", "--to")
    with train_extra():
        from models.dataset import Span, read_rows
        from models.evaluate import score_rows
        from models.scores import write_scores
    from models.scorer import Scorer

    scorer = Scorer.load(folder)
    with console.status("scoring"):
        rows = read_rows(features, Span(*span), catalog.NAMES, catalog.FEATURES_VERSION)
        write_scores(out, rows, score_rows(scorer, rows), scorer.model_id)
    answer({"model": scorer.model_id, "n": len(rows), "out": str(out)}, as_json)
