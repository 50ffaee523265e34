"""The one place that knows which libraries come with the extra `vigia[train]`."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from features.errors import VigiaError

TRAIN_LIBRARIES = frozenset(
    {
        "catboost",
        "lightgbm",
        "matplotlib",
        "mlflow",
        "onnx",
        "optuna",
        "pyarrow",
        "scipy",
        "sklearn",
        "xgboost",
    }
)


@contextmanager
def train_extra() -> Iterator[None]:
    """Turn the absence of a training library into one line that says what to install.

    The worker runs on the core dependencies alone, so the commands import these inside this block.
    """
    # Threads that wait by spinning take the core from the thread they wait for when the machine is busy
    # (Kafka and Redis beside it): 60 trees took 4.6 s under load, 1.7 s with this. Read as OpenMP is loaded.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    try:
        yield
    except ModuleNotFoundError as error:
        library = (error.name or "").split(".")[0]
        if library not in TRAIN_LIBRARIES:
            raise
        raise VigiaError(
            f"{library} is not installed (extra `train`): run `make setup` in the project's folder"
        ) from None
