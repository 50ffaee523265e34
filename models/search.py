"""Settings found by Optuna on inner time folds: seeded, resumable, bounded."""

import hashlib
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from numpy.typing import NDArray

from features.errors import BadInput
from models import metrics
from models.candidates import candidate
from models.dataset import Rows
from models.folds import out_of_time, usable
from models.params import Recipe
from models.train import fingerprint

Labels = NDArray[np.bool_]
Floats = NDArray[np.float64]
Tell = Callable[[int, float], None]
"""Told of every finished trial: how many there are, and the best value."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """Where a search ends: so many trials in all, resumed ones included, or so many minutes of this run."""

    trials: int
    minutes: float


def search(
    recipe: Recipe,
    rows: Rows,
    y: Labels,
    seed: int,
    bounds: Bounds,
    study_file: Path,
    tell: Tell = lambda _count, _best: None,
    weight: Floats | None = None,
) -> dict[str, Any]:
    """The best settings of the recipe's one member: {recipe, average_precision, folds, first, trials}.

    A trial's value is the mean of the average precisions of the folds inside the span (`folds.usable`). The
    first trial is the recipe as it is (`first`), so the answer is never worse there. The study is kept in
    `study_file` (SQLite): the same command goes on where an earlier one stopped; a study of other rows or
    settings is refused. Raises BadInput for that, and for spans without folds.
    """
    usable(rows, y)
    (member,) = recipe.members
    kind = candidate(member.candidate)
    study = _open(study_file, _fingerprint(recipe, rows, y, seed, weight), seed)
    began = time.monotonic()

    def objective(trial: optuna.Trial) -> float:
        values = fold_precisions(_with(recipe, kind.space(trial)), rows, y, seed, weight)
        trial.set_user_attr("folds", values)
        return float(np.mean(values))

    if not _done(study):  # a trial that was killed is no trial
        study.enqueue_trial({**kind.params, **member.params})
    while len(_done(study)) < bounds.trials and time.monotonic() - began < 60 * bounds.minutes:
        study.optimize(objective, n_trials=1)
        tell(len(_done(study)), study.best_value)
    done = _done(study)
    if not done:
        raise BadInput("--minutes: no trial was finished in that time; give more")
    best = study.best_trial
    return {
        "recipe": asdict(_with(recipe, best.params)),
        "average_precision": best.value,
        "folds": best.user_attrs["folds"],
        "first": done[0].value,
        "trials": len(done),
    }


def fold_precisions(
    recipe: Recipe, rows: Rows, y: Labels, seed: int, weight: Floats | None = None
) -> list[float]:
    """The average precision of each fold that has a fraud to find."""
    seen = out_of_time(recipe, rows, y, seed, weight)
    found = (
        metrics.average_precision(*(x[seen.fold == fold] for x in (seen.y, seen.logits, seen.weight)))
        for fold in np.unique(seen.fold)
    )
    return [value for value in found if value is not None]


def _with(recipe: Recipe, params: dict[str, Any]) -> Recipe:
    (member,) = recipe.members
    return replace(recipe, members=(replace(member, params={**member.params, **params}),))


def _done(study: optuna.Study) -> list[optuna.trial.FrozenTrial]:
    return study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.COMPLETE,))


def _fingerprint(recipe: Recipe, rows: Rows, y: Labels, seed: int, weight: Floats | None) -> str:
    """What a study is of, to the last bit; trials of something else do not compare."""
    content = hashlib.sha256(fingerprint(rows, y).encode())
    content.update(b"" if weight is None else np.ascontiguousarray(weight).tobytes())
    first, last = rows.occurred_at.min(), rows.occurred_at.max()
    settings = {**asdict(recipe), "seed": seed}
    counts = f"{len(rows)} rows, {int(y.sum())} frauds"
    return f"{first} to {last}, {counts}, content {content.hexdigest()[:16]}, {settings}"


def _open(path: Path, fingerprint: str, seed: int) -> optuna.Study:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    path.parent.mkdir(parents=True, exist_ok=True)
    storage = f"sqlite:///{path}"
    try:
        study = optuna.create_study(
            storage=storage, study_name="vigia", direction="maximize", load_if_exists=True
        )
    except Exception as error:  # SQLAlchemy's and Optuna's own types, for a file that is something else
        raise BadInput(f"--study: {path} is no study of this command ({type(error).__name__})") from None
    known = study.user_attrs.get("of", fingerprint)
    if known != fingerprint:
        raise BadInput(f"--study: {path} is of other rows or settings ({known}); name another file")
    study.set_user_attr("of", fingerprint)
    # After a resume the sampler must not draw the earlier trials' numbers again.
    study.sampler = optuna.samplers.TPESampler(seed=seed * 10_000 + len(study.trials), multivariate=False)
    return study
