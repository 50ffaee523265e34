"""The checked way from a trained booster to ONNX bytes: equal, or refused."""

from collections.abc import Iterator, Mapping
from typing import Any

import lightgbm as lgb
import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from models.calibration import Calibration
from models.costs import Thresholds
from models.scorer import open_session, run_session
from models.trees import ExportRefused, float32_threshold, splits, to_onnx

Vectors = NDArray[np.float32]
Logits = NDArray[np.float64]

TOLERANCE = 1e-4  # in logit
_CHUNK = 16_384
_NAN_ROWS = 1_000


def export(booster: lgb.Booster, vectors: Vectors, calibration: Calibration, thresholds: Thresholds) -> bytes:
    """The booster as ONNX bytes, checked on the training `vectors` (n, k).

    Raises ExportRefused unless the two decide alike on all of them and agree within 1e-4 in logit: on them,
    on rows with many NaN, and on rows that lie on a split's threshold or one float32 beside it.
    """
    dump = booster.dump_model()
    content: bytes = to_onnx(dump, vectors.shape[1]).SerializeToString(deterministic=True)
    check(booster, dump, content, vectors, calibration, thresholds)
    return content


def check(
    booster: lgb.Booster,
    dump: Mapping[str, Any],
    content: bytes,
    vectors: Vectors,
    calibration: Calibration,
    thresholds: Thresholds,
) -> None:
    """Raises ExportRefused as `export` does. `dump` is the booster's `dump_model()`."""
    session = open_session(content)
    for rows in _chunks(vectors):
        trained, served = raw_logits(booster, rows), run_session(session, rows)
        _require_close(trained, served, "the training vectors")
        outcomes = [thresholds.outcome(calibration.probability(logits)) for logits in (trained, served)]
        if (flips := int((outcomes[0] != outcomes[1]).sum())) > 0:
            raise ExportRefused(f"{flips} decisions flip between LightGBM and ONNX; nothing was written")
    _require_close_on(booster, session, _nan_rows(vectors), "rows with NaN")
    _require_close_on(booster, session, _boundary_rows(dump, vectors), "rows on a threshold")


def raw_logits(booster: lgb.Booster, vectors: Vectors, num_iteration: int | None = None) -> Logits:
    """LightGBM's raw logits (n,) of vectors (n, k)."""
    return np.asarray(booster.predict(vectors, raw_score=True, num_iteration=num_iteration), dtype=np.float64)


def _require_close_on(
    booster: lgb.Booster, session: ort.InferenceSession, probes: Iterator[Vectors], kind: str
) -> None:
    for rows in probes:
        _require_close(raw_logits(booster, rows), run_session(session, rows), kind)


def _require_close(trained: Logits, served: Logits, kind: str) -> None:
    distance = float(np.abs(trained - served).max(initial=0.0))
    if not distance <= TOLERANCE:
        raise ExportRefused(
            f"LightGBM and ONNX differ by {distance:.3g} in logit on {kind}; nothing was written"
        )


def _chunks(vectors: Vectors) -> Iterator[Vectors]:
    for at in range(0, len(vectors), _CHUNK):
        yield vectors[at : at + _CHUNK]


def _nan_rows(vectors: Vectors) -> Iterator[Vectors]:
    """Training rows with half of their values NaN, and one row of nothing else."""
    rows = vectors[:: max(1, len(vectors) // _NAN_ROWS)][:_NAN_ROWS].copy()
    rows[np.random.default_rng(0).random(rows.shape) < 0.5] = np.nan
    rows[0] = np.nan
    yield rows


def _boundary_rows(dump: Mapping[str, Any], vectors: Vectors) -> Iterator[Vectors]:
    """For every split a training row whose value is the threshold, one float32 below and one above."""
    places = sorted(set(splits(dump)))
    for at in range(0, len(places), _CHUNK // 3):
        part = places[at : at + _CHUNK // 3]
        columns = np.repeat([column for column, _ in part], 3)
        on = np.array([float32_threshold(threshold) for _, threshold in part], dtype=np.float32)
        with np.errstate(
            over="ignore", under="ignore"
        ):  # a split of NaN from the rest lies at the largest float
            beside = [np.nextafter(on, np.float32(-np.inf)), on, np.nextafter(on, np.float32(np.inf))]
        rows = vectors[(3 * at + np.arange(len(columns))) % len(vectors)].copy()
        probes = np.column_stack(beside).ravel()
        rows[np.arange(len(columns)), columns] = probes
        # A vector is finite or NaN, and the two read infinity apart at a split that only parts NaN.
        yield rows[np.isfinite(probes)]
