"""Do the scores mean what they say: of payments scored p, is the share p fraud?"""

from dataclasses import dataclass
from math import ceil
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.calibration import sigmoid
from models.intervals import LEVEL, SURE, effective, wilson, z
from models.metrics import log_loss
from models.scored import Scored

TOP_SHARES = (0.0001, 0.001, 0.01)
MIN_FRAUDS = 200
"""With fewer, calibration is a guess, and a warning says so."""

_DECADES, _BINS_A_DECADE = 5, 3

SLOPE_BAND = (0.8, 1.25)
"""A slope whose whole interval lies outside is a warning."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Line:
    """logit(share) = intercept + slope · logit(score), with each one's standard error."""

    intercept: float
    slope: float
    intercept_error: float
    slope_error: float


def reliability(found: Scored) -> dict[str, Any]:
    """Calibration of `found` (n > 0).

    `log_loss` against `base_log_loss`, what the rows' own share of fraud would have scored everywhere; Cox's
    `slope` and `intercept` in logit (1 and 0 are right; None where they do not exist), with intervals;
    `in_the_large`: what is to be added to every logit for the mean score to be right; `top`: of the highest
    scores, the `expected` and the `observed` share of fraud with its interval; `warnings`.
    """
    y, weight = found.y, found.weight
    base = float(np.average(y, weights=weight))
    line = fit_line(y, found.score, weight)
    answer = {
        "log_loss": log_loss(y, found.score, weight),
        "base_log_loss": _entropy(base),
        "base_rate": base,
        "mean_score": float(np.average(found.score, weights=weight)),
        "slope": line and line.slope,
        "slope_interval": line and _around(line.slope, line.slope_error),
        "intercept": line and line.intercept,
        "intercept_interval": line and _around(line.intercept, line.intercept_error),
        "in_the_large": in_the_large(y, found.score, weight),
        "top": [top(found, share) for share in TOP_SHARES],
    }
    return {**answer, "warnings": _warnings(answer, int(y.sum()))}


def fit_line(y: NDArray[np.bool_], score: Floats, weight: Floats) -> Line | None:
    """Logistic regression of the labels on the scores' logits (Cox 1958), by Newton's method.

    None where no finite one exists: one class only, or a score that parts the two without error.
    """
    columns = np.column_stack([np.ones(len(y)), np.log(score) - np.log1p(-score)])
    at = np.array([0.0, 1.0])
    if y.all() or not y.any() or np.ptp(columns[:, 1]) == 0:
        return None
    for _ in range(50):
        p = sigmoid(columns @ at)
        hessian = (columns * (weight * p * (1 - p))[:, None]).T @ columns
        if np.linalg.cond(hessian) > 1e14:
            return None
        step = np.linalg.solve(hessian, columns.T @ (weight * (y - p)))
        at = at + np.clip(step, -2.0, 2.0)
        if np.abs(step).max() < 1e-9:
            errors = np.sqrt(np.diag(np.linalg.inv(hessian)))
            return Line(float(at[0]), float(at[1]), float(errors[0]), float(errors[1]))
    return None


def in_the_large(y: NDArray[np.bool_], score: Floats, weight: Floats) -> float | None:
    """The shift of all logits that makes the mean score the share of fraud; None with one class only."""
    if y.all() or not y.any():
        return None
    logit, frauds = np.log(score) - np.log1p(-score), float(weight[y].sum())
    low, high = -50.0, 50.0
    while high - low > 1e-9:
        middle = (low + high) / 2
        told = float((weight * sigmoid(logit + middle)).sum())
        low, high = (middle, high) if told < frauds else (low, middle)
    return (low + high) / 2


def top(found: Scored, share: float) -> dict[str, Any]:
    """The `share` of rows with the highest scores, at least one, and all that equal the last of them.

    `off`: what was expected lies outside the interval of what was observed at SURE.
    """
    n = max(1, ceil(share * len(found)))
    here = found.score >= np.partition(found.score, len(found) - n)[len(found) - n]
    answer = _shares(found.take(here))
    low, high = wilson(answer["observed"], effective(found.weight[here]), SURE)
    return {"share": share, **answer, "off": not low <= answer["expected"] <= high}


def bins(found: Scored) -> list[dict[str, Any]]:
    """Mean score, share of fraud and its interval in bins of equal width in the score's logarithm.

    Scores below 1e-5 are one bin. Empty bins are left out.
    """
    edges = np.logspace(-_DECADES, 0, _DECADES * _BINS_A_DECADE + 1)
    of = np.searchsorted(edges[:-1], found.score, "right")
    return [_shares(found.take(of == number)) for number in np.unique(of)]


def _shares(part: Scored) -> dict[str, Any]:
    observed = float(np.average(part.y, weights=part.weight))
    low, high = wilson(observed, effective(part.weight))
    expected = float(np.average(part.score, weights=part.weight))
    frauds = int(part.y.sum())
    return {
        "n": len(part),
        "frauds": frauds,
        "expected": expected,
        "observed": observed,
        "low": low,
        "high": high,
    }


def _entropy(share: float) -> float:
    """The log loss of giving every row its base rate."""
    return -sum(p * float(np.log(p)) for p in (share, 1 - share) if p > 0)


def _around(value: float, error: float) -> list[float]:
    return [value - z(LEVEL) * error, value + z(LEVEL) * error]


def _warnings(answer: dict[str, Any], frauds: int) -> tuple[str, ...]:
    ours, base = answer["log_loss"], answer["base_log_loss"]
    low, high = answer["slope_interval"] or SLOPE_BAND
    said = []
    if frauds < MIN_FRAUDS:
        said.append(f"calibration rests on {frauds} frauds; below {MIN_FRAUDS} it is a guess")
    if ours >= base:
        said.append(f"log loss {ours:.4f} is no better than the {base:.4f} of the base rate")
    if high < SLOPE_BAND[0] or low > SLOPE_BAND[1]:
        kind = "too bold" if high < SLOPE_BAND[0] else "too timid"
        said.append(f"scores are {kind}: slope {answer['slope']:.2f} in logit ({low:.2f} to {high:.2f})")
    return *said, *(_off(part) for part in answer["top"] if part["off"])


def _off(part: dict[str, Any]) -> str:
    expected, observed = (100 * part[name] for name in ("expected", "observed"))
    share = f"top {100 * part['share']:g} % of the scores"
    return f"{share}: {expected:.1f} % were expected to be fraud, {observed:.1f} % were"
