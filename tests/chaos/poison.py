"""A real model that fails for one amount: its graph looks a row up that is not there."""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from features import catalog
from models.costs import Thresholds
from models.registry import Model, load, save, sha256

AMOUNT = "66666.66"

RARELY = Thresholds(review=0.85, deny=0.95)
"""Some payments in a hundred are stopped, as where a model is any good. The tests' own stops more than half:
most of the work would be alerts and their reasons."""


def poisoned(folder: Path, out: Path) -> Path:
    """The model of `folder` with that in it, as another that stops few; other amounts score as before."""
    model = load(folder, catalog.NAMES, catalog.FEATURES_VERSION)
    content = _throwing(model.onnx)
    changed = {"onnx_sha256": sha256(content), "thresholds": RARELY}
    manifest = model.manifest.model_copy(update=changed).identified()
    save(out, Model(manifest, content, model.trees))
    return out


def _throwing(content: bytes) -> bytes:
    """logits + table[0 or 1], where the table has one row; 1 for the amount."""
    model = onnx.load_from_string(content)
    graph = model.graph
    (wanted,) = graph.output
    for node in graph.node:
        node.output[:] = ["honest" if name == wanted.name else name for name in node.output]
    column = np.array([catalog.NAMES.index("transaction_amount")], dtype=np.int64)
    constants = {
        "poison_column": column,
        "poison_amount": np.array([AMOUNT], dtype=np.float32),
        "poison_table": np.zeros(1, dtype=np.float32),
    }
    graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in constants.items())
    graph.node.extend(
        [
            helper.make_node("Gather", [graph.input[0].name, "poison_column"], ["poison_at"], axis=1),
            helper.make_node("Equal", ["poison_at", "poison_amount"], ["poison_is"]),
            helper.make_node("Cast", ["poison_is"], ["poison_row"], to=TensorProto.INT64),
            helper.make_node("Gather", ["poison_table", "poison_row"], ["poison_zero"]),
            helper.make_node("Add", ["honest", "poison_zero"], [wanted.name]),
        ]
    )
    poisoned: bytes = model.SerializeToString()
    return poisoned
