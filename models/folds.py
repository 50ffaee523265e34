"""Predictions for days that the predicting model had not seen: expanding folds inside the training span."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from features.errors import BadInput
from models.candidates import fit
from models.dataset import Rows
from models.params import Recipe

MAX_FOLDS = 3
_FIRST_SHARE = 0.4  # of the days, which no fold predicts

Mask = NDArray[np.bool_]
Floats = NDArray[np.float64]
Advance = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class OutOfTime:
    """The predicted rows (m,) of all folds: raw logits, labels, amounts in BRL, fold, and what each
    stands for (above 0); and their days."""

    logits: Floats
    y: Mask
    amount: Floats
    fold: NDArray[np.intp]
    weight: Floats
    days: int

    @property
    def n_folds(self) -> int:
        """How many folds predicted."""
        return len(np.unique(self.fold))


def expanding(days: NDArray[np.datetime64]) -> Iterator[tuple[Mask, Mask]]:
    """(train, predict) masks: each fold predicts the next chunk of days from all days before it.

    `days` (n,) is each row's UTC day. At most 3 folds over the days after the first 40 %; two days give one.
    """
    unique = np.unique(days)
    first = max(1, round(_FIRST_SHARE * len(unique)))
    later = unique[first:]
    for chunk in np.array_split(later, min(MAX_FOLDS, len(later)) or 1):
        if len(chunk):
            yield days < chunk[0], (days >= chunk[0]) & (days <= chunk[-1])


def fold_count(days: int) -> int:
    """How many folds a span of so many days gives."""
    return min(MAX_FOLDS, days - max(1, round(_FIRST_SHARE * days)))


def usable(rows: Rows, y: Mask) -> list[tuple[Mask, Mask]]:
    """The folds whose training days have both classes.

    Raises BadInput when no fold remains, or when the predicted days have no fraud.
    """
    folds = [fold for fold in expanding(rows.day) if y[fold[0]].any() and not y[fold[0]].all()]
    if not any(y[predict].any() for _, predict in folds):
        raise BadInput(
            "--train-from/--train-to: calibration and thresholds need 2 days or more, "
            "with fraud early and late; choose a longer span"
        )
    return folds


def out_of_time(
    recipe: Recipe,
    rows: Rows,
    y: Mask,
    seed: int,
    weight: Floats | None = None,
    advance: Advance = lambda _: None,
) -> OutOfTime:
    """Each fold's days as the recipe's model of the earlier ones predicts them. Raises as `usable` does."""
    w = np.ones(len(y)) if weight is None else weight
    # What others stand for is neither fraud nor honest: it calibrates nothing and is not measured.
    folds = [(train, predict & (w > 0)) for train, predict in usable(rows, y & (w > 0))]
    logits = []
    for train, predict in folds:
        model = fit(recipe, rows.vectors[train], y[train], seed, None if weight is None else weight[train])
        logits.append(model.logits(rows.vectors[predict]))
        advance("an out-of-time fold")
    return gathered(rows, y, [predict for _, predict in folds], logits, w)


def gathered(
    rows: Rows, y: Mask, predicted: list[Mask], logits: list[Floats], weight: Floats | None = None
) -> OutOfTime:
    """The folds' predictions as one."""
    w = np.ones(len(y)) if weight is None else weight
    return OutOfTime(
        np.concatenate(logits),
        np.concatenate([y[predict] for predict in predicted]),
        np.concatenate([rows.amount[predict] for predict in predicted]),
        np.repeat(np.arange(len(predicted)), [len(part) for part in logits]),
        np.concatenate([w[predict] for predict in predicted]),
        sum(len(np.unique(rows.day[predict])) for predict in predicted),
    )
