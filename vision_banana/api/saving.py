"""What an answer is written as: arrays, pictures, COCO annotations, point clouds."""

import io
import json
import os
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
from etils import epath
from PIL import Image

from vision_banana.data import pictures
from vision_banana.training import folders

MILLIMETRES = 1000
LARGEST = 65535  # of a 16-bit PNG


def write(path: str | os.PathLike[str], formats: Mapping[str, Callable[[], bytes]]) -> epath.Path:
    """Writes a file, whole or not at all, in the format of its ending.

    Args:
      path: of the file, local or in a bucket.
      formats: ending -> what makes the file's content.

    Raises:
      ValueError: for another ending; lists those that there are.
    """
    file = epath.Path(path).expanduser()
    ending = file.suffix.lower()
    if ending not in formats:
        raise ValueError(f"{file} must end in one of {', '.join(formats)} for this kind of answer")
    return folders.write_whole(file, formats[ending]())


def write_png(path: epath.Path, levels: np.ndarray) -> None:
    """Writes a picture, see `png`, whole or not at all."""
    folders.write_whole(path, png(levels))


def png(levels: np.ndarray) -> bytes:
    """A PNG of (H, W, 3) uint8 colours or (H, W) uint16 numbers."""
    buffer = io.BytesIO()
    Image.fromarray(levels).save(buffer, "png")
    return buffer.getvalue()


def millimetres(depth_m: np.ndarray) -> np.ndarray:
    """Depth as 16-bit pictures hold it.

    Args:
      depth_m: (H, W) metres.

    Returns:
      (H, W) uint16 millimetres, 0 where the depth is unknown, infinite or too far for 16 bits
      (65.5 m and more).
    """
    scaled = np.rint(np.asarray(depth_m, np.float64) * MILLIMETRES)
    with np.errstate(invalid="ignore"):
        known = np.isfinite(scaled) & (scaled >= 0) & (scaled <= LARGEST)
    return np.where(known, scaled, 0).astype(np.uint16)


def coco(regions: Iterable[tuple[str, np.ndarray]], shape: tuple[int, ...]) -> bytes:
    """Regions of one picture as a COCO data set in JSON, masks as uncompressed run lengths.

    Args:
      regions: name of the category and mask, (H, W) bool, of each; empty masks are left out.
      shape: (H, W) of the picture.
    """
    numbers: dict[str, int] = {}
    annotations: list[dict[str, Any]] = []
    for name, mask in regions:
        category = numbers.setdefault(name, len(numbers) + 1)
        if not mask.any():
            continue
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        left, top = int(columns[0]), int(rows[0])
        annotations.append(
            {
                "id": len(annotations) + 1,
                "image_id": 1,
                "category_id": category,
                "segmentation": {"size": list(shape), "counts": run_lengths(mask)},
                "area": int(mask.sum()),
                "bbox": [left, top, int(columns[-1]) - left + 1, int(rows[-1]) - top + 1],
                "iscrowd": 0,
            }
        )
    data = {
        "images": [{"id": 1, "height": shape[0], "width": shape[1]}],
        "categories": [{"id": number, "name": name} for name, number in numbers.items()],
        "annotations": annotations,
    }
    return json.dumps(data).encode()


def run_lengths(mask: np.ndarray) -> list[int]:
    """COCO's run lengths of an (H, W) mask: down the columns, zeros first."""
    flat = np.concatenate([[False], np.asarray(mask, bool).ravel(order="F")])
    ends = np.flatnonzero(flat[1:] != flat[:-1])
    return np.diff([0, *ends, flat.size - 1]).tolist()


def glb(points: np.ndarray, rgb: np.ndarray) -> bytes:
    """A binary glTF file of coloured points; needs the `clouds` extra.

    Args:
      points: (N, 3) metres; rows of NaN are left out.
      rgb: (N, 3) colours in [0, 1].

    Raises:
      ValueError: where the extra is not installed.
    """
    try:
        import trimesh
    except ImportError as error:
        raise ValueError(
            ".glb needs trimesh: pip install 'vision-banana[clouds]', or save as .ply"
        ) from error
    known = np.isfinite(points).all(-1)
    shown = rgb[known]
    # glTF holds a point's colour as linear light, and trimesh writes what it is given.
    linear = np.where(shown <= 0.04045, shown / 12.92, ((shown + 0.055) / 1.055) ** 2.4)
    return trimesh.PointCloud(points[known], pictures.to_u8(linear)).export(file_type="glb")
