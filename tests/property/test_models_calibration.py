"""The calibration never changes the order of two payments."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from models.calibration import SLOPES, Calibration, fit_calibration, sigmoid

slopes = st.floats(*SLOPES)
calibrations = st.builds(Calibration, slopes, slopes, st.floats(-20, 20))


@given(calibrations, st.floats(-30, 30), st.floats(1e-6, 60))
def test_strictly_increasing(calibration: Calibration, z: float, step: float) -> None:
    low, high = calibration.logit(np.array([z, z + step]))
    assert low < high
    p_low, p_high = calibration.probability(np.array([z, z + step]))
    assert 0 < p_low <= p_high < 1
    if high < 15:
        assert p_low < p_high


@given(st.integers(0, 10_000), st.floats(0.2, 3), st.floats(-3, 3), st.floats(0.005, 0.5))
def test_a_fitted_map_is_increasing_and_no_worse_than_none(
    seed: int, scale: float, shift: float, share: float
) -> None:
    rng = np.random.default_rng(seed)
    truth = rng.normal(np.log(share / (1 - share)), 1.5, 400)
    y = rng.random(400) < sigmoid(truth)
    z = truth / scale + shift
    calibration = fit_calibration(z, y)
    grid = np.linspace(-30, 30, 2001)
    assert (np.diff(calibration.logit(grid)) > 0).all()
    assert log_loss(calibration, z, y) <= log_loss(Calibration(), z, y) + 1e-9


@given(st.integers(0, 10_000))
def test_labels_against_the_scores_still_give_an_increasing_map(seed: int) -> None:
    rng = np.random.default_rng(seed)
    z = rng.normal(size=300)
    calibration = fit_calibration(z, rng.random(300) < sigmoid(-3 * z))
    assert calibration.a >= SLOPES[0]
    assert calibration.b >= SLOPES[0]


def log_loss(calibration: Calibration, z: np.ndarray, y: np.ndarray) -> float:
    p = calibration.probability(z)
    return float(-np.mean(np.where(y, np.log(p), np.log1p(-p))))
