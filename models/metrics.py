"""How good scores are. All take scores (n,) float64 and labels y (n,) bool; undefined values are None.

`weight` (n,) is what each row stands for (None: itself); see `scored.Scored`.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn import metrics as sk

from models.costs import APPROVE, Costs, Thresholds, outcome_costs
from models.decisions import denied, held_or_denied
from models.payer_days import payer_days, precision_at_top
from models.scored import Scored

Floats = NDArray[np.float64]
Labels = NDArray[np.bool_]

ALERT_RATE = 0.001
"""Share of the payments that may be alerted, where a figure is taken at a fixed rate: 1 in 1,000."""

TOP_PAYERS = 100

HEADLINES = (
    "average_precision",
    "roc_auc",
    "payer_precision_at_100",
    "recall_at_alert_rate",
    "money_saved",
    "customers_disturbed",
)
"""What a model is judged by; more is better, except of customers disturbed."""


def average_precision(y: Labels, scores: Floats, weight: Floats | None = None) -> float | None:
    """Area under precision over recall, as scikit-learn sums it; None when no row is a fraud."""
    return float(sk.average_precision_score(y, scores, sample_weight=weight)) if y.any() else None


def roc_auc(y: Labels, scores: Floats, weight: Floats | None = None) -> float | None:
    """The chance that a fraud scores higher than an honest payment; None unless there are both."""
    both = y.any() and not y.all()
    return float(sk.roc_auc_score(y, scores, sample_weight=weight)) if both else None


def summary(y: Labels, scores: Floats, weight: Floats | None = None) -> dict[str, Any]:
    """Counts of rows, ranking (average precision, ROC AUC) and calibration (log loss, Brier, error)."""
    return {
        "n": len(y),
        "frauds": int(y.sum()),
        "average_precision": average_precision(y, scores, weight),
        "roc_auc": roc_auc(y, scores, weight),
        "log_loss": log_loss(y, scores, weight),
        "brier": float(np.average((scores - y) ** 2, weights=weight)),
        "expected_calibration_error": expected_calibration_error(y, scores, weight=weight),
    }


def log_loss(y: Labels, scores: Floats, weight: Floats | None = None) -> float:
    """The mean of -log of the probability given to what happened; scores strictly inside (0, 1)."""
    return float(-np.average(np.where(y, np.log(scores), np.log1p(-scores)), weights=weight))


def expected_calibration_error(
    y: Labels, scores: Floats, bins: int = 20, weight: Floats | None = None
) -> float:
    """The mean distance of mean score and share of fraud over bins of equal count, for fraud is rare."""
    order = np.argsort(scores, kind="stable")
    parts = [part for part in np.array_split(order, bins) if len(part)]
    w = np.ones(len(y)) if weight is None else weight
    return float(sum(abs((w * (scores - y))[part].sum()) for part in parts) / w.sum())


def when_stopped(
    y: Labels, stopped: Labels, amount: Floats, threshold: float, weight: Floats | None = None
) -> dict[str, Any]:
    """What stopping the rows `stopped` (n,) finds: shares, counts and BRL; `threshold` is only repeated."""
    w = np.ones(len(y)) if weight is None else weight
    caught = stopped & y
    precision = float(w[caught].sum() / w[stopped].sum()) if stopped.any() else None
    recall = float(w[caught].sum() / w[y].sum()) if y.any() else None
    f1 = 2 * precision * recall / (precision + recall) if precision and recall else None
    return {
        "threshold": threshold,
        "flagged": int(stopped.sum()),
        "precision": precision,
        "recall": recall,
        "f1": f1,
        "amount_flagged": float((w * amount)[stopped].sum()),
        "fraud_amount_caught": float((w * amount)[caught].sum()),
        "fraud_amount": float((w * amount)[y].sum()),
    }


def at_thresholds(
    y: Labels, scores: Floats, amount: Floats, thresholds: Thresholds, weight: Floats | None = None
) -> dict[str, Any]:
    """`when_stopped` for what is held or denied, and for what is denied."""
    stopped, refused = held_or_denied(thresholds, scores, amount), denied(thresholds, scores, amount)
    return {
        "review": when_stopped(y, stopped, amount, thresholds.review, weight),
        "deny": when_stopped(y, refused, amount, thresholds.deny, weight),
    }


def payer_precision(
    y: Labels,
    scores: Floats,
    payer: NDArray[Any],
    day: NDArray[Any],
    top: int = TOP_PAYERS,
    weight: Floats | None = None,
) -> float | None:
    """The Fraud Detection Handbook's card precision (see `payer_days`); None without rows."""
    if len(y) == 0:
        return None
    payers, number = np.unique(payer, return_inverse=True)
    days = payer_days(y, scores, number, day, np.ones(len(y)) if weight is None else weight)
    return float(precision_at_top(days, np.ones((1, len(payers))), top)[0])


def recall_at_alert_rate(
    y: Labels, scores: Floats, rate: float = ALERT_RATE, weight: Floats | None = None
) -> float | None:
    """The share of the frauds among the `rate` of payments with the highest scores.

    Of equal scores at the limit the share that still fits counts, whatever their order.
    """
    if not y.any():
        return None
    w = np.ones(len(y)) if weight is None else weight
    values, of = np.unique(-scores, return_inverse=True)
    alerts = np.concatenate([[0.0], np.cumsum(np.bincount(of, weights=w, minlength=len(values)))])
    caught = np.concatenate([[0.0], np.cumsum(np.bincount(of, weights=w * y, minlength=len(values)))])
    return float(np.interp(rate * w.sum(), alerts, caught) / caught[-1])


def fraud_loss(found: Scored, costs: Costs) -> float:
    """BRL that approving every payment would lose."""
    return float((found.weight * outcome_costs(costs, found.y, found.amount)[:, APPROVE]).sum())


def saved(found: Scored, thresholds: Thresholds, costs: Costs) -> Floats:
    """BRL (n,) that deciding by `thresholds` saves on each row over approving it; below 0 where it costs."""
    table = outcome_costs(costs, found.y, found.amount)
    chosen = table[np.arange(len(found)), thresholds.outcome(found.score, found.amount)]
    gained: Floats = found.weight * (table[:, APPROVE] - chosen)
    return gained


def disturbed(found: Scored, thresholds: Thresholds) -> Floats:
    """(payers,) the customers of whom an honest payment was held or denied: their weight, else 0."""
    stopped = held_or_denied(thresholds, found.score, found.amount) & ~found.y
    who = np.zeros(found.n_payers)
    np.maximum.at(who, found.payer[stopped], found.weight[stopped])
    return who


def headlines(
    found: Scored, thresholds: Thresholds | None, costs: Costs | None, alert_rate: float = ALERT_RATE
) -> dict[str, float | None]:
    """The figures of `HEADLINES`; money and customers are None without thresholds and costs."""
    y, score, weight = found.y, found.score, found.weight
    money = customers = None
    if thresholds is not None and costs is not None:
        money = float(saved(found, thresholds, costs).sum())
        customers = float(disturbed(found, thresholds).sum())
    return {
        "average_precision": average_precision(y, score, weight),
        "roc_auc": roc_auc(y, score, weight),
        "payer_precision_at_100": payer_precision(y, score, found.payer, found.day, TOP_PAYERS, weight),
        "recall_at_alert_rate": recall_at_alert_rate(y, score, alert_rate, weight),
        "money_saved": money,
        "customers_disturbed": customers,
    }
