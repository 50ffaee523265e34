"""What each outcome costs, and the thresholds that cost least."""

import tomllib
from dataclasses import dataclass, fields
from importlib.resources import files
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from features.errors import BadInput

Floats = NDArray[np.float64]
APPROVE, REVIEW, DENY = 0, 1, 2


@dataclass(frozen=True, slots=True)
class Costs:
    """Stated costs, in BRL and in shares; `costs.toml` has the defaults, what each means and why."""

    fraud_loss_share: float = 0.9
    review: float = 4.0
    review_catch_share: float = 0.8
    wrong_denial: float = 40.0
    reviews_a_day: float = 200.0

    def __post_init__(self) -> None:
        """Raises BadInput that names the value out of range."""
        for item in fields(self):
            value, most = getattr(self, item.name), 1 if item.name.endswith("_share") else 1e9
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= most:
                raise BadInput(f"--costs: {item.name} = {value!r} must be a number from 0 to {most:g}")


def read_costs(path: Path | None = None) -> Costs:
    """The costs of a TOML file; what it leaves out, and all without one, is as in the package's `costs.toml`.

    Raises BadInput for a file that is missing or no TOML, an unknown name and a value out of range.
    """
    stated = _read(path) if path else {}
    known = {item.name for item in fields(Costs)}
    if unknown := sorted(set(stated) - known):
        raise BadInput(f"--costs: {path} has {unknown[0]!r}; known: {', '.join(sorted(known))}")
    defaults = tomllib.loads((files("models") / "costs.toml").read_text(encoding="utf-8"))
    return Costs(**{**defaults, **stated})


def _read(path: Path) -> dict[str, float]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise BadInput(f"--costs: {path} cannot be read as TOML ({error})") from None


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Bounds on the score p, and on the expected loss p × amount in BRL.

    DENY if p >= `deny` and p × amount >= `deny_loss`; else REVIEW if p >= `review` and p × amount >=
    `review_loss`. A score of 1.0 means never, for scores are below 1.
    """

    review: float
    deny: float
    review_loss: float = 0.0
    deny_loss: float = 0.0

    def __post_init__(self) -> None:
        """Raises ValueError unless what is denied would else be reviewed."""
        if not 0.0 <= self.review <= self.deny <= 1.0:
            raise ValueError(f"thresholds must be 0 <= review <= deny <= 1: {self}")
        if not 0.0 <= self.review_loss <= self.deny_loss < float("inf"):
            raise ValueError(f"thresholds must be 0 <= review_loss <= deny_loss, both finite: {self}")

    def outcome(self, scores: Floats, amount: Floats) -> NDArray[np.int8]:
        """APPROVE (0), REVIEW (1) or DENY (2) of each score (n,) of a payment of `amount` (n,) BRL."""
        loss = scores * amount
        review = (scores >= self.review) & (loss >= self.review_loss)
        deny = (scores >= self.deny) & (loss >= self.deny_loss)
        return review.astype(np.int8) + deny.astype(np.int8)


def outcome_costs(costs: Costs, y: NDArray[np.bool_], amount: Floats) -> Floats:
    """BRL of each row's three possible outcomes, (n, 3) in the order APPROVE, REVIEW, DENY."""
    loss = np.where(y, costs.fraud_loss_share * amount, 0.0)
    review = costs.review + (1.0 - costs.review_catch_share) * loss
    return np.column_stack([loss, review, np.where(y, 0.0, costs.wrong_denial)])


SCORES = np.array([
    0.0, 0.001, 0.002, 0.003, 0.005, 0.007, 0.01, 0.015, 0.02, 0.03, 0.04, 0.05, 0.07, 0.1, 0.15, 0.2, 0.25,
    0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 1.0,
])  # fmt: skip
"""The scores a threshold may be: round, so that an analyst and an auditor can remember them."""

LOSSES = np.array(
    [0, 1, 2, 3, 5, 7, 10, 15, 20, 30, 40, 50, 70, 100, 150, 200, 300, 500, 700, 1000, 2000, 5000.0]
)
"""The expected losses a threshold may be, in BRL."""


