"""scikit-learn's random forest; its output is a mean of probabilities, so it joins no bag."""

from functools import partial
from typing import Any

import sklearn
from sklearn.ensemble import RandomForestClassifier

from models.candidates.base import Candidate, Floats, Labels, Params, TreeModel, Trial, Vectors
from models.params import FOREST
from models.trees_forest import raw_logits, read

MORE = frozenset({"criterion", "max_leaf_nodes", "max_samples", "min_samples_split"})


def fit(vectors: Vectors, y: Labels, weight: Floats | None, params: Params, seed: int) -> TreeModel:
    """`params` are RandomForestClassifier's, and `trees`."""
    settings = dict(params)
    model = RandomForestClassifier(n_estimators=settings.pop("trees"), random_state=seed, **settings)
    model.fit(vectors, y, sample_weight=weight)
    return TreeModel(vectors.shape[1], partial(raw_logits, model), partial(read, model))


def space(trial: Trial) -> dict[str, Any]:
    """Around the settings that did well."""
    return {
        "trees": trial.suggest_int("trees", 50, 150, log=True),
        "min_samples_leaf": trial.suggest_int("min_samples_leaf", 2, 50, log=True),
        "max_features": trial.suggest_float("max_features", 0.05, 0.5, log=True),
    }


CANDIDATE = Candidate(
    "forest", {"scikit-learn": sklearn.__version__}, FOREST, space, fit, additive=False, more=MORE
)
