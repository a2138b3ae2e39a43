"""Masks as COCO writes them: polygons, or run lengths, plain or compressed."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from vision_banana.data import on_disk


def decode(segmentation: Any, size: tuple[int, int]) -> np.ndarray:
    """Draws a mask with pycocotools, whose outlines are COCO's own.

    Args:
      segmentation: a list of polygons [x0, y0, x1, y1, ...], whose union is meant, or
        {"size": [H, W], "counts": ...} with run lengths down the columns, the first of zeros.
      size: (H, W) of the picture.

    Returns:
      (H, W) bool.

    Raises:
      ValueError: a mask of another size, without polygons, or that cannot be read.
    """
    try:
        if isinstance(segmentation, list):
            return _fill(segmentation, size)
        if tuple(segmentation["size"]) != tuple(size):
            raise ValueError(f"it is {segmentation['size']}, and the picture is {list(size)}")
        return _run(segmentation["counts"], size)
    except (ValueError, TypeError, KeyError, IndexError, AttributeError) as e:
        raise ValueError(f"mask cannot be used: {e}") from e


def _fill(polygons: list[Any], size: tuple[int, int]) -> np.ndarray:
    """The union of polygons, (H, W) bool."""
    if not polygons:
        raise ValueError("it has no polygons")
    for polygon in polygons:
        # pycocotools refuses or boxes four numbers, and walks along every pixel of an edge.
        if len(polygon) < 6 or len(polygon) % 2 or not (np.abs(polygon) <= 2 * max(size)).all():
            raise ValueError(
                f"{str(polygon)[:60]} is no polygon: it needs x and y of three points or more, "
                "none of them far outside of the picture"
            )
    mask = on_disk.library("pycocotools.mask")
    return mask.decode(mask.frPyObjects(polygons, *size)).any(-1)


def _run(counts: Any, size: tuple[int, int]) -> np.ndarray:
    """The mask of run lengths, (H, W) bool."""
    plain = isinstance(counts, list)
    runs = counts if plain else _unpack(counts)
    whole = all(isinstance(run, int) and run >= 0 for run in runs)
    if not whole or sum(runs) != size[0] * size[1]:
        raise ValueError(f"its run lengths do not add up to {size[0]} x {size[1]} pixels")
    mask = on_disk.library("pycocotools.mask")
    stored = {"size": list(size), "counts": counts}
    return mask.decode(mask.frPyObjects(stored, *size) if plain else stored).astype(bool)


def _unpack(packed: str | bytes) -> list[int]:
    """Run lengths from cocoapi's compressed ones (maskApi.c, rleFrString), to check their sum.

    A character less 48 holds five bits of a number, lowest first, a sixth that says whether more
    follow, and in the last character the sign. From the fourth number on it is the difference from
    the last but one. pycocotools fills what a truncated text lacks with whatever lies in memory.
    """
    runs: list[int] = []
    number = bits = 0
    for character in packed.encode("ascii") if isinstance(packed, str) else packed:
        code = character - 48
        if not 0 <= code < 64:
            raise ValueError(f"its run lengths hold the character {chr(character)!r}")
        number |= (code & 31) << bits
        bits += 5
        if not code & 32:
            number -= (code & 16) << (bits - 4)
            runs.append(number + (runs[-2] if len(runs) > 2 else 0))
            number = bits = 0
    if bits:
        raise ValueError("its run lengths break off")
    return runs


def encode(mask: np.ndarray) -> dict[str, Any]:
    """A mask (H, W) bool as compressed run lengths, {"size": [H, W], "counts": bytes}."""
    found = on_disk.library("pycocotools.mask").encode(np.asfortranarray(mask, np.uint8))
    return {"size": [int(n) for n in found["size"]], "counts": found["counts"]}


def number(masks: Sequence[np.ndarray] | np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Instance ids of masks that may overlap, small ones in front.

    Args:
      masks: (M, H, W) bool, or a list of such (H, W).
      size: (H, W).

    Returns:
      (H, W) int32: 1 for the largest mask, and so on; 0 is the background.
    """
    ids = np.zeros(size, np.int32)
    order = sorted(range(len(masks)), key=lambda i: -int(masks[i].sum()))
    for place, i in enumerate(order, 1):
        ids[masks[i]] = place
    return ids
