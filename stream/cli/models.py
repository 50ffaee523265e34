"""`vigia models train|search|compare|evaluate|score`: options in, one answer out; the work is elsewhere."""

from collections.abc import Mapping
from dataclasses import asdict
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import orjson
import typer
from rich.table import Table

from features import catalog
from features.errors import BadInput
from models.costs import read_costs
from models.extras import train_extra
from stream.cli.common import console, emit_json, parse_day, progress

if TYPE_CHECKING:
    from models.dataset import Rows, Span
    from models.train import Labels

PRODUCTS = ("pix-fraud",)
REPORT_DELAY = timedelta(days=8)  # a week for the report, and the day on which it is known in full
LATENCY_MS = 10.0
"""What scoring a batch of 256 may take at the 99th percentile: a quarter of the 40 ms promised."""

app = typer.Typer(help="Train, measure and apply models.", no_args_is_help=True)

Features = Annotated[Path, typer.Option("--features", help="Parquet file of `vigia features build`.")]
Reports = Annotated[Path, typer.Option("--reports", help="Parquet file of fraud reports.")]
First = Annotated[str, typer.Option("--from", metavar="DAY", help="First day (UTC).")]
Last = Annotated[str, typer.Option("--to", metavar="DAY", help="Last day (UTC), included.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output.")]
Product = Annotated[str, typer.Argument(help="Which model: pix-fraud.")]
TrainFrom = Annotated[str, typer.Option(metavar="DAY", help="First day (UTC).")]
TrainTo = Annotated[str, typer.Option(metavar="DAY", help="Last day (UTC), included.")]
AsOf = Annotated[
    str | None,
    typer.Option(metavar="DAY", help="Labels: reports before this day. Default: train-to + 8 days."),
]
Seed = Annotated[int, typer.Option(min=0, max=2**31 - 1, help="Same seed and input, same answer.")]
Folder = Annotated[Path, typer.Argument(metavar="DIR", help="Model folder of `vigia models train`.")]


def register(parent: typer.Typer) -> None:
    """Add the group `models` to the command line."""
    parent.add_typer(app, name="models")