def choose_thresholds(
    costs: Costs,
    scores: Floats,
    y: NDArray[np.bool_],
    amount: Floats,
    days: int,
    weight: Floats | None = None,
) -> Thresholds:
    """The thresholds of least total cost on these rows of `days` days, of all on the grid SCORES × LOSSES.

    No more than `reviews_a_day` rows a day, by `weight` (n,), are reviewed on average. Of equal totals the
    highest deny wins, then the highest review: who is not worth a stop is left alone.
    """
    cells = _cells(scores, scores * amount)
    w = np.ones(len(scores)) if weight is None else weight
    table = outcome_costs(costs, y, amount) * w[:, None]
    gain_review = _beyond(cells, table[:, REVIEW] - table[:, APPROVE])
    gain_deny = _beyond(cells, table[:, DENY] - table[:, REVIEW])
    count = _beyond(cells, w)
    best, capacity = (np.inf, 0, 0), costs.reviews_a_day * days
    for deny in reversed(range(gain_deny.size)):
        allowed = _nested(deny) & (count - count.flat[deny] <= capacity)
        total = np.where(allowed, gain_review, np.inf).ravel()
        review = total.size - 1 - int(np.argmin(total[::-1]))
        if total[review] + gain_deny.flat[deny] < best[0] - 1e-9:
            best = (float(total[review] + gain_deny.flat[deny]), review, deny)
    return _at(best[1], best[2])


def _cells(scores: Floats, loss: Floats) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """For each row the last grid line of SCORES, and of LOSSES, that it reaches."""
    return np.searchsorted(SCORES, scores, side="right") - 1, np.searchsorted(LOSSES, loss, side="right") - 1


def _beyond(cells: tuple[NDArray[np.intp], NDArray[np.intp]], values: Floats) -> Floats:
    """(scores, losses) sums of `values` over the rows that reach both grid lines."""
    sums = np.zeros((len(SCORES), len(LOSSES)))
    np.add.at(sums, cells, values)
    return np.cumsum(np.cumsum(sums[::-1, ::-1], axis=0), axis=1)[::-1, ::-1].copy()


def _nested(deny: int) -> NDArray[np.bool_]:
    """(scores, losses) True where a review bound lies at or below the deny bound of that flat index."""
    score, loss = divmod(deny, len(LOSSES))
    return (np.arange(len(SCORES)) <= score)[:, None] & (np.arange(len(LOSSES)) <= loss)[None, :]


def _at(review: int, deny: int) -> Thresholds:
    (p_review, l_review), (p_deny, l_deny) = divmod(review, len(LOSSES)), divmod(deny, len(LOSSES))
    return Thresholds(
        float(SCORES[p_review]), float(SCORES[p_deny]), float(LOSSES[l_review]), float(LOSSES[l_deny])
    )


TOLERANCE = 1e-4
"""In logit: how far the served model may lie from the one that was trained (`models.export`)."""
_AROUND = 8


def settled(chosen: Thresholds, scores: Floats, amount: Floats) -> Thresholds:
    """The thresholds, each clear of these rows (see `settle`): a float32's last bits decide about none."""
    loss = scores * amount
    review, review_loss = settle(chosen.review, scores), settle_loss(chosen.review_loss, loss)
    return Thresholds(
        review,
        max(review, settle(chosen.deny, scores)),
        review_loss,
        max(review_loss, settle_loss(chosen.deny_loss, loss)),
    )


def settle(threshold: float, scores: Floats) -> float:
    """A bound on the score, moved into a gap near it if a row is within `TOLERANCE` in logit."""
    if not 0.0 < threshold < 1.0:
        return threshold
    return _settle(threshold, scores, TOLERANCE * threshold * (1.0 - threshold))


def settle_loss(threshold: float, loss: Floats) -> float:
    """A bound on p × amount, moved likewise: `TOLERANCE` in logit moves the product by its share at most."""
    return _settle(threshold, loss, TOLERANCE * threshold) if threshold > 0.0 else threshold


def _settle(threshold: float, values: Floats, slack: float) -> float:
    """The middle of the widest gap between `_AROUND` neighbours on each side, if one is within `slack`."""
    ranked = np.unique(values)
    at = int(np.searchsorted(ranked, threshold))
    near = ranked[max(0, at - _AROUND) : at + _AROUND]
    if len(near) < 2 or np.abs(near - threshold).min() > slack:
        return threshold
    widest = int(np.argmax(np.diff(near)))
    return float((near[widest] + near[widest + 1]) / 2)
