"""Detects the solids of a drawn scene by rules: blobs of a named colour, and each one's class.

A blob is held against the views of `solid_views`. What lies beyond the picture's edge or behind
another solid is unknown: it counts neither for nor against a view, and where a blob ends there,
larger solids of which it shows a part are tried too.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
from scipy import ndimage

from vision_banana.metrics import solid_blobs, solid_views
from vision_banana.metrics.solid_blobs import Blob

# A mismatch is 1 - IoU of the silhouettes, plus this times the relative error of the brightness,
_SHADING = 1.5
# plus this times the share by which a solid would go on where it cannot be seen,
_HIDDEN = 0.06
# plus what the form's views fit too easily (tuned on training scenes).
_EASE = {
    "cone": 0.015,
    "pyramid": 0.015,
    "prism": 0.03,
    "cube": 0.0,
    "cylinder": 0.025,
    "sphere": 0.0,
    "egg": 0.045,
    "capsule": 0.025,
    "lying cylinder": 0.095,
    "lying capsule": 0.08,
}
_KEPT = 10  # views of each form whose brightness is compared, those with the best silhouettes
_GROWTH = (0.1, 0.25, 0.5, 0.8, 1.2)  # hidden shares that are tried


class Solid(NamedTuple):
    """A blob and its class.

    Attributes:
      blob: where it is.
      mismatch: (8,) for each of `solid_views.CLASSES`, 0 for a perfect fit.
    """

    blob: Blob
    mismatch: np.ndarray

    @property
    def kind(self) -> str:
        """The class that fits best."""
        return solid_views.CLASSES[int(self.mismatch.argmin())]


class _Patch(NamedTuple):
    """A blob on the grid of the views, each (GRID * GRID,) float32."""

    mask: np.ndarray
    brightness: np.ndarray
    known: np.ndarray


Box = tuple[float, float, float, float]


def _boxes(mask: np.ndarray, hidden: np.ndarray) -> Iterator[tuple[Box, float]]:
    """First and last row, first and last column that the whole solid may have; hidden share."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    # Of an edge pixel a good half is covered on average.
    base = (rows[0] + 0.2, rows[-1] + 0.8, columns[0] + 0.2, columns[-1] + 0.8)
    yield base, 0.0
    height, width = rows[-1] - rows[0] + 1, columns[-1] - columns[0] + 1
    unseen = np.pad(hidden, 1, constant_values=True)
    beside = (unseen[:-2, 1:-1], unseen[2:, 1:-1], unseen[1:-1, :-2], unseen[1:-1, 2:])
    for side, ends in enumerate(beside):
        across, along = (width, height) if side < 2 else (height, width)
        if (ends & mask).sum() >= max(2, 0.25 * across):
            for share in _GROWTH:
                box = list(base)
                box[side] += share * along * (1 if side % 2 else -1)
                yield (box[0], box[1], box[2], box[3]), share


def _patch(brightness: np.ndarray, mask: np.ndarray, hidden: np.ndarray, box: Box) -> _Patch:
    """What a box shows, on the grid of the views; `brightness` is 0 outside `mask`."""
    grid = ((np.arange(solid_views.GRID) + 0.5) / solid_views.GRID - 0.5) * max(
        box[1] - box[0], box[3] - box[2]
    )
    rows, columns = (box[0] + box[1]) / 2 + grid - 0.5, (box[2] + box[3]) / 2 + grid - 0.5
    places = np.stack(np.meshgrid(rows, columns, indexing="ij"))
    # A pixel at the picture's edge reaches to the edge, hence "nearest".
    cover, light = (
        ndimage.map_coordinates(values, places, order=1, mode="nearest")
        for values in (mask.astype(np.float32), brightness)
    )
    light = light / np.maximum(cover, 1e-3)
    i, j = np.rint(rows).astype(int), np.rint(columns).astype(int)
    inside = ((i >= 0) & (i < mask.shape[0]))[:, None] & (j >= 0) & (j < mask.shape[1])
    i, j = i.clip(0, mask.shape[0] - 1), j.clip(0, mask.shape[1] - 1)
    known = inside & ~hidden[i[:, None], j]
    return _Patch(cover.ravel(), light.ravel(), known.ravel().astype(np.float32))


def _shading_error(patches: list[_Patch], views: np.ndarray) -> np.ndarray:
    """Root mean square of brightness, by its mean, that no light on the view explains, (n,)."""
    table = solid_views.views()
    basis = table.basis[views]
    weight = np.stack([p.mask * p.known for p in patches]) * table.mask[views]
    total = np.maximum(weight.sum(1), 1e-3)
    light = np.stack([p.brightness for p in patches])
    light = light / np.maximum((light * weight).sum(1) / total, 1e-3)[:, None]
    weighted = basis * weight[:, None]
    square = weighted @ basis.transpose(0, 2, 1) + 1e-3 * np.eye(basis.shape[1], dtype=np.float32)
    along = (weighted * light[:, None]).sum(2)
    fit = np.linalg.solve(square, along[..., None])[..., 0]
    error = (light * light * weight).sum(1) - (fit * along).sum(1)
    return np.sqrt(np.maximum(error / total, 0))


def mismatch(brightness: np.ndarray, mask: np.ndarray, hidden: np.ndarray) -> np.ndarray:
    """How badly a blob fits each class, (8,) in the order of `solid_views.CLASSES`.

    Args:
      brightness: (H, W) of the picture.
      mask: (H, W) bool, the blob.
      hidden: (H, W) bool, where other solids lie that may hide a part of it.
    """
    table = solid_views.views()
    brightness = (brightness * mask).astype(np.float32)
    patches, misses = [], []
    for box, share in _boxes(mask, hidden):
        patch = _patch(brightness, mask, hidden, box)
        shared = table.mask @ (patch.mask * patch.known)
        union = table.mask @ patch.known + (patch.mask * patch.known).sum() - shared
        patches.append(patch)
        misses.append(1 - shared / np.maximum(union, 1e-3) + _HIDDEN * share)
    missed = np.concatenate(misses)
    forms = np.tile(table.form, len(patches))
    best = []
    for number in range(len(solid_views.FORMS)):
        of_form = np.flatnonzero(forms == number)
        best.append(of_form[np.argpartition(missed[of_form], _KEPT)[:_KEPT]])
    chosen = np.stack(best)
    patch_of, view = np.divmod(chosen.ravel(), len(table.form))
    error = _shading_error([patches[i] for i in patch_of], view).reshape(chosen.shape)
    ease = np.array([_EASE[form] for form in solid_views.FORMS])
    by_form = (missed[chosen] + _SHADING * error).min(1) + ease
    found = np.full(len(solid_views.CLASSES), np.inf)
    np.minimum.at(found, list(solid_views.FORMS.values()), by_form)
    return found


def detect(rgb: np.ndarray, colors: Iterable[str]) -> dict[str, list[Solid]]:
    """Finds the solids of each of the named colours.

    Args:
      rgb: (H, W, 3) in [0, 1].
      colors: keys of `solid_blobs.COLORS`.

    Returns:
      Colour -> its solids.
    """
    names = solid_blobs.nearest(rgb)
    found = {color: solid_blobs.blobs(rgb, color, names) for color in colors}
    solid = names < len(solid_blobs.CHROMATIC)
    for blob in (blob for blobs in found.values() for blob in blobs):
        solid = solid | blob.mask
    brightness = rgb.mean(-1)
    return {
        color: [Solid(b, mismatch(brightness, b.mask, solid & ~b.mask)) for b in blobs]
        for color, blobs in found.items()
    }
