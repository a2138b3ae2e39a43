"""Depth to points in space, seen by a pinhole camera."""

import math
from typing import Any

import numpy as np

from vision_banana.data import pictures


def unproject(depth_m: Any, fov_degrees: float) -> np.ndarray:
    """The point that each pixel shows.

    The camera looks along -z with its centre in the middle of the picture and square pixels; the
    axes are those of the surface normals: x right, y up, z out of the picture towards the camera.

    Args:
      depth_m: (H, W) metres along the optical axis; infinity (sky), NaN and values that are not
        above 0 are no points.
      fov_degrees: horizontal field of view, between 0 and 180: the angle that the picture's
        width spans.

    Returns:
      (H * W, 3) float32 metres, row by row; NaN where there is no point.

    Raises ValueError for another shape or an impossible field of view.
    """
    depth_m = np.asarray(depth_m, np.float64)
    if depth_m.ndim != 2:
        raise ValueError(f"depth has shape {depth_m.shape}; it must be (H, W), one picture")
    height, width = depth_m.shape
    focal = focal_length(width, fov_degrees)
    z = np.where(np.isfinite(depth_m) & (depth_m > 0), depth_m, np.nan)
    right = (np.arange(width) + 0.5 - width / 2) / focal
    up = (height / 2 - np.arange(height) - 0.5) / focal
    points = np.stack([right[None, :] * z, up[:, None] * z, -z], axis=-1)
    return points.reshape(-1, 3).astype(np.float32)


def focal_length(width: int, fov_degrees: float) -> float:
    """Focal length in pixels of a picture `width` pixels wide that spans `fov_degrees`.

    Raises ValueError for a field of view that is not between 0 and 180 degrees.
    """
    if not 0 < fov_degrees < 180:
        raise ValueError(
            f"the field of view is {fov_degrees:g} degrees; it must lie between 0 and 180, 60 for "
            "a common camera"
        )
    return width / 2 / math.tan(math.radians(fov_degrees) / 2)


def ply(points: np.ndarray, rgb: np.ndarray) -> bytes:
    """A binary PLY file of coloured points, as mesh viewers read it.

    Args:
      points: (N, 3) metres; rows of NaN are left out.
      rgb: (N, 3) colours in [0, 1].
    """
    known = np.isfinite(points).all(-1)
    row = np.dtype([("position", "<f4", 3), ("color", "u1", 3)])
    rows = np.zeros(int(known.sum()), row)
    rows["position"] = points[known]
    rows["color"] = pictures.to_u8(rgb[known])
    names = [f"property float {axis}" for axis in "xyz"]
    names += [f"property uchar {channel}" for channel in ("red", "green", "blue")]
    header = ["ply", "format binary_little_endian 1.0", f"element vertex {len(rows)}", *names]
    return ("\n".join([*header, "end_header"]) + "\n").encode() + rows.tobytes()
