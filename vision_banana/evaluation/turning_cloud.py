"""Depth maps as coloured points that turn in a browser, without a library and without a network."""

import html
import json
import math
import pathlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from vision_banana.data import pictures
from vision_banana.evaluation import point_cloud

FARTHEST_M = 60.0  # points beyond it are left out of the cloud, or they would dwarf the scene
POINTS = 40_000  # as many as a 2-D canvas turns without a stutter
HELP = "Drag to turn, wheel or two fingers to zoom, double-click to look from the camera again."


class Cloud(NamedTuple):
    """A depth map to see in space.

    Attributes:
      name: a few words.
      depth_m: (H, W) metres, infinity for sky.
      picture: (H, W, 3) RGB in [0, 1], the points' colours.
      fov_degrees: horizontal field of view that unprojects it.
    """

    name: str
    depth_m: np.ndarray
    picture: np.ndarray
    fov_degrees: float


def style() -> str:
    """The CSS that `section` needs."""
    return pathlib.Path(__file__).with_name("turning_cloud.css").read_text()


def script() -> str:
    """The JavaScript that turns what `section` holds; it belongs behind it."""
    return pathlib.Path(__file__).with_name("turning_cloud.js").read_text()


def section(clouds: Sequence[Cloud]) -> str:
    """The clouds as HTML: a menu, a canvas and their points; a page can hold one such section."""
    buttons = "".join(f'<button type="button">{html.escape(c.name)}</button>' for c in clouds)
    data = json.dumps([_data(c) for c in clouds], separators=(",", ":"), allow_nan=False)
    return (
        f'<div id="cloud-menu">{buttons}</div>'
        '<canvas id="cloud" tabindex="0" aria-label="point cloud that can be turned"></canvas>'
        '<p class="quiet" id="cloud-note"></p>'
        f'<script type="application/json" id="cloud-data">{data}</script>'
    )


def frame(cloud: Cloud, height: int = 420) -> str:
    """One cloud as an `iframe` that holds all it needs, for pages that take HTML alone.

    The frame is sandboxed: its script reaches neither the page around it nor a network.

    Args:
      cloud: what to show.
      height: of the frame, pixels.
    """
    page = (
        '<!doctype html><meta charset="utf-8">'
        f"<style>{style()} body {{ margin: 0; font: 13px/1.4 system-ui, sans-serif; }}"
        " #cloud { height: calc(100vh - 3.4em); } #cloud-menu { display: none; }"
        " p { margin: .4em 0 0; color: #6d685c; }</style>"
        f"{section([cloud])}<script>{script()}</script>"
    )
    return (
        f'<iframe title="{html.escape(cloud.name)}" sandbox="allow-scripts" '
        f'style="width: 100%; height: {height}px; border: 0" srcdoc="{html.escape(page)}"></iframe>'
    )


def _data(cloud: Cloud) -> dict[str, Any]:
    """A cloud as the script reads it; of a large depth map every n-th row and column."""
    stride = math.ceil(math.sqrt(cloud.depth_m.size / POINTS))
    depth_m = cloud.depth_m[::stride, ::stride]
    picture = cloud.picture[::stride, ::stride]
    points = point_cloud.unproject(depth_m, cloud.fov_degrees)
    height, width = depth_m.shape
    kept = np.isfinite(points).all(-1) & (points[:, 2] > -FARTHEST_M)
    levels = pictures.to_u8(picture.reshape(-1, 3))
    left_out = int((~kept).sum())
    return {
        "points": points[kept].ravel().astype(float).round(3).tolist(),
        "colors": levels[kept].ravel().tolist(),
        "pivot": round(float(-np.median(points[kept, 2])), 3) if kept.any() else 1.0,
        "pixel": 2 * np.tan(np.radians(cloud.fov_degrees) / 2) / width,
        "aspect": height / width,
        "fov": cloud.fov_degrees,
        "note": f"{int(kept.sum()):,} points, unprojected with an assumed horizontal field of view "
        f"of {cloud.fov_degrees:g} degrees; {left_out:,} pixels that are sky or beyond "
        f"{FARTHEST_M:g} m are left out.",
    }
