"""What each outcome costs, and the two thresholds that cost least."""

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from features.errors import BadInput

Floats = NDArray[np.float64]
APPROVE, REVIEW, DENY = 0, 1, 2


@dataclass(frozen=True, slots=True)
class Costs:
    """Stated costs, in BRL and in shares; an institution should put its own figures here.

    The defaults are assumptions, not measurements: most of a fraud's amount is not recovered; a review takes
    an analyst some minutes and stops most frauds; a wrongly denied payment costs support and goodwill.
    """

    fraud_loss_share: float = 0.9  # share of a fraud's amount that is lost when it goes through
    review: float = 4.0  # BRL, one review
    review_catch_share: float = 0.8  # share of the frauds under review that the review stops
    wrong_denial: float = 40.0  # BRL, one honest payment denied

    def __post_init__(self) -> None:
        """Raises BadInput that names the option of the value out of range."""
        for item in fields(self):
            value, is_share = getattr(self, item.name), item.name.endswith("_share")
            if not (0 <= value <= (1 if is_share else 1e9)):
                option = "--cost-" + item.name.replace("_", "-")
                raise BadInput(f"{option}: {value} must lie between 0 and {'1' if is_share else '1e9'}")


@dataclass(frozen=True, slots=True)
class Thresholds:
    """REVIEW if score >= `review`, DENY if score >= `deny`; 1.0 means never, for scores are below 1."""

    review: float
    deny: float

    def __post_init__(self) -> None:
        """Raises ValueError unless 0 <= review <= deny <= 1."""
        if not 0.0 <= self.review <= self.deny <= 1.0:
            raise ValueError(f"thresholds must be 0 <= review <= deny <= 1: {self}")

    def outcome(self, scores: Floats) -> NDArray[np.int8]:
        """APPROVE (0), REVIEW (1) or DENY (2) of each score (n,)."""
        return ((scores >= self.review).astype(np.int8) + (scores >= self.deny)).astype(np.int8)


def outcome_costs(costs: Costs, y: NDArray[np.bool_], amount: Floats) -> Floats:
    """BRL of each row's three possible outcomes, (n, 3) in the order APPROVE, REVIEW, DENY."""
    loss = np.where(y, costs.fraud_loss_share * amount, 0.0)
    review = costs.review + (1.0 - costs.review_catch_share) * loss
    return np.column_stack([loss, review, np.where(y, 0.0, costs.wrong_denial)])


def choose_thresholds(costs: Costs, scores: Floats, y: NDArray[np.bool_], amount: Floats) -> Thresholds:
    """The pair of least total cost on these rows, by one pass over the sorted scores.

    Cuts lie in the middle between two different scores; of equal totals the lowest cuts win.
    """
    order = np.argsort(scores, kind="stable")
    ranked = scores[order]
    totals = np.vstack([np.zeros(3), np.cumsum(outcome_costs(costs, y, amount)[order], axis=0)])
    cuts = np.flatnonzero(np.concatenate([[True], ranked[1:] != ranked[:-1], [True]]))  # rows below the cut
    below = totals[cuts]
    # With cuts r <= d the total is review_part[r] + deny_part[d] + a constant.
    review_part = below[:, APPROVE] - below[:, REVIEW]
    deny_part = below[:, REVIEW] - below[:, DENY]
    deny = int(np.argmin(np.minimum.accumulate(review_part) + deny_part))
    review = int(np.argmin(review_part[: deny + 1]))
    places = np.concatenate([[0.0], ranked, [1.0]])
    return Thresholds(_between(places, cuts[review]), _between(places, cuts[deny]))


def _between(places: Floats, cut: int) -> float:
    """The middle of the scores around a cut; 0 below the first, 1 above the last score."""
    if cut == 0 or cut == len(places) - 2:
        return float(places[0] if cut == 0 else places[-1])
    return float((places[cut] + places[cut + 1]) / 2)


def settle(threshold: float, scores: Floats, margin: float = 1e-4, around: int = 8) -> float:
    """`threshold`, moved into the widest gap between its `around` neighbours on each side if one is too near.

    Too near is `margin` in logit: there a float32's last bits would decide about that training row.
    """
    if not 0.0 < threshold < 1.0:
        return threshold
    ranked = np.unique(scores)
    at = int(np.searchsorted(ranked, threshold))
    near = ranked[max(0, at - around) : at + around]
    if len(near) < 2 or np.abs(near - threshold).min() > margin * threshold * (1.0 - threshold):
        return threshold
    widest = int(np.argmax(np.diff(near)))
    return float((near[widest] + near[widest + 1]) / 2)
