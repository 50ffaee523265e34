"""How sure a figure is: customers drawn again with replacement, both models measured on the same draws.

Payments of one customer are alike, so customers are drawn and not payments. A draw is a count a customer; a
figure is then a weighted sum, for which all that needs sorting is sorted once: the payments between two
frauds' scores are one segment, and a sparse matrix (segments, customers) times the counts (customers, draws)
gives every draw's ranking. A thousand draws of 65,000 payments take a second or two.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array  # type: ignore[import-untyped]

from models import metrics
from models.costs import Costs, Thresholds
from models.intervals import percentiles
from models.payer_days import payer_days, precision_at_top
from models.scored import Scored

REPLICATES = 1_000
_CHUNK_CELLS = 2_000_000  # counts, or segments, that are held at once

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Judged:
    """A model on the rows, with what it decides by."""

    found: Scored
    thresholds: Thresholds
    costs: Costs
    alert_rate: float = metrics.ALERT_RATE

    def headlines(self) -> dict[str, float | None]:
        """The figures themselves."""
        return metrics.headlines(self.found, self.thresholds, self.costs, self.alert_rate)


class Ranking:
    """Rows sorted once, for figures under many weights of their customers."""

    def __init__(self, found: Scored) -> None:
        cuts = np.unique(found.score[found.y])
        places = np.searchsorted(cuts, found.score, "left") + np.searchsorted(cuts, found.score, "right")
        segment = 2 * len(cuts) - places  # 0: above every fraud; 2i + 1: the i-th highest score of a fraud
        shape = 2 * len(cuts) + 1, found.n_payers
        self.n_segments = shape[0]
        self._all = csr_array((found.weight, (segment, found.payer)), shape=shape)
        y = found.y
        self._frauds = csr_array((found.weight[y], (segment[y], found.payer[y])), shape=shape)

    def figures(self, copies: Floats, alert_rate: float) -> dict[str, Floats]:
        """Average precision, ROC AUC and recall (r,) for `copies` (r, payers); NaN where undefined."""
        here, frauds = self._all @ copies.T, (self._frauds @ copies.T)[1::2]
        through = np.cumsum(here, axis=0)
        total, above, tied = through[-1], through[0:-1:2], here[1::2]
        up_to, caught = above + tied, np.cumsum(frauds, axis=0)
        n_frauds = frauds.sum(axis=0)
        honest_above = above - (caught - frauds) + (tied - frauds) / 2
        with np.errstate(divide="ignore", invalid="ignore"):
            precision = np.where(up_to > 0, caught / up_to, 0.0)
            fits = np.where(tied > 0, np.clip((alert_rate * total - above) / tied, 0.0, 1.0), 0.0)
            return {
                "average_precision": (frauds * precision).sum(axis=0) / n_frauds,
                "roc_auc": 1 - (frauds * honest_above).sum(axis=0) / (n_frauds * (total - n_frauds)),
                "recall_at_alert_rate": (frauds * fits).sum(axis=0) / n_frauds,
            }


class Resampled:
    """One model's headlines under many weights of the customers."""

    def __init__(self, model: Judged) -> None:
        found, self._alert_rate = model.found, model.alert_rate
        self.ranking = Ranking(found)
        self._days = payer_days(found.y, found.score, found.payer, found.day, found.weight)
        gained = metrics.saved(found, model.thresholds, model.costs)
        self._saved = np.bincount(found.payer, weights=gained, minlength=found.n_payers)
        self._disturbed = metrics.disturbed(found, model.thresholds)

    def headlines(self, copies: Floats) -> dict[str, Floats]:
        """Each of `metrics.HEADLINES` (r,), for `copies` (r, payers)."""
        return {
            **self.ranking.figures(copies, self._alert_rate),
            "payer_precision_at_100": precision_at_top(self._days, copies, metrics.TOP_PAYERS),
            "money_saved": copies @ self._saved,
            "customers_disturbed": copies @ self._disturbed,
        }


def draws(n_payers: int, replicates: int, seed: int, at_once: int) -> Iterator[Floats]:
    """Counts (up to `at_once`, payers) of how often each customer was drawn; `replicates` in all."""
    rng = np.random.default_rng(seed)
    for start in range(0, replicates, at_once):
        size = min(at_once, replicates - start)
        yield rng.multinomial(n_payers, np.full(n_payers, 1 / n_payers), size=size).astype(np.float64)


def resample(models: Mapping[str, Judged], replicates: int, seed: int = 0) -> dict[str, dict[str, Floats]]:
    """Model → headline → (replicates,): all models, which share their rows, on the same draws."""
    prepared = {name: Resampled(model) for name, model in models.items()}
    n_payers = next(iter(models.values())).found.n_payers
    widest = max([n_payers, *(model.ranking.n_segments for model in prepared.values())])
    parts: dict[str, list[dict[str, Floats]]] = {name: [] for name in models}
    for copies in draws(n_payers, replicates, seed, max(1, _CHUNK_CELLS // widest)):
        for name, model in prepared.items():
            parts[name].append(model.headlines(copies))
    return {
        name: {key: np.concatenate([part[key] for part in found]) for key in metrics.HEADLINES}
        for name, found in parts.items()
    }


def own_intervals(replicates: Mapping[str, Floats]) -> dict[str, dict[str, float] | None]:
    """Headline → its interval, {low, high}."""
    return {name: _bounds(values) for name, values in replicates.items()}


def differences(
    model: Mapping[str, float | None],
    champion: Mapping[str, float | None],
    replicates: Mapping[str, Mapping[str, Floats]],
) -> dict[str, Any]:
    """Headline → {champion, difference, low, high, share_above}: model less champion, by paired draws.

    `share_above` is the share of the draws in which the difference is above 0. Headlines that one of them
    has not are left out. `replicates` has the keys "model" and "champion".
    """
    answer: dict[str, Any] = {}
    for name in metrics.HEADLINES:
        ours, theirs = model[name], champion[name]
        apart = replicates["model"][name] - replicates["champion"][name]
        bounds = _bounds(apart)
        if ours is not None and theirs is not None and bounds is not None:
            above = float((apart[np.isfinite(apart)] > 0).mean())
            answer[name] = {"champion": theirs, "difference": ours - theirs, **bounds, "share_above": above}
    return answer


def _bounds(values: Floats) -> dict[str, float] | None:
    found = percentiles(values)
    return None if found is None else {"low": found[0], "high": found[1]}
