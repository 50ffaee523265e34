"""The checked way from a trained model to ONNX bytes: equal, or refused."""

from collections.abc import Callable, Iterator

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from models.calibration import Calibration
from models.costs import TOLERANCE, Thresholds
from models.explain import require_affordable
from models.scorer import open_session, run_session
from models.trees import Ensemble, ExportRefused
from models.trees_onnx import to_onnx

Vectors = NDArray[np.float32]
Logits = NDArray[np.float64]
Trained = Callable[[Vectors], Logits]
"""The trained model's raw logits (n,) of vectors (n, k), as its own library computes them."""

_CHUNK = 16_384
_NAN_ROWS = 1_000
_VISITORS = 4_096
_AROUND = np.array([-np.inf, 0.0, np.inf], dtype=np.float32)


def export(
    trained: Trained,
    ensemble: Ensemble,
    vectors: Vectors,
    calibration: Calibration,
    thresholds: Thresholds,
    amount: Logits | None = None,
) -> bytes:
    """The trained model's trees as ONNX bytes, checked on the training `vectors` (n, k).

    Raises ExportRefused unless the two decide alike on all of them and agree within `TOLERANCE` in logit:
    on them, on rows with many NaN, and on rows that lie on a split's threshold or one float32 beside it.
    Trees too many or too deep for reasons in time are refused too.
    """
    require_affordable(ensemble)
    content: bytes = to_onnx(ensemble, vectors.shape[1]).SerializeToString(deterministic=True)
    check(trained, content, vectors, calibration, thresholds, ensemble, amount)
    return content


def check(
    trained: Trained,
    content: bytes,
    vectors: Vectors,
    calibration: Calibration,
    thresholds: Thresholds,
    ensemble: Ensemble | None = None,
    amount: Logits | None = None,
) -> None:
    """Raises ExportRefused as `export` does. A model without trees (`ensemble` None) has no thresholds.

    Without the rows' `amount` (n,) in BRL their decisions are compared by the bounds on the score alone.
    """
    session = open_session(content)
    amounts = np.full(len(vectors), np.inf) if amount is None else amount
    for at in range(0, len(vectors), _CHUNK):
        rows, brl = vectors[at : at + _CHUNK], amounts[at : at + _CHUNK]
        own, served = trained(rows), run_session(session, rows)
        _require_close(own, served, "the training vectors")
        outcomes = [thresholds.outcome(calibration.probability(logits), brl) for logits in (own, served)]
        if (flips := int((outcomes[0] != outcomes[1]).sum())) > 0:
            raise ExportRefused(f"{flips} decisions flip between the library and ONNX; nothing was written")
    _require_close_on(trained, session, _nan_rows(vectors), "rows with NaN")
    if ensemble is not None:
        _require_close_on(trained, session, _boundary_rows(ensemble, vectors), "rows on a threshold")


def _require_close_on(
    trained: Trained, session: ort.InferenceSession, probes: Iterator[Vectors], kind: str
) -> None:
    for rows in probes:
        _require_close(trained(rows), run_session(session, rows), kind)


def _require_close(own: Logits, served: Logits, kind: str) -> None:
    distance = float(np.abs(own - served).max(initial=0.0))
    if not distance <= TOLERANCE:
        raise ExportRefused(
            f"the library and ONNX differ by {distance:.3g} in logit on {kind}; nothing was written"
        )


def _nan_rows(vectors: Vectors) -> Iterator[Vectors]:
    """Training rows with half of their values NaN, and one row of nothing else."""
    rows = vectors[:: max(1, len(vectors) // _NAN_ROWS)][:_NAN_ROWS].copy()
    rows[np.random.default_rng(0).random(rows.shape) < 0.5] = np.nan
    rows[0] = np.nan
    yield rows


def _boundary_rows(ensemble: Ensemble, vectors: Vectors) -> Iterator[Vectors]:
    """For every split a training row that comes to it, on the threshold, one float32 below, one above."""
    some = vectors[:: max(1, len(vectors) // _VISITORS)]
    visitors = ensemble.visitors(some)
    splits = ensemble.splits()
    for at in range(0, len(splits), _CHUNK // 3):
        nodes = np.repeat(splits[at : at + _CHUNK // 3], 3)
        on, rows = ensemble.threshold[nodes], some[visitors[nodes]]
        # A split of NaN from the rest lies at the largest float.
        with np.errstate(over="ignore", under="ignore"):
            probes = np.nextafter(on, np.tile(_AROUND, len(on) // 3))
        probes[1::3] = on[1::3]
        rows[np.arange(len(rows)), ensemble.feature[nodes]] = probes
        # A vector is finite or NaN, and the two read infinity apart at a split that only parts NaN.
        yield rows[np.isfinite(probes)]
