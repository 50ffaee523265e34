"""`vigia models train|search|compare|score`: options in, one answer out; the work is elsewhere."""

from collections.abc import Mapping
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import orjson
import typer
from rich.table import Table

from features import catalog
from features.errors import BadInput
from models.costs import read_costs
from models.extras import train_extra
from models.registry import require_product
from stream.cli import model_data, model_evaluation, model_registry
from stream.cli.common import console, emit_json, parse_day, progress
from stream.cli.model_options import (
    Features,
    First,
    Folder,
    Json,
    Last,
    Reports,
    answer,
    days,
)

if TYPE_CHECKING:
    from models.dataset import Span
    from models.labelled import Labelled

LATENCY_MS = 10.0
"""What scoring a batch of 256 may take at the 99th percentile: a quarter of the 40 ms promised."""

Product = Annotated[str, typer.Argument(help="Which model: pix-fraud.")]
TrainFrom = Annotated[str, typer.Option(metavar="DAY", help="First day (UTC).")]
TrainTo = Annotated[str, typer.Option(metavar="DAY", help="Last day (UTC), included.")]
AsOf = Annotated[
    str | None,
    typer.Option(metavar="DAY", help="Labels: reports before this day. Default: train-to + 8 days."),
]
Seed = Annotated[int, typer.Option(min=0, max=2**31 - 1, help="Same seed and input, same answer.")]


