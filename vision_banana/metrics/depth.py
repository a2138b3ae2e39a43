"""Metric-depth errors: means inside each picture, then the plain mean over pictures.

This is the order of every evaluator of NYUv2, KITTI, iBims-1, ETH3D and DIODE that we know of
(UniK3D, MoGe, ZoeDepth, Marigold); nobody pools pixels.
"""

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from vision_banana.metrics import double_precision
from vision_banana.metrics.metric import Metric, valid_pixels

NAMES = ("delta1", "delta2", "delta3", "AbsRel", "RMSE", "log10", "SILog")
SMALLEST_M = 1e-3  # ZoeDepth's lower clamp: a predicted 0 m has no ratio
ALIGNMENTS = (
    None,
    "median",
    "median_disparity",
    "least_squares",
    "least_squares_disparity",
)


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
      align: None for metric numbers. "median" scales each prediction by the ratio of the medians
        of truth and prediction (Zhou et al. 2017, SfMLearner), "least_squares" fits scale and
        shift (Ranftl et al. 2020, MiDaS, equation 4); each is done in depth or, with the ending
        "_disparity", in disparity, 1 / depth, where a disparity that comes out as 0 or less is
        infinitely far. Alignment comes before the clamp.

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
        counted = counted & valid_pixels("depth_errors", valid, label.shape)
        p, g, counted = (x.reshape(-1, *x.shape[-2:]) for x in (prediction, label, counted))
        if align is not None:
            p = np.stack([_align(*one, align) for one in zip(p, g, counted, strict=True)])
        if clamp:
            low = max(min_m, SMALLEST_M)
            p = np.clip(np.where(np.isnan(p), low, p), low, max_m)
        scored = counted.any((-2, -1))
        errors = np.where(scored[:, None], _picture_errors(p, g, counted), 0)
        return merge(state, DepthState(errors.sum(0), scored.sum(), (~scored).sum()))

    def merge(a: DepthState, b: DepthState) -> DepthState:
        return DepthState(*(x + y for x, y in zip(a, b, strict=True)))

    def compute(state: DepthState) -> dict[str, float]:
        means = state.errors / state.pictures if state.pictures else np.full(len(NAMES), np.nan)
        return dict(zip(NAMES, means.tolist(), strict=True))

    return Metric(init, update, merge, compute)


def _align(p: np.ndarray, g: np.ndarray, counted: np.ndarray, align: str) -> np.ndarray:
    """Returns p (H, W) aligned to g (H, W) by its counted pixels.

    Those whose value is infinite or NaN, in disparity also those not above 0 m, take no part in
    the fit.
    """
    in_disparity = align.endswith("_disparity")
    with np.errstate(divide="ignore", invalid="ignore"):
        x, y = (np.where(p > 0, 1 / p, np.nan), 1 / g) if in_disparity else (p, g)
        fitted = counted & np.isfinite(x)
        scale, shift = 1.0, 0.0
        if fitted.any() and align.startswith("median"):
            middle = np.median(x[fitted])
            scale = np.median(y[fitted]) / middle if middle > 0 else 1.0
        elif fitted.any():
            design = np.stack([x[fitted], np.ones(fitted.sum())], axis=-1)
            scale, shift = np.linalg.lstsq(design, y[fitted], rcond=None)[0]
        aligned = scale * x + shift
        if in_disparity:
            aligned = np.where(aligned > 0, 1 / aligned, np.inf)
        return np.where(np.isfinite(x), aligned, p)


@double_precision.jit
def _picture_errors(p: Any, g: Any, counted: Any) -> Any:
    """Returns the errors of each picture's counted pixels, (B, 7) in the order of NAMES.

    Depths p and g are (B, H, W) metres, `counted` (B, H, W) bool. NaN for a picture with none.
    """
    p, g = (jnp.where(counted, x, 1.0) for x in (p, g))
    pixels = counted.sum((-2, -1))

    def mean(x: Any) -> Any:
        return jnp.where(counted, x, 0.0).sum((-2, -1)) / pixels

    # A prediction that is not positive has negative ratios, which must not pass as small.
    ratio = jnp.where(p > 0, jnp.maximum(p / g, g / p), jnp.inf)
    log_ratio = jnp.log(p) - jnp.log(g)
    spread = log_ratio - mean(log_ratio)[:, None, None]
    return jnp.stack(
        [
            *(mean(ratio < 1.25**k) for k in (1, 2, 3)),
            mean(jnp.abs(p - g) / g),
            jnp.sqrt(mean((p - g) ** 2)),
            mean(jnp.abs(log_ratio)) / jnp.log(10.0),
            jnp.sqrt(mean(spread**2)),
        ],
        axis=-1,
    )
