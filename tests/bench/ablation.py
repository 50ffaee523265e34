"""What each family of features is worth: leave it out, train again, see what is lost. About ten minutes.

`python -m tests.bench.ablation [--write docs/ablation.md]` measures two things, each as the mean and the
spread over a few seeds of LightGBM: the average precision on the Handbook's four 7-day folds (`quality.py`;
left out where its file is absent), and on simulated Pix the recall of each kind of fraud when a fixed share
of the payments is alerted.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from features.catalog import FAMILIES, FEATURES_VERSION, NAMES
from models.extras import train_extra
from stream.cli.common import progress
from stream.simulate import Simulation, SimulationConfig, simulate
from stream.simulate.files import write
from stream.simulate.typologies import NAMES as TYPOLOGIES
from tests.bench import quality
from tests.bench.quality import Files, Split

with train_extra():
    from models.dataset import Span, read_rows, start_of
    from models.labels import label, read_verdicts
    from models.metrics import average_precision

SEEDS = (0, 1)
TREES, STEP = 100, 0.1
"""Fewer and larger steps than `quality.py`'s, for many models are trained."""

CONFIG = SimulationConfig(seed=11, days=40.0, accounts=6_000, transactions_per_day=9_000.0, fraud_rate=0.02)
WARM_UP, TRAINING = 10, 15
"""Days that only fill the windows, then days of training; the rest are the test."""
ALERTED = 0.02
"""Share of the test's payments that is alerted: those of the highest scores."""
HONEST_KEPT = 3
"""Of so many honest training payments of the simulation one is kept: a third of the time, the same recall."""

DRAIN = "drain of a mule"
KINDS = (*TYPOLOGIES, DRAIN)
"""A mule's own payments are apart from those of the victims who paid it: other features find them."""

BASE = ("event", "payer_velocity", "payee_velocity", "payer_amounts", "payee_reports")
"""What any fraud model has; each other family is also measured by what it adds to these alone."""

Figures = NDArray[np.float64]
Columns = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Study:
    """Splits whose columns are `names`, and what to measure on each."""

    title: str
    splits: Sequence[Split]
    figures: Sequence[str]
    measure: Callable[[Split, Figures], Figures]
    """(split, scores (n_test,)) to (figures,)."""
    params: Mapping[str, Any]
    names: Sequence[str] = NAMES

    def run(self, left_out: Sequence[str] = ()) -> Figures:
        """(seeds, figures), each the mean over the splits, of models without the `left_out` columns."""
        params = {**self.params, "learning_rate": STEP}
        keep = np.flatnonzero(~np.isin(self.names, left_out))
        parts = (_narrowed(split, keep) for split in self.splits)
        found = [
            [self.measure(part, scores) for scores in quality.scores(part, params, TREES, SEEDS)]
            for part in parts
        ]
        return np.asarray(np.mean(found, axis=0), dtype=np.float64)

    def knows(self, family: Sequence[str]) -> bool:
        """Whether a column of `family` differs between two training payments; else nothing can be lost."""
        columns = np.flatnonzero(np.isin(self.names, family))
        return any(_varies(split.vectors[:, column]) for split in self.splits for column in columns)


def _narrowed(split: Split, columns: Columns) -> Split:
    return Split(split.vectors[:, columns], split.y, split.vectors_test[:, columns], split.y_test)


def _varies(column: NDArray[np.float32]) -> bool:
    return not np.array_equal(column[1:], column[:-1], equal_nan=True)


def handbook_study(files: Files) -> Study:
    """Mean average precision of the Handbook's four folds, trained on 7 days."""
    splits = [quality.read_split(files, fold) for fold in quality.folds(7)]
    return Study("Handbook", splits, ["average precision"], _average_precision, quality.plain(7))


def _average_precision(split: Split, scores: Figures) -> Figures:
    return np.array([average_precision(split.y_test, scores)])


