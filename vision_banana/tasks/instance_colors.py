"""The colour that each instance is drawn in: a smooth function of where it lies.

Which colours instances get is ours to choose, and one sampling step must be able to predict them
from the picture. A random colour cannot be predicted: one step would draw the mean of all colours.
So the colour says where the instance's centroid (u, v) lies, u from left to right and v from top
to bottom, in [0, 1], on a plane in the RGB cube:

    R = 20 + 215 u,   G = 20 + 215 v,   B = 235 - 107.5 (u + v)

plus SIZE_RANGE times its size (log area) along the plane's normal. A network that regresses the
centroid has the colour; every pixel of an instance regresses the same centroid. The plane
R + G + 2B = 510 lies 208 from black and from white; backgrounds are taken away from it
(`is_apart`), so they need not know the instances. Instances a tenth of the picture apart are at
least 21 grey levels apart. Those nearer to one another than APART are pushed apart along the line
between their two colours, in all pairs at once, so that their order does not matter: of two near
instances the left one stays the more left in colour.
"""

import math

import numpy as np

from vision_banana.tasks import colors as colors_lib

TAU = colors_lib.MIN_DISTANCE  # the decoder's tolerance, grey levels
APART = 40.0  # least distance of two instances: 2 TAU and what a generator errs by
BACKGROUND_APART = 80.0  # of a background from the plane of instance colours
SIZE_RANGE = 24.0
NORMAL = np.array([1.0, 1.0, 2.0]) / math.sqrt(6)
# Log2 of the area's share of the picture: small, large. 24 pixels of 64 x 64 are 2^-7.4.
SIZES = (-7.5, -1.5)
ROUNDS = 200


def is_apart(background: np.ndarray) -> bool:
    """Tells whether a background (3,), 0 to 255, lies away from all instance colours."""
    return bool(abs((background - 127.5) @ NORMAL) >= BACKGROUND_APART)


def positions(ids: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Centroids (count, 2) as (u, v) in [0, 1] and shares of the picture (count,) of ids 1..count.

    Args:
      ids: (H, W) int; an id without pixels gets the centre and share 0.
      count: how many ids.
    """
    height, width = ids.shape
    area = np.bincount(ids.ravel(), minlength=count + 1)[1 : count + 1]
    rows, columns = np.mgrid[:height, :width] + 0.5
    centroid = [
        np.bincount(ids.ravel(), x.ravel(), count + 1)[1 : count + 1] / np.maximum(area, 1)
        for x in (columns / width, rows / height)
    ]
    center = np.where(area[:, None] > 0, np.stack(centroid, -1), 0.5)
    return center, area / ids.size


def place(ids: np.ndarray, count: int, background: np.ndarray | None = None) -> np.ndarray:
    """Returns the colours of ids 1..count, (count, 3) float64, whole numbers 0 to 255.

    Args:
      ids: (H, W) int.
      count: how many ids.
      background: (3,), 0 to 255, that the colours keep away from.
    """
    center, share = positions(ids, count)
    u, v = center[:, 0], center[:, 1]
    plane = np.stack([20 + 215 * u, 20 + 215 * v, 235 - 107.5 * (u + v)], -1)
    size = (np.log2(np.maximum(share, 1e-9)) - SIZES[0]) / (SIZES[1] - SIZES[0])
    offset = SIZE_RANGE * (2 * np.clip(size, 0, 1) - 1)
    colors = np.clip(plane + offset[:, None] * NORMAL, 0, 255)
    fixed = np.zeros((0, 3)) if background is None else np.asarray(background, float)[None]
    colors = np.round(_push_apart(colors, fixed))
    return _resolve(colors, fixed, share)


def _push_apart(colors: np.ndarray, fixed: np.ndarray) -> np.ndarray:
    """Moves colours nearer than APART away from one another and from the fixed ones."""
    count = len(colors)
    # Exact ties (two instances with one centroid and one size) go apart in the order of ids.
    tie = 1e-3 * np.arange(count)[:, None] * np.array([1.0, -1.0, 0.0])
    colors = colors + tie
    for _ in range(ROUNDS):
        others = np.concatenate([colors, fixed])
        difference = colors[:, None] - others[None]
        distance = np.linalg.norm(difference, axis=-1)
        lack = np.maximum(APART - distance, 0)
        lack[np.arange(count), np.arange(count)] = 0
        if not (lack > 0.5).any():
            break
        direction = difference / np.maximum(distance, 1e-6)[..., None]
        # Half each, a little more so that the rounds end; all of it from what cannot move.
        step = np.where(np.arange(len(others)) < count, 0.55, 1.1) * lack
        colors = np.clip(colors + (step[..., None] * direction).sum(1), 0, 255)
    return colors


def _resolve(colors: np.ndarray, fixed: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Where pushing has left two within 2 TAU, the smaller takes the nearest free grid colour."""
    axis = np.arange(0, 256, 36.0)
    grid = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), -1).reshape(-1, 3)
    taken = fixed
    result = colors.copy()
    for i in np.argsort(-share, kind="stable"):
        if len(taken) and np.linalg.norm(taken - colors[i], axis=-1).min() < 2 * TAU:
            room = np.linalg.norm(grid[:, None] - taken[None], axis=-1).min(1) >= 2 * TAU
            if room.any():
                free = grid[room]
                result[i] = free[np.linalg.norm(free - colors[i], axis=-1).argmin()]
        taken = np.concatenate([taken, result[i][None]])
    return result
