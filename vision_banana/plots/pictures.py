"""Pictures side by side, the ramp of a depth code, and a cloud of points that turns."""

import textwrap
from collections.abc import Mapping
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vision_banana.api.answers import FOV_DEGREES, Depth
from vision_banana.evaluation import report_pictures, turning_cloud
from vision_banana.tasks import depth

RAMP_STEPS = 512  # pixels of a ramp
LETTERS = 14  # of a title, in an inch


def row(
    pictures: Mapping[str, np.ndarray], *, columns: int = 0, side: float = 2.4, unit: str = ""
) -> Figure:
    """Pictures with their titles, left to right.

    Args:
      pictures: title -> (H, W, 3) RGB in [0, 1], or (H, W) numbers in [0, 1], for which a bar
        says what the colours mean.
      columns: pictures in a line; 0 puts all in one.
      side: of a picture, in inches.
      unit: what the numbers are, written beside their bar.

    Returns:
      The figure. Enlarged pixels stay squares, since between two colours of a code there is no
      meaning.

    Raises:
      ValueError: there is no picture.
    """
    if not pictures:
        raise ValueError("there is no picture to show")
    columns = columns or len(pictures)
    lines = -(-len(pictures) // columns)
    ratio = max(np.shape(picture)[0] / np.shape(picture)[1] for picture in pictures.values())
    titles = [textwrap.fill(title, int(LETTERS * side)) for title in pictures]
    above = 0.2 + 0.15 * max(title.count("\n") + 1 for title in titles)
    figure, axes = plt.subplots(
        lines, columns, figsize=(side * columns, (side * ratio + above) * lines),
        squeeze=False, layout="constrained",
    )  # fmt: skip
    for axis in axes.flat:
        axis.set_axis_off()
    numbers = None
    for axis, title, picture in zip(axes.flat, titles, pictures.values(), strict=False):
        picture = np.asarray(picture)
        if picture.ndim == 3:
            axis.imshow(np.clip(picture, 0, 1), interpolation="nearest")
        else:
            numbers = axis.imshow(picture, "viridis", interpolation="nearest", vmin=0, vmax=1)
        axis.set_title(title, fontsize=9)
    if numbers is not None:
        figure.colorbar(numbers, ax=axes, shrink=0.8, pad=0.01, label=unit)
    return figure


def ramp(axis: Axes, colormap: str = "cube") -> None:
    """Draws a depth code from 0 m to infinity, in equal steps of f, with metres below.

    Args:
      axis: where.
      colormap: one of `depth.COLORMAPS`.
    """
    f = np.linspace(0, 1, RAMP_STEPS)[None]
    axis.imshow(depth.encode(depth.uncurve(f), colormap), aspect="auto", extent=(0, 1, 0, 1))
    ticks = np.array(report_pictures.RAMP_M)
    axis.set_xticks(depth.curve(ticks), ["∞" if np.isinf(m) else f"{m:g}" for m in ticks])
    axis.set_yticks([])
    axis.set_ylabel(colormap, rotation=0, ha="right", va="center")
    axis.set_xlabel("depth in metres (equal steps of f)")


class Turnable(NamedTuple):
    """A frame that a notebook shows and that holds all it shows.

    Attributes:
      html: of the frame.
    """

    html: str

    def _repr_html_(self) -> str:
        return self.html


def turnable(answer: Depth, fov_degrees: float = FOV_DEGREES, height: int = 480) -> Turnable:
    """Depth as a cloud of points that turns with the mouse or a finger.

    Args:
      answer: of the picture whose colours the points take.
      fov_degrees: horizontal field of view of the camera.
      height: of the frame, in pixels.
    """
    cloud = turning_cloud.Cloud("depth", answer.depth_m, answer.shown[0], fov_degrees)
    return Turnable(turning_cloud.frame(cloud, height))
