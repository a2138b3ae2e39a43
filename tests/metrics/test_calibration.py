"""Calibration and risk against coverage, by hand."""

import numpy as np
import pytest

from vision_banana.metrics import calibration

METRIC = calibration.calibration()


def seen(confidence, right, **extras):
    return METRIC.update(METRIC.init(), confidence, right, **extras)


# Two pixels at 0.9, one of them right; two at 0.3, both wrong.
STATE = seen([0.9, 0.9, 0.3, 0.3], [True, False, False, False])


def test_by_hand():
    # |0.5 - 0.9| and |0 - 0.3|, each of half the pixels.
    scores = METRIC.compute(STATE)
    assert scores["ECE"] == pytest.approx(0.5 * 0.4 + 0.5 * 0.3)
    # Half kept: 1 of 2 wrong; all kept: 3 of 4 wrong.
    coverage, risk = calibration.risk_coverage(STATE)
    np.testing.assert_allclose(coverage, [0.5, 1.0])
    np.testing.assert_allclose(risk, [0.5, 0.75])
    assert scores["AURC"] == pytest.approx(0.5 * 0.5 + 0.5 * 0.75)


def test_bins_of_equal_width():
    """0.34 and 0.39 lie in one of the 15 bins, 0.41 in the next."""
    state = seen([0.34, 0.39, 0.41], [True, False, True])
    pixels, sure, right = calibration.reliability(state)
    assert pixels.tolist() == [0] * 5 + [2, 1] + [0] * 8
    assert sure[5] == pytest.approx(0.365) and right[5] == 0.5
    assert sure[6] == pytest.approx(0.41) and right[6] == 1
    # 2/3 |0.5 - 0.365| + 1/3 |1 - 0.41|
    assert METRIC.compute(state)["ECE"] == pytest.approx(0.09 + 0.59 / 3)


def test_a_bin_begins_where_rounding_falls_short_of_it():
    """1 - 0.8 is 0.2 less 4e-17, and 0.2 begins the fourth of the 15 bins."""
    pixels, _, _ = calibration.reliability(seen([1 - 0.8, 0.2, 0.1999], [True, True, True]))
    assert pixels.tolist() == [0, 0, 1, 2] + [0] * 11


def test_batches_and_unknown_pixels():
    parts = METRIC.merge(seen([0.9, 0.9], [True, False]), seen([0.3, 0.3], [False, False]))
    for whole, merged in zip(STATE, parts, strict=True):
        np.testing.assert_allclose(merged, whole)
    masked = seen([[0.9, 0.9, 0.3], [0.3, 0.1, 1.0]], np.array([[1, 0, 0], [0, 1, 1]], bool),
                  valid=np.array([[1, 1, 1], [1, 0, 0]], bool))  # fmt: skip
    for whole, counted in zip(STATE, masked, strict=True):
        np.testing.assert_allclose(counted, whole)
    assert np.isnan(METRIC.compute(METRIC.init())["ECE"])


def test_a_fitted_curve_never_falls_and_is_calibrated():
    """24 of 30 right at 0.2 and 2 of 10 at 0.5 are pooled to 26 of 40; all right at 1."""
    confidence = np.repeat([0.2, 0.5, 1.0], [30, 10, 10])
    right = np.array([1] * 24 + [0] * 6 + [1] * 2 + [0] * 8 + [1] * 10, bool)
    curve = calibration.fit(seen(confidence, right))
    np.testing.assert_allclose(curve.confidence, [0.2, 0.5, 1.0])
    np.testing.assert_allclose(curve.probability, [0.65, 0.65, 1.0])
    read = calibration.apply(curve, [0.0, 0.3, 0.75, 1.0])
    np.testing.assert_allclose(read, [0.65, 0.65, 0.825, 1])
    told = calibration.apply(curve, confidence)
    assert METRIC.compute(seen(told, right))["ECE"] == pytest.approx(0, abs=1e-6)
    assert METRIC.compute(seen(confidence, right))["ECE"] > 0.2


def test_bad_input_is_named():
    with pytest.raises(ValueError, match=r"outside \[0, 1\]"):
        seen([1.5], [True])
    with pytest.raises(ValueError, match=r"outside \[0, 1\] or NaN"):
        seen([np.nan], [True])
    with pytest.raises(ValueError, match="shape"):
        seen([0.5, 0.5], [True])
    with pytest.raises(ValueError, match="no pixels"):
        calibration.fit(METRIC.init())
    for x, y in (([0.5, 0.2], [0, 1]), ([0.2, 0.5], [1, 0]), ([0.2], [2]), ([], []), ([0.1], [])):
        with pytest.raises(ValueError, match="rising curve"):
            calibration.from_lists(x, y)
