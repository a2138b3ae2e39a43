"""Metric-depth errors: means inside each picture, then the plain mean over pictures.

This is the order of every evaluator of NYUv2, KITTI, iBims-1, ETH3D and DIODE that we know of
(UniK3D, MoGe, ZoeDepth, Marigold); nobody pools pixels.
"""

from typing import Any, NamedTuple

import numpy as np

from vision_banana.metrics.metric import Metric

NAMES = ("delta1", "delta2", "delta3", "AbsRel", "RMSE", "log10", "SILog")
SMALLEST_M = 1e-3  # ZoeDepth's lower clamp: a predicted 0 m has no ratio
ALIGNMENTS = (None, "median", "least_squares")


class DepthState(NamedTuple):
    """Sums of per-picture errors, (7,) in the order of NAMES; pictures scored; pictures without."""

    errors: np.ndarray
    pictures: np.ndarray
    empty: np.ndarray


def depth_errors(
    min_m: float, max_m: float, clamp: bool = True, align: str | None = None
) -> Metric:
    """Returns delta1..3, AbsRel, RMSE (metres), log10 and SILog of depth in metres.

    `update(state, prediction, label, valid=None)`: (..., H, W) metres, each leading index a
    picture, `valid` bool. Counted are pixels with min_m < label < max_m, so sky (infinity) and
    unknown depth (NaN) are not. A picture without such a pixel is counted in `state.empty` and
    enters no mean.

    delta_k is the share with max(g / p, p / g) < 1.25 ** k (strict), log10 the mean absolute
    difference, SILog the standard deviation of ln p - ln g (not multiplied by 100).

    Args:
      min_m: metres; the truth must lie above it.
      max_m: metres; the truth must lie below it.
      clamp: whether the prediction is clamped to [max(min_m, 0.001), max_m], NaN to the lower
        end. Without it one infinite pixel makes AbsRel infinite.
      align: None for metric numbers; "median" scales each prediction by the ratio of medians;
        "least_squares" fits scale and shift in depth. Alignment comes before the clamp.

    Raises ValueError for an unknown `align`, an empty range, or shapes that differ.
    """
    if align not in ALIGNMENTS:
        raise ValueError(f"depth_errors: align={align!r} is unknown; use one of {ALIGNMENTS}")
    if not 0 <= min_m < max_m:
        raise ValueError(f"depth_errors: need 0 <= min_m < max_m, got {min_m} and {max_m}")

    def init() -> DepthState:
        return DepthState(np.zeros(len(NAMES)), np.zeros((), np.int64), np.zeros((), np.int64))

    def update(state: DepthState, prediction: Any, label: Any, valid: Any = None) -> DepthState:
        prediction, label = np.asarray(prediction, np.float64), np.asarray(label, np.float64)
        if prediction.shape != label.shape:
            raise ValueError(
                f"depth_errors: prediction has shape {prediction.shape} and label {label.shape}; "
                "decode to metres first, then resize to the label's size"
            )
        counted = (label > min_m) & (label < max_m)
        if valid is not None:
            counted = counted & np.asarray(valid, bool)
        errors, pictures, empty = state
        for p, g, mask in zip(*(_pictures(x) for x in (prediction, label, counted)), strict=True):
            if not mask.any():
                empty = empty + 1
                continue
            p, g = _align(p[mask], g[mask], align), g[mask]
            if clamp:
                low = max(min_m, SMALLEST_M)
                p = np.clip(np.where(np.isnan(p), low, p), low, max_m)
            errors, pictures = errors + _picture_errors(p, g), pictures + 1
        return DepthState(errors, pictures, empty)

    def merge(a: DepthState, b: DepthState) -> DepthState:
        return DepthState(*(x + y for x, y in zip(a, b, strict=True)))

    def compute(state: DepthState) -> dict[str, float]:
        means = state.errors / state.pictures if state.pictures else np.full(len(NAMES), np.nan)
        return dict(zip(NAMES, means.tolist(), strict=True))

    return Metric(init, update, merge, compute)


def _pictures(x: np.ndarray) -> np.ndarray:
    return x.reshape(-1, *x.shape[-2:])


def _align(p: np.ndarray, g: np.ndarray, align: str | None) -> np.ndarray:
    """Returns p (N,) aligned to g (N,); infinite or NaN predictions take no part in the fit."""
    finite = np.isfinite(p)
    if align is None or not finite.any():
        return p
    if align == "median":
        middle = np.median(p[finite])
        return p * (np.median(g[finite]) / middle) if middle > 0 else p
    design = np.stack([p[finite], np.ones(finite.sum())], axis=-1)
    scale, shift = np.linalg.lstsq(design, g[finite], rcond=None)[0]
    return np.where(finite, scale * p + shift, p)


def _picture_errors(p: np.ndarray, g: np.ndarray) -> np.ndarray:
    """Returns the errors of one picture's counted pixels, (7,) in the order of NAMES."""
    with np.errstate(divide="ignore", invalid="ignore"):
        # A prediction that is not positive has negative ratios, which must not pass as small.
        ratio = np.where(p > 0, np.maximum(p / g, g / p), np.inf)
        log_ratio = np.log(p) - np.log(g)
        return np.array(
            [
                *((ratio < 1.25**k).mean() for k in (1, 2, 3)),
                (np.abs(p - g) / g).mean(),
                np.sqrt(((p - g) ** 2).mean()),
                np.abs(log_ratio).mean() / np.log(10),
                log_ratio.std(),
            ]
        )
