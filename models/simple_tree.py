"""The bar that a model must clear: one shallow tree on the three best features."""

import numpy as np
from numpy.typing import NDArray
from sklearn.tree import DecisionTreeClassifier

from models.metrics import average_precision

DEPTH, BEST = 3, 3
_SELECTION_ROWS = 30_000  # honest rows that the choice of features looks at, beside every fraud

Matrix = NDArray[np.float32]
Labels = NDArray[np.bool_]


def simple_tree_average_precision(
    vectors: Matrix, y: Labels, vectors_test: Matrix, y_test: Labels
) -> float | None:
    """Average precision on the test rows of a depth-3 tree on the three best features of the training rows.

    The features are chosen forward: the first is the one whose own tree ranks the training rows best, each
    next one the best beside those before it (the first column of equals). None when no test row is a fraud.
    """
    honest = np.flatnonzero(~y)
    sample = np.sort(np.concatenate([np.flatnonzero(y), honest[:: max(1, len(honest) // _SELECTION_ROWS)]]))
    rows, known = vectors[sample], y[sample]
    best: list[int] = []
    for _ in range(min(BEST, vectors.shape[1])):
        others = [column for column in range(vectors.shape[1]) if column not in best]
        best.append(max(others, key=lambda column: _own_rank(rows[:, [*best, column]], known)))
    return _fit_and_rank(vectors[:, best], y, vectors_test[:, best], y_test)


def _own_rank(vectors: Matrix, y: Labels) -> float:
    return _fit_and_rank(vectors, y, vectors, y) or 0.0


def _fit_and_rank(vectors: Matrix, y: Labels, vectors_test: Matrix, y_test: Labels) -> float | None:
    if y.all() or not y.any():
        return average_precision(y_test, np.full(len(y_test), 0.5))
    tree = DecisionTreeClassifier(max_depth=DEPTH, random_state=0).fit(vectors, y)
    return average_precision(y_test, tree.predict_proba(vectors_test)[:, 1])
