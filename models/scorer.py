"""A served model: vectors in, probabilities of fraud out. Needs the core dependencies only.

A row's score has the same bits in whatever batch it comes, so a redelivered event gives the same decision.
With one thread ONNX Runtime adds a row's leaves in the order of the trees, for one row as for many. With two
it splits the trees by threads for batches up to 50 rows and the rows for longer ones: measured on 300 trees,
nine rows in ten then differ by up to 7e-6 in logit. Hence one thread, and a test that holds it. (A worker is
a process per core, so a second thread would only take another worker's core.)
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from features import catalog
from features.errors import VigiaError
from models.calibration import Calibration
from models.costs import Thresholds
from models.registry import Model, ModelRefused, load
from models.trees import Ensemble


def open_session(content: bytes) -> ort.InferenceSession:
    """An ONNX session of one thread, without the arena: batches differ in size, and an arena only grows."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.enable_cpu_mem_arena = False
    options.log_severity_level = 3
    return ort.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def run_session(session: ort.InferenceSession, vectors: NDArray[np.float32]) -> NDArray[np.float64]:
    """Raw logits (n,) of vectors (n, k)."""
    if len(vectors) == 0:
        return np.empty(0)
    rows = np.ascontiguousarray(vectors, dtype=np.float32)
    (logits,) = session.run(None, {session.get_inputs()[0].name: rows})
    return np.asarray(logits[:, 0], dtype=np.float64)


class Scorer:
    """Scores vectors by one model."""

    def __init__(self, model: Model) -> None:
        """Raises ModelRefused when its trees cannot be read, by numpy or by ONNX Runtime."""
        self.manifest = model.manifest
        self.model_id: str = model.manifest.model_id
        self.n_features: int = len(model.manifest.feature_names)
        self.calibration: Calibration = model.manifest.calibration
        self.thresholds: Thresholds = model.manifest.thresholds
        self.review: float = self.thresholds.review
        self.deny: float = self.thresholds.deny
        try:
            self.trees = Ensemble.from_bytes(model.trees)
            self._session = open_session(model.onnx)
        except Exception as error:  # ONNX Runtime raises many types of its own
            first_line = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise ModelRefused(
                f"{self.model_id}: its trees cannot be read ({first_line}); train again"
            ) from None

    @classmethod
    def load(
        cls,
        folder: Path,
        *,
        names: Sequence[str] = catalog.NAMES,
        features_version: str = catalog.FEATURES_VERSION,
    ) -> "Scorer":
        """The scorer of a model folder. Raises ModelRefused (see `registry.load`)."""
        return cls(load(folder, names, features_version))

    def logits(self, vectors: NDArray[np.float32]) -> NDArray[np.float64]:
        """Raw logits (n,) of vectors (n, k). Raises VigiaError when k is not `n_features`."""
        if vectors.ndim != 2 or vectors.shape[1] != self.n_features:
            raise VigiaError(f"{self.model_id} takes (n, {self.n_features}) vectors, not {vectors.shape}")
        return run_session(self._session, vectors)

    def score(self, vectors: NDArray[np.float32]) -> NDArray[np.float64]:
        """Calibrated probabilities of fraud (n,), strictly inside (0, 1), of vectors (n, k)."""
        return self.calibration.probability(self.logits(vectors))
