"""A model as MLflow keeps one: its ONNX with a signature, for whoever loads it with MLflow's own tools."""

import warnings
from importlib.metadata import version
from pathlib import Path

import numpy as np
import onnx

from models.registry import ONNX_FILE

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # its own, of type hints
    import mlflow.pyfunc  # noqa: F401  # else at the first model that is written
    from mlflow.models import ModelSignature
    from mlflow.onnx import save_model
    from mlflow.types import Schema, TensorSpec


def write_model(folder: Path, target: Path, n_features: int) -> None:
    """The model of a model folder as MLflow's, in the new folder `target`."""
    save_model(
        onnx.load(str(folder / ONNX_FILE)),
        str(target),
        signature=_signature(n_features),
        pip_requirements=[f"onnxruntime=={version('onnxruntime')}"],
    )


def _signature(n_features: int) -> ModelSignature:
    return ModelSignature(
        inputs=Schema([TensorSpec(np.dtype(np.float32), (-1, n_features), "features")]),
        outputs=Schema([TensorSpec(np.dtype(np.float32), (-1, 1), "logit")]),
    )