def register(parent: typer.Typer) -> None:
    """Add the group `models` to the command line."""
    group = typer.Typer(help="Train, measure and apply models.", no_args_is_help=True)
    for command in (train, search, compare, score):
        group.command()(command)
    model_data.register(group)
    model_evaluation.register(group)
    model_registry.register(group)
    parent.add_typer(group, name="models")


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
        Path | None,
        typer.Option("--recipe", help="JSON file of `models search` or `models compare`."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Train a model on labelled days and write its folder."""
    span, known = _training_span(product, train_from, train_to, as_of)
    stated = read_costs(costs)
    with train_extra():
        from models.candidates import require_servable
        from models.folds import fold_count
        from models.maturity import immaturity, maturity
        from models.params import read_recipe
        from models.registry import check_target, save
        from models.train import Task
        from models.train import train as fit
    check_target(out)
    chosen = read_recipe(recipe) if recipe else None
    if chosen:
        require_servable(chosen)
    data = _labelled(features, reports, span, known)
    labels = maturity(features, reports, known, span)
    if warning := immaturity(labels):
        console.print(f"warning: {warning}", highlight=False, markup=False, soft_wrap=True)
    with progress("steps") as bar:
        steps = bar.add_task(f"training on {len(data):,} payments, {int(data.y.sum()):,} frauds")
        bar.update(steps, total=fold_count((span.last - span.first).days + 1) + 2)
        task = Task(product, span, known, catalog.NAMES, catalog.FEATURES_VERSION, stated, seed, chosen)
        model = fit(task, data.rows, data.y, lambda _: bar.advance(steps), data.weight)
    save(out, model)
    manifest = model.manifest
    for warning in manifest.warnings:
        console.print(f"warning: {warning}", soft_wrap=True)
    done = {"model": manifest.model_id, "out": str(out), "n": manifest.n, "frauds": manifest.n_frauds}
    done |= {"unlabelled": data.unlabelled, "labels_to_come": labels["span"]["to_come_share"]}
    more = {"warnings": list(manifest.warnings), "thresholds": asdict(manifest.thresholds)}
    answer(
        {**done, "trees": manifest.params["n_trees"], **more, "out_of_time": dict(manifest.metrics)},
        as_json,
    )


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
    _require_writable("--out", out)
    _require_writable("--study", study)
    data = _labelled(features, reports, span, known)
    rows, y = data.rows, data.y
    with progress("trials") as bar:
        task = bar.add_task(f"{candidate} on {len(rows):,} payments, {int(y.sum()):,} frauds", total=trials)
        found = run(
            candidate_recipe(candidate, int(y.sum()), len(y)), rows, y, seed, Bounds(trials, minutes), study,
            lambda done, best: bar.update(task, completed=done, description=f"best {best:.4f}"),
            data.weight,
        )  # fmt: skip
    out.write_bytes(orjson.dumps(found, option=orjson.OPT_INDENT_2))
    answer({**found, "out": str(out)}, as_json)


def _require_writable(option: str, file: Path) -> None:
    if file.is_dir() or not file.parent.is_dir():
        raise BadInput(f"{option}: {file} cannot be written; name a file in a folder that exists")


def compare(
    product: Product,
    features: Features,
    reports: Reports,
    train_from: TrainFrom,
    train_to: TrainTo,
    latency_ms: Annotated[
        float, typer.Option(min=0.01, help="Budget: ONNX, a batch of 256, 99th percentile, one thread.")
    ] = LATENCY_MS,
    recipe_out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The champion's recipe, for `train --recipe`.")
    ] = None,
    as_of: AsOf = None,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Measure every candidate and their stack on time folds inside the training days.

    The champion is the best that can be served within the budget; `--recipe-out FILE`, then
    `vigia models train … --recipe FILE`, makes a model by its recipe.
    """
    if recipe_out:
        _require_writable("--recipe-out", recipe_out)
    span, known = _training_span(product, train_from, train_to, as_of)
    with train_extra():
        from models.compare import compare as run
        from models.compare import contenders
    data = _labelled(features, reports, span, known)
    rows, y = data.rows, data.y
    recipes = contenders(int(y.sum()), len(y))
    with progress("contenders") as bar:
        task = bar.add_task("comparing", total=len(recipes))
        found = run(
            rows, y, seed, latency_ms, recipes, lambda name: bar.update(task, advance=1, description=name),
            data.weight,
        )  # fmt: skip
    if recipe_out and found["champion"] is not None:
        recipe = {"recipe": asdict(recipes[found["champion"]])}
        recipe_out.write_bytes(orjson.dumps(recipe, option=orjson.OPT_INDENT_2))
        found = {**found, "recipe_out": str(recipe_out)}
    if as_json:
        return emit_json(found)
    console.print(_contenders(found))
    if found["champion"] is not None:
        given = recipe_out or "FILE (--recipe-out FILE writes it)"
        told = f"to train the champion: vigia models train {product} … --recipe {given}"
        console.print(told, soft_wrap=True, highlight=False)
    return None


def _contenders(found: Mapping[str, Any]) -> Table:
    columns = [name for name in found["contenders"][0] if name != "name"]
    table = Table("contender", *columns, title=f"champion: {found['champion']}")
    for one in found["contenders"]:
        cells = (one[name] for name in columns)
        shown = (f"{c:.4g}" if isinstance(c, float) else "-" if c is None else str(c) for c in cells)
        table.add_row(one["name"], *shown)
    return table


def _training_span(product: str, first: str, last: str, as_of: str | None) -> tuple["Span", date]:
    """The training days, and the day before which reports count. Raises BadInput."""
    require_product(product)
    start, end = days(first, last, "--train-from", "--train-to")
    with train_extra():
        from models.dataset import Span
        from models.evaluate import MATURE_AFTER
    known = parse_day(as_of, "--as-of") if as_of else end + MATURE_AFTER
    if known <= end:
        raise BadInput(f"--as-of: {known} is not after --train-to {end}; labels come after the payments")
    return Span(start, end), known


def _labelled(features: Path, reports: Path, span: "Span", as_of: date) -> "Labelled":
    """The labelled rows of the span, by what was known before `as_of`. Raises BadInput."""
    with train_extra():
        from models.dataset import start_of
        from models.labelled import labelled
        from models.train import require_both_classes
    found = labelled(features, reports, span, catalog.NAMES, catalog.FEATURES_VERSION, start_of(as_of))
    require_both_classes(found.y, f"{span}, as known before {as_of}")
    return found


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
