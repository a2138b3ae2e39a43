"""Finds blobs of a named colour in a picture: rules on chromaticity and brightness, no learning.

A surface's chromaticity, its colour divided by its sum, is the same in light, in shadow and in
both shades of a texture; brightness is not. So the nine chromatic names are told apart, and from
muted backgrounds, by chromaticity alone. White, gray and black share theirs with many
backgrounds, so for them several ranges of brightness and of tint are tried, and what is solid and
stands free is kept.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from scipy import ndimage, spatial

COLORS = {
    "red": (0.86, 0.10, 0.10),
    "green": (0.10, 0.62, 0.16),
    "blue": (0.10, 0.22, 0.88),
    "yellow": (0.96, 0.86, 0.10),
    "orange": (1.00, 0.50, 0.04),
    "purple": (0.50, 0.14, 0.74),
    "pink": (1.00, 0.56, 0.76),
    "cyan": (0.12, 0.84, 0.90),
    "brown": (0.40, 0.22, 0.11),
    "white": (0.96, 0.96, 0.96),
    "black": (0.07, 0.07, 0.07),
    "gray": (0.45, 0.45, 0.45),
}
NEUTRAL = ("white", "black", "gray")
# Walls, floors, grounds and skies that are not gray; what is nearer to one of them is no solid.
_BACKGROUNDS = (
    (0.50, 0.60, 0.73),
    (0.56, 0.67, 0.55),
    (0.80, 0.75, 0.53),
    (0.78, 0.63, 0.64),
    (0.64, 0.42, 0.39),
    (0.56, 0.47, 0.39),
    (0.60, 0.47, 0.34),
    (0.46, 0.42, 0.50),
    (0.38, 0.52, 0.26),
    (0.46, 0.37, 0.29),
    (0.30, 0.52, 0.86),
    (0.74, 0.84, 0.94),
    (0.58, 0.62, 0.68),
    (0.46, 0.44, 0.62),
    (0.96, 0.72, 0.48),
    (1.0, 1.0, 1.0),
)
# Brightness (mean of RGB): ranges of pixels, tried in turn, and what a blob's mean must lie in.
_RANGES = {
    "black": ((0.0, 0.10),),
    "gray": ((0.14, 0.50), (0.14, 0.40), (0.14, 0.32), (0.24, 0.50)),
    "white": ((0.34, 1.0), (0.46, 1.0), (0.58, 1.0), (0.70, 1.0)),
}
_MEAN = {"black": (0.0, 0.085), "gray": (0.18, 0.45), "white": (0.41, 1.0)}
# How far from gray a pixel's chromaticity may lie; the first that finds a blob stands.
_TINTS = (0.002, 0.006, 0.015)
# A white, gray or black blob is at least so solid, no larger than so much of the picture, and
# along the picture's edge no longer than so many square roots of its area.
_SOLID, _LARGEST, _ALONG = 0.78, 0.3, 1.5
_MOST = 0.5  # any blob's largest share of the picture: what is larger is a background
# Its mean chromaticity is that of gray, or at least far from that of what surrounds it.
_TRUE_GRAY, _NEAR_GRAY, _CONTRAST = 0.004, 0.015, 0.02


class Blob(NamedTuple):
    """A connected region of one colour.

    Attributes:
      mask: (H, W) bool.
      area: its pixels.
      center: mean row and column.
    """

    mask: np.ndarray
    area: int
    center: tuple[float, float]


def smallest(shape: tuple[int, ...]) -> int:
    """Pixels from which a blob counts: 12 in a picture of 64 x 64."""
    return max(3, round(12 * shape[0] * shape[1] / 4096))


def _chromaticity(rgb: np.ndarray) -> np.ndarray:
    return rgb / np.maximum(rgb.sum(-1, keepdims=True), 1e-3)


CHROMATIC = tuple(name for name in COLORS if name not in NEUTRAL)
_PROTOTYPES = _chromaticity(
    np.array([*(COLORS[name] for name in CHROMATIC), *_BACKGROUNDS], np.float32)
)
_DARK = 0.09  # largest channel below which a pixel's chromaticity says nothing


def nearest(rgb: np.ndarray) -> np.ndarray:
    """Which chromatic name each pixel of a picture (H, W, 3) is nearest to.

    Returns:
      (H, W) int, an index into `CHROMATIC`, or `len(CHROMATIC)` or more for none of them.
    """
    chroma = _chromaticity(rgb.astype(np.float32)).reshape(-1, 3)
    apart = (_PROTOTYPES**2).sum(1) - 2 * (chroma @ _PROTOTYPES.T)
    index = apart.argmin(1).reshape(rgb.shape[:2])
    return np.where(rgb.max(-1) < _DARK, len(_PROTOTYPES), index)


def solidity(mask: np.ndarray) -> float:
    """Area of a mask by that of the convex hull of its pixels (with their corners)."""
    rows, columns = np.nonzero(mask)
    corners = np.concatenate([np.stack([rows + i, columns + j], 1) for i in (0, 1) for j in (0, 1)])
    return float(len(rows) / spatial.ConvexHull(corners).volume)


def _parts(mask: np.ndarray, fewest: int) -> Iterator[np.ndarray]:
    """Connected parts of at least `fewest` pixels, holes of theirs filled, (H, W) bool."""
    labels, count = ndimage.label(mask)
    sizes = np.bincount(labels.ravel(), minlength=count + 1)
    for number, window in enumerate(ndimage.find_objects(labels), 1):
        if sizes[number] >= fewest:
            part = np.zeros(mask.shape, bool)
            part[window] = ndimage.binary_fill_holes(labels[window] == number)
            yield part


def _blob(mask: np.ndarray) -> Blob:
    rows, columns = np.nonzero(mask)
    return Blob(mask, len(rows), (float(rows.mean()), float(columns.mean())))


def _stands_free(rgb: np.ndarray, mask: np.ndarray, color: str) -> bool:
    """Whether a part that is white, gray or black can be a solid rather than a background."""
    area = int(mask.sum())
    along = mask[0].sum() + mask[-1].sum() + mask[:, 0].sum() + mask[:, -1].sum()
    if area > _LARGEST * mask.size or mask[0].any() or along > _ALONG * area**0.5:
        return False
    mean = rgb[mask].mean(0)
    low, high = _MEAN[color]
    if not low <= mean.mean() <= high or solidity(mask) < _SOLID:
        return False
    if color == "black":
        return True
    tint = np.abs(_chromaticity(mean) - 1 / 3).max()
    near = ndimage.binary_dilation(mask)
    around = rgb[ndimage.binary_dilation(near, iterations=2) & ~near].mean(0)
    contrast = np.abs(_chromaticity(mean) - _chromaticity(around)).max()
    return bool(tint < _TRUE_GRAY or (tint < _NEAR_GRAY and contrast > _CONTRAST))


def _neutral(rgb: np.ndarray, color: str) -> list[Blob]:
    """Blobs of white, gray or black."""
    brightness = rgb.mean(-1)
    smooth = ndimage.uniform_filter(rgb, (3, 3, 0), mode="nearest")
    tints = np.abs(np.stack([_chromaticity(rgb), _chromaticity(smooth)]) - 1 / 3).max(-1).min(0)
    fewest = 2 * smallest(brightness.shape)
    for tint in _TINTS if color != "black" else (1.0,):
        found: list[np.ndarray] = []
        taken = np.zeros(brightness.shape, bool)
        for darkest, brightest in _RANGES[color]:
            band = (brightness >= darkest) & (brightness <= brightest) & (tints < tint)
            if tint != _TINTS[0]:  # noise eats holes
                band = ndimage.uniform_filter(band.astype(np.float32), 3) > 0.5
            for part in _parts(band, fewest):
                if not (part & taken).any() and _stands_free(rgb, part, color):
                    found.append(part)
                    taken |= part
        if found:
            return [_blob(part) for part in found]
    return []


def blobs(rgb: np.ndarray, color: str, names: np.ndarray) -> list[Blob]:
    """Blobs of a named colour.

    Args:
      rgb: (H, W, 3) in [0, 1].
      color: a key of `COLORS`.
      names: (H, W), `nearest(rgb)`.

    Returns:
      The blobs, none smaller than `smallest`.
    """
    if color in NEUTRAL:
        return _neutral(rgb, color)
    mask = names == CHROMATIC.index(color)
    parts = _parts(mask, smallest(rgb.shape))
    return [_blob(part) for part in parts if part.sum() <= _MOST * part.size]
