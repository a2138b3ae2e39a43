"""Whether a stated confidence is the probability of being right, and how to make it so."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy import optimize

from vision_banana.metrics.metric import Metric, valid_pixels

BINS = 1500  # of the confidence in [0, 1]; a multiple of CALIBRATION_BINS
CALIBRATION_BINS = 15  # Guo et al. 2017


class ConfidenceState(NamedTuple):
    """Per bin of confidence, (BINS,): pixels, their summed confidence, and how many are right."""

    pixels: np.ndarray
    confidence: np.ndarray
    right: np.ndarray


class Curve(NamedTuple):
    """A calibration: what probability of being right a confidence stands for.

    Attributes:
      confidence: (M,) in [0, 1], rising.
      probability: (M,) in [0, 1], never falling.
    """

    confidence: np.ndarray
    probability: np.ndarray


def calibration() -> Metric:
    """Returns ECE and AURC of confidences, pixels pooled.

    `update(state, confidence, right, valid=None)`: confidence (...) in [0, 1], right (...) bool,
    valid (...) bool. ECE is the expected calibration error over 15 bins of equal width (Guo et
    al. 2017, arXiv 1706.04599, equation 3). AURC is the area under the curve of risk against
    coverage (Geifman et al. 2019, arXiv 1805.08206), the mean over all pixels of the share of
    errors among the pixels at least as sure.
    """

    def init() -> ConfidenceState:
        return ConfidenceState(np.zeros(BINS, np.int64), np.zeros(BINS), np.zeros(BINS, np.int64))

    def update(
        state: ConfidenceState, confidence: Any, right: Any, valid: Any = None
    ) -> ConfidenceState:
        confidence, right = np.asarray(confidence, np.float64), np.asarray(right, bool)
        if confidence.shape != right.shape:
            raise ValueError(
                f"calibration: confidence has shape {confidence.shape} and right {right.shape}; "
                "give one of each for every pixel"
            )
        counted = valid_pixels("calibration", valid, confidence.shape)
        confidence, right = confidence[counted], right[counted]
        if not ((confidence >= 0) & (confidence <= 1)).all():
            raise ValueError("calibration: a confidence is outside [0, 1] or NaN; clip it")
        # The small shift keeps 0.2 out of the bin below it, whose upper end it is by rounding.
        bins = np.minimum((confidence * BINS + 1e-9).astype(np.int64), BINS - 1).ravel()
        counts = [
            np.bincount(bins, weights, BINS)
            for weights in (None, confidence.ravel(), right.ravel().astype(np.float64))
        ]
        return merge(state, ConfidenceState(counts[0], counts[1], counts[2].astype(np.int64)))

    def merge(a: ConfidenceState, b: ConfidenceState) -> ConfidenceState:
        return ConfidenceState(*(x + y for x, y in zip(a, b, strict=True)))

    def compute(state: ConfidenceState) -> dict[str, float]:
        if not state.pixels.sum():
            return {"ECE": float("nan"), "AURC": float("nan")}
        coverage, risk = risk_coverage(state)
        return {
            "ECE": expected_calibration_error(state),
            "AURC": float((risk * np.diff(coverage, prepend=0)).sum()),
        }

    return Metric(init, update, merge, compute)


def reliability(state: ConfidenceState) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The diagram behind the ECE: pixels, mean confidence and share right of each bin, (15,).

    NaN for an empty bin.
    """
    pixels, confidence, right = (
        x.reshape(CALIBRATION_BINS, -1).sum(1).astype(np.float64) for x in state
    )
    with np.errstate(invalid="ignore", divide="ignore"):
        return pixels, confidence / pixels, right / pixels


def expected_calibration_error(state: ConfidenceState) -> float:
    """Sum over bins of their share of the pixels times |share right - mean confidence|."""
    pixels, confidence, right = reliability(state)
    return float((np.nan_to_num(np.abs(right - confidence)) * pixels).sum() / pixels.sum())


def risk_coverage(state: ConfidenceState) -> tuple[np.ndarray, np.ndarray]:
    """Share of the pixels kept, rising to 1, and the share of errors among them, (M,) each.

    The surest pixels are kept first; those of one bin of confidence come and go together.
    """
    seen = state.pixels[::-1] > 0
    kept = np.cumsum(state.pixels[::-1])[seen]
    wrong = np.cumsum((state.pixels - state.right)[::-1])[seen]
    return kept / kept[-1], wrong / kept


def fit(state: ConfidenceState) -> Curve:
    """The never falling curve of least squared error (isotonic regression, pool adjacent
    violators; Zadrozny and Elkan 2002).

    Raises:
      ValueError: nothing was seen.
    """
    seen = state.pixels > 0
    if not seen.any():
        raise ValueError("calibration: there are no pixels to fit to; score some records first")
    pixels = state.pixels[seen]
    fitted = optimize.isotonic_regression(state.right[seen] / pixels, weights=pixels)
    return Curve(state.confidence[seen] / pixels, fitted.x)


def apply(curve: Curve, confidence: Any) -> np.ndarray:
    """The probability that a confidence (...) stands for, float32, interpolated linearly."""
    return np.interp(confidence, curve.confidence, curve.probability).astype(np.float32)


def from_lists(confidence: Sequence[float], probability: Sequence[float]) -> Curve:
    """A curve from numbers that were stored.

    Raises:
      ValueError: they differ in number, are none, or do not rise within [0, 1].
    """
    x, y = np.asarray(confidence, np.float64), np.asarray(probability, np.float64)
    sound = x.ndim == 1 and x.shape == y.shape and x.size > 0
    if not sound or (np.diff(x) <= 0).any() or (np.diff(y) < 0).any() or not _within(x, y):
        raise ValueError(
            f"calibration: {x.size} confidences and {y.size} probabilities are no rising curve "
            "within [0, 1]; fit it again"
        )
    return Curve(x, y)


def _within(*arrays: np.ndarray) -> bool:
    return all(((x >= 0) & (x <= 1)).all() for x in arrays)
