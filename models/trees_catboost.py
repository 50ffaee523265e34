"""CatBoost's oblivious trees, whose levels each ask one question, as an Ensemble.

CatBoost compares in float32: x > border sets a level's bit, and the bits make the leaf's number. NaN goes
where training put it (`nan_mode`), and where training saw none it is not above any border.
"""

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import orjson
from catboost import CatBoostClassifier
from numpy.typing import NDArray

from models.trees import LEAF, Ensemble, ExportRefused, Tree


def raw_logits(model: CatBoostClassifier, vectors: NDArray[np.float32]) -> NDArray[np.float64]:
    """CatBoost's raw logits (n,) of vectors (n, k)."""
    raw = model.predict(vectors, prediction_type="RawFormulaVal", thread_count=1)
    return np.asarray(raw, dtype=np.float64)


def read(model: CatBoostClassifier) -> Ensemble:
    """The trees of a binary model. A leaf's cover is the weight of its training rows.

    Raises ExportRefused for trees that are not symmetric, many classes and features that are not numbers.
    """
    with TemporaryDirectory() as folder:
        path = Path(folder) / "model.json"
        model.save_model(str(path), format="json")
        content = orjson.loads(path.read_bytes())
    if "oblivious_trees" not in content:
        raise ExportRefused("only symmetric trees are exported; use grow_policy SymmetricTree")
    scale, biases = content["scale_and_bias"]
    features = {x["feature_index"]: x for x in content["features_info"].get("float_features", [])}
    trees = (_tree(tree, features, scale) for tree in content["oblivious_trees"])
    return Ensemble.of(trees, base=sum(biases))


def _tree(tree: Mapping[str, Any], features: Mapping[int, Mapping[str, Any]], scale: float) -> Tree:
    """As a full tree, level by level; the last split is the root, as in CatBoost's own SHAP."""
    splits = list(reversed(tree["splits"] or []))
    if any(split["split_type"] != "FloatFeature" for split in splits):
        raise ExportRefused("only numbers are exported; leave categorical and text features out")
    depth, values = len(splits), np.array(tree["leaf_values"], dtype=np.float64)
    if len(values) != 1 << depth:
        raise ExportRefused("many classes are not exported; use loss_function Logloss")
    asked = [features[split["float_feature_index"]] for split in splits]
    child = 2 * np.arange((2 << depth) - 1) + 1
    return Tree(
        _by_level([x["flat_feature_index"] for x in asked], LEAF),
        _by_level([split["border"] for split in splits], 0.0).astype(np.float32),
        _by_level([x["nan_value_treatment"] != "AsTrue" for x in asked], False),
        child,
        child + 1,
        np.concatenate([np.zeros(len(values) - 1), scale * values]),
        _covers(np.array(tree["leaf_weights"], dtype=np.float64)),
    )


def _by_level(values: list[Any], at_leaf: Any) -> NDArray[Any]:
    """Each level's value for all of its nodes, and the leaves' at the end."""
    return np.repeat([*values, at_leaf], [1 << level for level in range(len(values) + 1)])


def _covers(leaves: NDArray[np.float64]) -> NDArray[np.float64]:
    levels = [leaves]
    while len(levels[0]) > 1:
        levels.insert(0, levels[0].reshape(-1, 2).sum(axis=1))
    return np.concatenate(levels)
