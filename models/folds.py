"""Predictions for days that the predicting model had not seen: expanding folds inside the training span."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import lightgbm as lgb
import numpy as np
from numpy.typing import NDArray

from features.errors import BadInput
from models.dataset import Rows
from models.params import MAX_TREES, MIN_TREES, PARAMS, PATIENCE
from models.trees_lightgbm import raw_logits

MAX_FOLDS = 3
_FIRST_SHARE = 0.4  # of the days, which no fold predicts

Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class OutOfTime:
    """Raw logits (m,) of all folds' predicted rows with labels and amounts, and the trees that did best."""

    logits: NDArray[np.float64]
    y: Mask
    amount: NDArray[np.float64]
    n_trees: int
    n_folds: int


def expanding(days: NDArray[np.datetime64]) -> Iterator[tuple[Mask, Mask]]:
    """(train, predict) masks: each fold predicts the next chunk of days from all days before it.

    `days` (n,) is each row's UTC day. At most 4 folds over the days after the first 40 %; two days give one.
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


def out_of_time(rows: Rows, y: Mask, seed: int, advance: Callable[[str], None]) -> OutOfTime:
    """Predict each fold's days from the earlier ones, with the count of trees of least log loss over all.

    Folds whose training days have one class are left out. Raises BadInput when no fold remains, or when the
    predicted days have no fraud.
    """
    fitted: list[tuple[lgb.Booster, Mask]] = []
    losses = np.zeros(MAX_TREES)
    for train, predict in expanding(rows.day):
        if y[train].any() and not y[train].all():
            booster, curve = _fit(rows, y, train, predict, seed)
            fitted.append((booster, predict))
            losses += curve * predict.sum()
        advance("an out-of-time fold")
    if not fitted or not any(y[predict].any() for _, predict in fitted):
        raise BadInput(
            "--train-from/--train-to: calibration and thresholds need 2 days or more, "
            "with fraud early and late; choose a longer span"
        )
    n_trees = max(MIN_TREES, int(np.argmin(losses)) + 1)
    logits = [raw_logits(booster, rows.vectors[predict], n_trees) for booster, predict in fitted]
    predicted = [predict for _, predict in fitted]
    return OutOfTime(
        np.concatenate(logits),
        np.concatenate([y[predict] for predict in predicted]),
        np.concatenate([rows.amount[predict] for predict in predicted]),
        n_trees,
        len(fitted),
    )


def _fit(
    rows: Rows, y: Mask, train: Mask, predict: Mask, seed: int
) -> tuple[lgb.Booster, NDArray[np.float64]]:
    """A booster of the most trees on the `train` rows, and its log loss (trees,) on the `predict` rows."""
    known = lgb.Dataset(rows.vectors[train], y[train])
    unseen = lgb.Dataset(rows.vectors[predict], y[predict], reference=known)
    curves: dict[str, dict[str, list[float]]] = {}
    booster = lgb.train(
        {**PARAMS, "metric": "binary_logloss", "seed": seed},
        known,
        num_boost_round=MAX_TREES,
        valid_sets=[unseen],
        valid_names=["unseen"],
        callbacks=[lgb.record_evaluation(curves), lgb.early_stopping(PATIENCE, verbose=False)],
    )
    curve = np.array(curves["unseen"]["binary_logloss"])
    # Where it stopped early the loss was rising: taking it as level there favours no later count.
    return booster, np.pad(curve, (0, MAX_TREES - len(curve)), mode="edge")
