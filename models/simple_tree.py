"""The bar that a model must clear: one shallow tree on the three best features."""

import numpy as np
from numpy.typing import NDArray
from sklearn.tree import DecisionTreeClassifier

from models.metrics import average_precision

DEPTH, BEST = 3, 3
_SELECTION_ROWS = 200_000  # a span's latest rows; each column's tree sorts them

Matrix = NDArray[np.float32]
Labels = NDArray[np.bool_]


def simple_tree_average_precision(
    vectors: Matrix, y: Labels, vectors_test: Matrix, y_test: Labels
) -> float | None:
    """Average precision on the test rows of a depth-3 tree on the three best features of the training rows.

    Best are the features whose own depth-3 tree has the highest average precision on the training rows (the
    first column of equals). None when no test row is a fraud.
    """
    recent, known = vectors[-_SELECTION_ROWS:], y[-_SELECTION_ROWS:]
    columns = (recent[:, [column]] for column in range(recent.shape[1]))
    own = [_fit_and_rank(column, known, column, known) or 0.0 for column in columns]
    best = np.argsort(-np.array(own), kind="stable")[:BEST]
    return _fit_and_rank(vectors[:, best], y, vectors_test[:, best], y_test)


def _fit_and_rank(vectors: Matrix, y: Labels, vectors_test: Matrix, y_test: Labels) -> float | None:
    if y.all() or not y.any():
        return average_precision(y_test, np.full(len(y_test), 0.5))
    tree = DecisionTreeClassifier(max_depth=DEPTH, random_state=0).fit(vectors, y)
    return average_precision(y_test, tree.predict_proba(vectors_test)[:, 1])
