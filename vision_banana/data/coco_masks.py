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
    mask = on_disk.library("pycocotools.mask")
    try:
        if isinstance(segmentation, list):
            if not segmentation:
                raise ValueError("it has no polygons")
            return mask.decode(mask.frPyObjects(segmentation, *size)).any(-1)
        if tuple(segmentation["size"]) != tuple(size):
            raise ValueError(f"it is {segmentation['size']}, and the picture is {list(size)}")
        if isinstance(segmentation["counts"], list):
            if sum(segmentation["counts"]) != size[0] * size[1]:
                raise ValueError(f"its run lengths do not add up to {size[0]} x {size[1]} pixels")
            segmentation = mask.frPyObjects(segmentation, *size)
        return mask.decode(segmentation).astype(bool)
    except (ValueError, TypeError, KeyError, IndexError) as e:
        raise ValueError(f"mask cannot be used: {e}") from e


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
