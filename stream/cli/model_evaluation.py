"""`vigia models evaluate|report`: options in, one answer out; the work is in `models/`."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from features.errors import BadInput
from models.extras import train_extra
from stream.cli.common import console, emit_json, parse_day, progress
from stream.cli.model_options import Features, First, Folder, Json, Last, Reports, days

if TYPE_CHECKING:
    from models.evaluate import Question

Against = Annotated[
    Path | None,
    typer.Option("--against", metavar="CHAMPION_DIR", help="Model folder to compare with, on the same rows."),
]
ExcludeKnown = Annotated[
    bool, typer.Option("--exclude-known", help="Leave out payers known as defrauded on the day.")
]
AsOf = Annotated[
    str | None,
    typer.Option(
        metavar="DAY", help="Labels: reports before this day; payments of the 7 days before it are left out."
    ),
]
FoldDays = Annotated[int, typer.Option(min=1, help="Days of a fold; the figures' spread is over the folds.")]
AlertRate = Annotated[
    float, typer.Option(help="Share of the payments that may be alerted, for recall at that rate.")
]
Replicates = Annotated[int, typer.Option(min=0, help="Draws of the bootstrap by customer; 0 leaves it out.")]


def register(models: typer.Typer) -> None:
    """Add `evaluate` and `report` to the group `models`."""
    models.command()(evaluate)
    models.command()(report)


def evaluate(
    folder: Folder,
    features: Features,
    reports: Reports,
    first: First,
    last: Last,
    exclude_known: ExcludeKnown = False,
    against: Against = None,
    against_simple: Annotated[
        bool, typer.Option("--against-simple", help="Also measure a depth-3 tree on the three best features.")
    ] = False,
    as_of: AsOf = None,
    fold_days: FoldDays = 7,
    alert_rate: AlertRate = 0.001,
    replicates: Replicates = 1_000,
    as_json: Json = False,
) -> None:
    """Measure a model on later days: ranking, money, calibration, groups, and the spread of each."""
    with train_extra():
        from models.evaluate import evaluate as measure
    from models.scorer import Scorer

    question = _question(
        features,
        reports,
        first,
        last,
        exclude_known,
        against_simple,
        as_of,
        fold_days,
        alert_rate,
        replicates,
    )
    champion = Scorer.load(against) if against else None
    with console.status("measuring"):
        found = measure(Scorer.load(folder), question, champion)
    if as_json:
        emit_json(found)
    else:
        _tell(found)


def report(
    folder: Folder,
    features: Features,
    reports: Reports,
    first: First,
    last: Last,
    out: Annotated[
        Path, typer.Option(metavar="FILE", help="HTML file to write; the same as JSON is put beside it.")
    ],
    exclude_known: ExcludeKnown = False,
    against: Against = None,
    as_of: AsOf = None,
    fold_days: FoldDays = 7,
    alert_rate: AlertRate = 0.001,
    replicates: Replicates = 1_000,
    as_json: Json = False,
) -> None:
    """Write one HTML file with every figure and plot of a model, and the same as JSON."""
    with train_extra():
        from models.report import STEPS
        from models.report import report as make
        from models.report_file import check_target, write
    from models.scorer import Scorer

    question = _question(
        features, reports, first, last, exclude_known, False, as_of, fold_days, alert_rate, replicates
    )
    check_target(out)
    scorer, champion = Scorer.load(folder), Scorer.load(against) if against else None
    with progress("steps") as bar:
        task = bar.add_task("reading", total=STEPS)
        found = make(scorer, question, champion, lambda done: bar.update(task, description=done, advance=1))
    done = {"model": scorer.model_id, "verdict": found["verdict"], **write(out, found)}
    if as_json:
        emit_json(done)
    else:
        _say(found, done)


def _say(found: Mapping[str, Any], done: Mapping[str, Any]) -> None:
    """What the report's first screen says, on standard error."""
    console.print(found["verdict"]["title"], style="bold")
    for sentence in (*found["verdict"]["sentences"], *(f"warning: {x}" for x in found["warnings"])):
        console.print(sentence, soft_wrap=True, highlight=False)
    console.print(f"{done['html']} ({done['html_bytes'] / 1e6:.2f} MB), {done['json']}", soft_wrap=True)


def _question(
    features: Path,
    reports: Path,
    first: str,
    last: str,
    exclude_known: bool,
    against_simple: bool,
    as_of: str | None,
    fold_days: int,
    alert_rate: float,
    replicates: int,
) -> "Question":
    from models.dataset import Span
    from models.evaluate import Question

    if not 0 < alert_rate < 1:
        raise BadInput(f"--alert-rate: {alert_rate} must lie between 0 and 1; 0.001 is one payment in 1,000")
    return Question(
        features,
        reports,
        Span(*days(first, last, "--from", "--to")),
        exclude_known,
        against_simple,
        parse_day(as_of, "--as-of") if as_of else None,
        fold_days,
        alert_rate,
        replicates,
    )


def _tell(found: Mapping[str, Any]) -> None:
    """For people, on standard error: the headlines, what to beware of, and the groups."""
    console.print(
        f"{found['model']} from {found['from']} to {found['to']}: {found['n']:,} payments, "
        f"{found['frauds']:,} frauds, {found['excluded_known']:,} payments of known payers left out",
        soft_wrap=True,
    )
    console.print(_headlines(found))
    console.print(_groups(found["groups"]))
    for note in found["notes"]:
        console.print(f"note: {note}", soft_wrap=True)
    for warning in found["warnings"]:
        console.print(f"warning: {warning}", soft_wrap=True)


def _headlines(found: Mapping[str, Any]) -> Table:
    rival = found.get("against_champion", {})
    table = Table("figure", "value", "90 % interval", f"folds: {len(found['folds'])}")
    if rival:
        table.add_column(f"less {found['champion']}")
    for name, spread in found["spread"].items():
        own = found.get("intervals", {}).get(name)
        cells = [_figure(found[name]), _interval(own), _over_folds(spread)]
        if rival:
            gap = rival.get(name)
            cells.append(f"{_figure(gap['difference'])} ({_interval(gap)})" if gap else "–")
        table.add_row(name, *cells)
    return table


def _groups(groups: list[Mapping[str, Any]]) -> Table:
    table = Table(
        "group", "value", "payments", "frauds", "average precision", "frauds stopped", "honest stopped"
    )
    for x in groups:
        counts = f"{x['n']:,}", f"{x['frauds']:,}"
        shares = (_figure(x[name]) for name in ("average_precision", "recall", "honest_stopped"))
        small = " (too small)" if x["note"] else ""
        table.add_row(
            x["group"], x["value"] + small, *counts, *shares, style="bold" if x["warning"] else None
        )
    return table


def _over_folds(spread: Mapping[str, float | None] | None) -> str:
    if spread is None or spread["std"] is None:
        return "–"
    return f"{_figure(spread['mean'])} ± {_figure(spread['std'])}"


def _figure(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.4g}"


def _interval(bounds: Mapping[str, float] | None) -> str:
    return "–" if bounds is None else f"{_figure(bounds['low'])} to {_figure(bounds['high'])}"
