"""scikit-learn's random forest as an Ensemble of probabilities.

It reads float32 and compares with double thresholds; NaN goes where the split says. A row's probability of
fraud is the mean of its leaves' shares of it.
"""

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestClassifier

from models.trees import LEAF, Ensemble, ExportRefused, Tree, floor_float32, logit_of


def raw_logits(forest: RandomForestClassifier, vectors: NDArray[np.float32]) -> NDArray[np.float64]:
    """The logits (n,) of the forest's probabilities, held off 0 and 1 (`logit_of`), of vectors (n, k)."""
    return logit_of(forest.predict_proba(vectors)[:, 1])


def read(forest: RandomForestClassifier) -> Ensemble:
    """All trees; a node's cover is the weight of its training rows. Raises ExportRefused for many classes."""
    if forest.n_outputs_ != 1 or len(forest.classes_) != 2:
        raise ExportRefused("only two classes are exported; use labels False and True")
    trees = (_tree(estimator.tree_, len(forest.estimators_)) for estimator in forest.estimators_)
    return Ensemble.of(trees, link="probability")


def _tree(tree, n_trees: int) -> Tree:  # type: ignore[no-untyped-def]
    leaf = tree.children_left < 0
    rows = tree.value[:, 0, :]  # weights of the two classes, or their shares since scikit-learn 1.3
    share = rows[:, 1] / rows.sum(axis=1)
    return Tree(
        np.where(leaf, LEAF, tree.feature),
        np.where(leaf, np.float32(0), floor_float32(tree.threshold)),
        tree.missing_go_to_left.astype(np.bool_),
        np.where(leaf, 0, tree.children_left),
        np.where(leaf, 0, tree.children_right),
        np.where(leaf, share / n_trees, 0.0),
        tree.weighted_n_node_samples,
    )
