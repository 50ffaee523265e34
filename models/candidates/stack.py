"""The candidates' stack: logistic regression on their logits. For comparison only: no exact reasons."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

Floats = NDArray[np.float64]


def stacked(logits: Sequence[Floats], y: NDArray[np.bool_], fold: NDArray[np.intp]) -> Floats:
    """Logits (m,) of the rows after the first fold, NaN before: each fold by the folds before it.

    `logits` are the candidates' out-of-time predictions (m,) each; `fold` (m,) says which fold a row is of.
    """
    columns = np.column_stack(logits)
    answer = np.full(len(y), np.nan)
    for number in np.unique(fold)[1:]:
        past, here = fold < number, fold == number
        if y[past].any() and not y[past].all():
            answer[here] = (
                LogisticRegression(C=1.0).fit(columns[past], y[past]).decision_function(columns[here])
            )
    return answer
