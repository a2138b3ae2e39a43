"""The parts of a picture that depth benchmarks score, by the names of the papers they come from."""

from collections.abc import Callable

import numpy as np

GARG = (0.40810811, 0.99189189, 0.03594771, 0.96405229)  # rows from, to; columns from, to


def eigen_nyu(shape: tuple[int, int]) -> np.ndarray:
    """Rows 45:471, columns 41:601 of NYU's 480 x 640; ValueError for another size."""
    if tuple(shape) != (480, 640):
        raise ValueError(f"the Eigen crop of NYU is one of 480 x 640 pixels, this is {shape}")
    inside = np.zeros(shape, bool)
    inside[45:471, 41:601] = True
    return inside


def fractions(
    shape: tuple[int, int], top: float, bottom: float, left: float, right: float
) -> np.ndarray:
    """A box given in fractions of height and width, cut to whole pixels; (H, W) bool."""
    height, width = shape
    inside = np.zeros(shape, bool)
    inside[int(top * height) : int(bottom * height), int(left * width) : int(right * width)] = True
    return inside


CROPS: dict[str, Callable[[tuple[int, int]], np.ndarray]] = {
    "eigen_nyu": eigen_nyu,
    "garg": lambda shape: fractions(shape, *GARG),
}
