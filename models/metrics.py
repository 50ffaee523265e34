"""How good scores are. All take scores (n,) float64 and labels y (n,) bool; undefined values are None."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn import metrics as sk

from models.costs import Thresholds

Floats = NDArray[np.float64]
Labels = NDArray[np.bool_]


def average_precision(y: Labels, scores: Floats) -> float | None:
    """Area under precision over recall, as scikit-learn sums it; None when no row is a fraud."""
    return float(sk.average_precision_score(y, scores)) if y.any() else None


def summary(y: Labels, scores: Floats) -> dict[str, Any]:
    """Counts, ranking (average precision, ROC AUC) and calibration (log loss, Brier, expected error)."""
    both = bool(y.any() and not y.all())
    return {
        "n": len(y),
        "frauds": int(y.sum()),
        "average_precision": average_precision(y, scores),
        "roc_auc": float(sk.roc_auc_score(y, scores)) if both else None,
        "log_loss": log_loss(y, scores),
        "brier": float(np.mean((scores - y) ** 2)),
        "expected_calibration_error": expected_calibration_error(y, scores),
    }


def log_loss(y: Labels, scores: Floats) -> float:
    """The mean of -log of the probability given to what happened; scores strictly inside (0, 1)."""
    return float(-np.mean(np.where(y, np.log(scores), np.log1p(-scores))))


def expected_calibration_error(y: Labels, scores: Floats, bins: int = 20) -> float:
    """The mean distance of mean score and share of fraud over bins of equal count, for fraud is rare."""
    order = np.argsort(scores, kind="stable")
    parts = [part for part in np.array_split(order, bins) if len(part)]
    return float(sum(abs(scores[part].mean() - y[part].mean()) * len(part) for part in parts) / len(y))


def at_threshold(y: Labels, scores: Floats, amount: Floats, threshold: float) -> dict[str, Any]:
    """What flagging every score >= threshold finds: shares, counts and BRL."""
    flagged = scores >= threshold
    caught = flagged & y
    precision = float(caught.sum() / flagged.sum()) if flagged.any() else None
    recall = float(caught.sum() / y.sum()) if y.any() else None
    f1 = 2 * precision * recall / (precision + recall) if precision and recall else None
    return {
        "threshold": threshold,
        "flagged": int(flagged.sum()),
        "precision": precision,
        "recall": recall,
        "f1": f1,
        "amount_flagged": float(amount[flagged].sum()),
        "fraud_amount_caught": float(amount[caught].sum()),
        "fraud_amount": float(amount[y].sum()),
    }


def at_thresholds(y: Labels, scores: Floats, amount: Floats, thresholds: Thresholds) -> dict[str, Any]:
    """`at_threshold` for REVIEW or worse, and for DENY."""
    return {
        "review": at_threshold(y, scores, amount, thresholds.review),
        "deny": at_threshold(y, scores, amount, thresholds.deny),
    }


def payer_precision(
    y: Labels, scores: Floats, payer: NDArray[Any], day: NDArray[Any], top: int = 100
) -> float | None:
    """Each day's `top` payers by their highest score: the share that had a fraud, meaned over the days.

    The Fraud Detection Handbook's card precision, but payers found on earlier days stay in.
    """
    shares = []
    for date in np.unique(day):
        here = day == date
        payers, of = np.unique(payer[here], return_inverse=True)
        highest, had_fraud = np.zeros(len(payers)), np.zeros(len(payers), dtype=np.bool_)
        np.maximum.at(highest, of, scores[here])
        np.logical_or.at(had_fraud, of, y[here])
        first = np.argsort(-highest, kind="stable")[:top]
        shares.append(had_fraud[first].sum() / top)
    return float(np.mean(shares)) if shares else None