@app.command()
def train(
    product: Product,
    features: Features,
    reports: Reports,
    train_from: TrainFrom,
    train_to: TrainTo,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder to write: the model and its manifest.")],
    as_of: AsOf = None,
    seed: Seed = 0,
    costs: Annotated[
        Path | None, typer.Option("--costs", help="TOML file of costs. Default: the package's costs.toml.")
    ] = None,
    recipe: Annotated[
        Path | None, typer.Option("--recipe", help="JSON file of `vigia models search`. Default: built in.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Train a model on labelled days and write its folder."""
    span, known = _training_span(product, train_from, train_to, as_of)
    stated = read_costs(costs)
    with train_extra():
        from models.folds import fold_count
        from models.params import read_recipe
        from models.registry import check_target, save
        from models.train import Task
        from models.train import train as fit
    check_target(out)
    chosen = read_recipe(recipe) if recipe else None
    rows, y = _labelled(features, reports, span, known)
    with progress("steps") as bar:
        steps = bar.add_task(f"training on {len(rows):,} payments, {int(y.sum()):,} frauds")
        bar.update(steps, total=fold_count((span.last - span.first).days + 1) + 2)
        task = Task(product, span, known, catalog.NAMES, catalog.FEATURES_VERSION, stated, seed, chosen)
        model = fit(task, rows, y, lambda _: bar.advance(steps))
    save(out, model)
    manifest = model.manifest
    for warning in manifest.warnings:
        console.print(f"warning: {warning}", soft_wrap=True)
    answer = {"model": manifest.model_id, "out": str(out), "n": manifest.n, "frauds": manifest.n_frauds}
    more = {"warnings": list(manifest.warnings), "thresholds": asdict(manifest.thresholds)}
    _answer(
        {**answer, "trees": manifest.params["n_trees"], **more, "out_of_time": dict(manifest.metrics)},
        as_json,
    )


@app.command()
def search(
    product: Product,
    features: Features,
    reports: Reports,
    train_from: TrainFrom,
    train_to: TrainTo,
    study: Annotated[Path, typer.Option(metavar="FILE", help="SQLite file: the same command goes on in it.")],
    out: Annotated[Path, typer.Option(metavar="FILE", help="JSON file to write, for `train --recipe`.")],
    candidate: Annotated[str, typer.Option(help="Which kind of model.")] = "lightgbm",
    trials: Annotated[
        int, typer.Option(min=1, help="Trials in all, earlier ones of the study included.")
    ] = 30,
    minutes: Annotated[float, typer.Option(min=0.01, help="Minutes of this run.")] = 30.0,
    as_of: AsOf = None,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Search a candidate's settings on time folds inside the training days."""
    span, known = _training_span(product, train_from, train_to, as_of)
    with train_extra():
        from models.params import candidate_recipe
        from models.search import Bounds
        from models.search import search as run
    rows, y = _labelled(features, reports, span, known)
    with progress("trials") as bar:
        task = bar.add_task(f"{candidate} on {len(rows):,} payments, {int(y.sum()):,} frauds", total=trials)
        answer = run(
            candidate_recipe(candidate, int(y.sum()), len(y)), rows, y, seed, Bounds(trials, minutes), study,
            lambda done, best: bar.update(task, completed=done, description=f"best {best:.4f}"),
        )  # fmt: skip
    out.write_bytes(orjson.dumps(answer, option=orjson.OPT_INDENT_2))
    _answer({**answer, "out": str(out)}, as_json)


@app.command()
def compare(
    product: Product,
    features: Features,
    reports: Reports,
    train_from: TrainFrom,
    train_to: TrainTo,
    latency_ms: Annotated[
        float, typer.Option(min=0.01, help="Budget: ONNX, a batch of 256, 99th percentile, one thread.")
    ] = LATENCY_MS,
    as_of: AsOf = None,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Measure every candidate and their stack on time folds inside the training days."""
    span, known = _training_span(product, train_from, train_to, as_of)
    with train_extra():
        from models.compare import compare as run
        from models.compare import contenders
    rows, y = _labelled(features, reports, span, known)
    recipes = contenders(int(y.sum()), len(y))
    with progress("contenders") as bar:
        task = bar.add_task("comparing", total=len(recipes))
        answer = run(
            rows, y, seed, latency_ms, recipes, lambda name: bar.update(task, advance=1, description=name)
        )
    if as_json:
        return emit_json(answer)
    console.print(_contenders(answer))
    return None


def _contenders(answer: Mapping[str, Any]) -> Table:
    columns = [name for name in answer["contenders"][0] if name != "name"]
    table = Table("contender", *columns, title=f"champion: {answer['champion']}")
    for one in answer["contenders"]:
        cells = (one[name] for name in columns)
        shown = (f"{c:.4g}" if isinstance(c, float) else "-" if c is None else str(c) for c in cells)
        table.add_row(one["name"], *shown)
    return table


def _training_span(product: str, first: str, last: str, as_of: str | None) -> tuple["Span", date]:
    """The training days, and the day before which reports count. Raises BadInput."""
    if product not in PRODUCTS:
        raise BadInput(f"{product!r} is no product of this version; known: {', '.join(PRODUCTS)}")
    days = _days(first, last, "--train-from", "--train-to")
    known = parse_day(as_of, "--as-of") if as_of else days[1] + REPORT_DELAY
    if known <= days[1]:
        raise BadInput(f"--as-of: {known} is not after --train-to {days[1]}; labels come after the payments")
    with train_extra():
        from models.dataset import Span
    return Span(*days), known


def _labelled(features: Path, reports: Path, span: "Span", as_of: date) -> tuple["Rows", "Labels"]:
    """The rows of the span and their labels as known before `as_of`. Raises BadInput."""
    with train_extra():
        from models.dataset import read_rows, start_of
        from models.labels import label, read_verdicts
        from models.train import require_both_classes
    verdicts = read_verdicts(reports)
    rows = read_rows(features, span, catalog.NAMES, catalog.FEATURES_VERSION)
    y = label(rows, verdicts, start_of(as_of))
    require_both_classes(y, f"{span}, as known before {as_of}")
    return rows, y


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
