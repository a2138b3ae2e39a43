"""The one shape of a metric: four pure functions over a small state that can be merged."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

State = Any


class Metric(NamedTuple):
    """A score that is accumulated batch by batch and merged over hosts.

    Attributes:
      init: `() -> state`, the state of nothing seen.
      update: `(state, prediction, label, **extras) -> state`.
      merge: `(state, state) -> state`, as if both had been seen by one.
      compute: `state -> dict` of metric name to float; fractions lie in [0, 1], angles are in
        degrees, and a value that nothing determines is NaN.
    """

    init: Callable[[], State]
    update: Callable[..., State]
    merge: Callable[[State, State], State]
    compute: Callable[[State], dict[str, float]]


def valid_pixels(name: str, valid: Any, shape: tuple[int, ...]) -> np.ndarray:
    """Which pixels are counted.

    Args:
      name: of the metric, for the message.
      valid: bool, or None for all of them.
      shape: of the label in pixels.

    Returns:
      `valid` as bool, of that shape.

    Raises:
      ValueError: it has another shape, also one that NumPy would broadcast: a mask of a single row
        says nothing about the others.
    """
    if valid is None:
        return np.ones(shape, bool)
    valid = np.asarray(valid, bool)
    if valid.shape != shape:
        raise ValueError(
            f"{name}: valid has shape {valid.shape} and the label {shape} in pixels; give one of "
            "each for every pixel"
        )
    return valid