def simulated_files(simulation: Simulation) -> Files:
    """The simulation's files and vectors; what was built before from the same bytes is taken."""
    folder = quality.bench_folder() / "simulated"
    paths = write(simulation, folder)
    content = hashlib.sha256(b"".join(path.read_bytes() for path in paths)).hexdigest()[:16]
    files = Files(*paths, folder / f"features-{FEATURES_VERSION}-{content}.parquet")
    if not files.features.exists():
        quality.build_features(files)
    return files


def simulated_study(simulation: Simulation, files: Files) -> Study:
    """Recall of each of KINDS: trained on what was reported before the test, tested on the truth."""
    kinds = np.where(simulation.drain, DRAIN, np.array(simulation.typology, dtype=object))
    truth = dict(zip(simulation.event_ids.astype(str).tolist(), kinds.tolist(), strict=True))
    first = simulation.config.start.date() + timedelta(days=WARM_UP)
    cut = first + timedelta(days=TRAINING)
    train = Span(first, cut - timedelta(days=1))
    test = Span(cut, simulation.config.end.date() - timedelta(days=1))
    known = read_rows(files.features, train, NAMES, FEATURES_VERSION)
    unseen = read_rows(files.features, test, NAMES, FEATURES_VERSION)
    y = label(known, read_verdicts(files.reports), start_of(cut))
    kind = np.array([truth[event] or "" for event in unseen.event_id.to_pylist()])

    def recalls(split: Split, scores: Figures) -> Figures:
        alerted = np.zeros(len(scores), dtype=np.bool_)
        alerted[np.argsort(-scores, kind="stable")[: round(ALERTED * len(scores))]] = True
        return np.array([alerted[split.y_test].mean(), *(alerted[kind == name].mean() for name in KINDS)])

    kept = y | (np.arange(len(y)) % HONEST_KEPT == 0)
    split = Split(known.vectors[kept], y[kept], unseen.vectors, kind != "")
    # With the 7 days' shrinkage of 1 the recall of one kind differs by 0.2 between seeds.
    return Study("simulated Pix", [split], ["all frauds", *KINDS], recalls, quality.plain(60))


@dataclass(frozen=True, slots=True)
class Losses:
    """One study's answer. `whole` (seeds, figures) is what the changes are changes of; `change` alike."""

    study: Study
    whole: Figures
    change: Mapping[str, Figures]
    """With the family changed minus without: of those that the data know."""

    @property
    def noise(self) -> Figures:
        """(figures,): the spread of one change over the seeds, as a root mean square over the families."""
        variances = np.array([change.var(axis=0, ddof=1) for change in self.change.values()])
        return np.asarray(np.sqrt(variances.mean(axis=0)), dtype=np.float64)

    def cells(self, family: str) -> list[str]:
        """Mean and spread of each change; with a star where the mean is beyond twice its own noise."""
        if family not in self.change:
            return ["·"] * len(self.study.figures)
        change = self.change[family]
        beyond = np.abs(change.mean(axis=0)) > 2 * self.noise / np.sqrt(len(change))
        return [
            f"{mean:+.3f} ± {spread:.3f}{'*' if star else ''}"
            for mean, spread, star in zip(
                change.mean(axis=0), change.std(axis=0, ddof=1), beyond, strict=True
            )
        ]


def losses(study: Study, families: Mapping[str, Sequence[str]], advance: Callable[[], None]) -> Losses:
    """Train with all features and without each family; `advance` is called after each."""
    whole = study.run()
    change = {}
    for family, names in families.items():
        if study.knows(names):
            change[family] = study.run(names) - whole
        advance()
    return Losses(study, whole, change)


def gains(study: Study, families: Mapping[str, Sequence[str]], advance: Callable[[], None]) -> Losses:
    """Train with the families of BASE, and with each other family beside them."""
    base = {name for family in BASE for name in families[family]}
    whole = study.run([name for name in NAMES if name not in base])
    change = {}
    for family, names in families.items():
        if family not in BASE and study.knows(names):
            change[family] = study.run([n for n in NAMES if n not in base and n not in names]) - whole
        advance()
    return Losses(study, whole, change)


