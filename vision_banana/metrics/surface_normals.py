"""Angular errors of surface normals, pooled over the valid pixels of the whole set.

DSINE's and Lotus's convention; Marigold averages per picture, which is another number.
"""

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from vision_banana.metrics import double_precision
from vision_banana.metrics.metric import Metric, valid_pixels

WITHIN_DEG = (5.0, 7.5, 11.25, 22.5, 30.0)
BINS_PER_DEG = 100
BINS = 180 * BINS_PER_DEG + 1


class AngleState(NamedTuple):
    """Errors by bins of 0.01 degree, (18001,): how many, and their sum in degrees.

    `squares` is the sum of squared errors, `within` (5,) counts errors below WITHIN_DEG.
    """

    pixels: np.ndarray
    degrees: np.ndarray
    squares: np.ndarray
    within: np.ndarray


def angular_errors() -> Metric:
    """Returns mean, median and rmse in degrees, and the shares within_5 ... within_30 (strict).

    `update(state, prediction, label, valid=None)`: vectors (..., H, W, 3), normalised here;
    `valid` (..., H, W) bool. A label of length 0 or one that is not finite is no label. A
    prediction of length 0 is at 90 degrees to everything, as cosine similarity has it; one that is
    not finite counts 180.

    The median is read off a histogram of 0.01-degree bins whose values are the bins' own means,
    with the mean of the two middle values for an even count: exact to 0.01 degree.
    """

    def init() -> AngleState:
        within = np.zeros(len(WITHIN_DEG), np.int64)
        return AngleState(np.zeros(BINS, np.int64), np.zeros(BINS), np.zeros(()), within)

    def update(state: AngleState, prediction: Any, label: Any, valid: Any = None) -> AngleState:
        prediction, label = np.asarray(prediction), np.asarray(label)
        if prediction.shape != label.shape or label.shape[-1] != 3:
            raise ValueError(
                f"angular_errors: prediction has shape {prediction.shape} and label {label.shape}; "
                "both must be (..., H, W, 3) at the label's size"
            )
        counted = (label != 0).any(-1) & np.isfinite(label).all(-1)
        counted = counted & valid_pixels("angular_errors", valid, counted.shape)
        # Rounded so that an error of 30 degrees is never below 30 by the last bit.
        angle = np.round(angle_deg(prediction, label)[counted], 6)
        bins = (angle * BINS_PER_DEG).astype(np.int64)
        seen = AngleState(
            np.bincount(bins, minlength=BINS),
            np.bincount(bins, weights=angle, minlength=BINS),
            (angle**2).sum(),
            (angle[:, None] < np.array(WITHIN_DEG)).sum(0),
        )
        return merge(state, seen)

    def merge(a: AngleState, b: AngleState) -> AngleState:
        return AngleState(*(x + y for x, y in zip(a, b, strict=True)))

    def compute(state: AngleState) -> dict[str, float]:
        count = int(state.pixels.sum())
        names = ["mean", "median", "rmse", *(f"within_{t:g}" for t in WITHIN_DEG)]
        if not count:
            return dict.fromkeys(names, float("nan"))
        mean, rmse = state.degrees.sum() / count, np.sqrt(state.squares / count)
        values = [mean, _median(state), rmse, *(state.within / count)]
        return {name: float(value) for name, value in zip(names, values, strict=True)}

    return Metric(init, update, merge, compute)


def angle_deg(a: Any, b: Any) -> np.ndarray:
    """Returns the angle in degrees, (...) float64, between vectors (..., 3) of any length.

    The angle is atan2(|a x b|, a . b), which keeps its digits near 0 and 180 where acos does not.
    """
    return _angle_deg(np.asarray(a), np.asarray(b))


@double_precision.jit
def _angle_deg(a: Any, b: Any) -> Any:
    a, b = a.astype(jnp.float64), b.astype(jnp.float64)
    finite = jnp.isfinite(a).all(-1) & jnp.isfinite(b).all(-1)
    a, b = (jnp.where(finite[..., None], x, 0.0) for x in (a, b))
    cross = jnp.linalg.norm(jnp.cross(a, b), axis=-1)
    dot = jnp.sum(a * b, axis=-1)
    nothing = (cross == 0) & (dot == 0)
    angle = jnp.where(nothing, 90.0, jnp.degrees(jnp.arctan2(cross, dot)))
    return jnp.where(finite, angle, 180.0)


def _median(state: AngleState) -> float:
    below = np.cumsum(state.pixels)
    count = below[-1]
    middle = np.searchsorted(below, [(count - 1) // 2, count // 2], side="right")
    return float(np.mean(state.degrees[middle] / state.pixels[middle]))