def rows(found: Sequence[Losses], families: Mapping[str, Sequence[str]]) -> list[list[str]]:
    """The table: a header, what all features reach, a line a family, the noise."""
    figures = [f"{one.study.title}: {name.replace('_', ' ')}" for one in found for name in one.study.figures]
    whole = [
        f"{mean:.3f} ± {spread:.3f}"
        for one in found
        for mean, spread in zip(one.whole.mean(axis=0), one.whole.std(axis=0, ddof=1), strict=True)
    ]
    return [
        ["family", "features", *figures],
        ["", "", *whole],
        *(
            [family, str(len(names)), *(cell for one in found for cell in one.cells(family))]
            for family, names in families.items()
        ),
        ["noise of a change", "", *(f"{noise:.3f}" for one in found for noise in one.noise)],
    ]


def _lines(table: Sequence[Sequence[str]]) -> str:
    header, *body = ("| " + " | ".join(row) + " |" for row in table)
    return "\n".join([header, "|---|" + "---:|" * (len(table[0]) - 1), *body])


def markdown(
    left_out: Sequence[Sequence[str]], added: Sequence[Sequence[str]], found: Sequence[Losses]
) -> str:
    """The page: what was done, on what, and the tables."""
    data = "\n".join(f"- {one.study.title}: {_size(one.study)}." for one in found)
    return f"""# What each family of features is worth

Written by `python -m tests.bench.ablation --write docs/ablation.md`, never by hand; features
{FEATURES_VERSION}. A model is trained without each family of `features.catalog.FAMILIES`, and with each
family beside the plainest ones; the tables say what changes.

## Added to {", ".join(BASE)}

{_lines(added)}

Positive: the family helps.

## Left out of all

{_lines(left_out)}

Negative: the family is missed. Families overlap: what one would have said another may say too, so most can
be left out alone.

## How to read them

- A cell is the mean and the spread (standard deviation) over {len(SEEDS)} seeds of LightGBM; the first line
  is what the changes are changes of. `*`: the mean is beyond twice its own noise. `·`: these data hold
  nothing that the family could tell, or it is one of the plainest.
- Handbook: the mean average precision of its four folds, trained on 7 days (DESIGN 13). It has no devices and
  no keys, and no account of it both pays and is paid.
- Simulated Pix: the recall of all frauds and of each kind when the {ALERTED:.1%} of the payments with the
  highest scores are alerted. Trained on what was reported before the test, tested on the truth.
- Seeds show the noise of training, not that of the test weeks.

What was trained on and tested:

{data}
"""


def _size(study: Study) -> str:
    train = sum(len(split.y) for split in study.splits), sum(int(split.y.sum()) for split in study.splits)
    test = sum(len(s.y_test) for s in study.splits), sum(int(s.y_test.sum()) for s in study.splits)
    return f"{train[0]:,} to train on ({train[1]:,} frauds), {test[0]:,} tested ({test[1]:,} frauds)"


def main(
    out: Annotated[Path | None, typer.Option("--write", help="Markdown file to write.")] = None,
) -> None:
    """Print what is lost without each family of features."""
    simulation = simulate(CONFIG)
    studies = [simulated_study(simulation, simulated_files(simulation))]
    if source := quality.handbook():
        studies.insert(0, handbook_study(quality.handbook_files(source)[0]))
    with progress("families") as bar:
        task = bar.add_task("trained", total=2 * len(studies) * len(FAMILIES))
        added = [gains(study, FAMILIES, lambda: bar.advance(task)) for study in studies]
        left_out = [losses(study, FAMILIES, lambda: bar.advance(task)) for study in studies]
    tables = {"added": rows(added, FAMILIES), "left out": rows(left_out, FAMILIES)}
    for title, (header, *body) in tables.items():
        printed = Table(*header, title=f"{title}, features {FEATURES_VERSION}")
        for row in body:
            printed.add_row(*row)
        Console().print(printed)
    if out:
        out.write_text(markdown(tables["left out"], tables["added"], left_out))


if __name__ == "__main__":
    typer.run(main)
