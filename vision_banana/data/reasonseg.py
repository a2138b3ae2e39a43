"""ReasonSeg: pictures with a question whose answer is a region.

Where to get it: the folder that the "Dataset" part of LISA's README links to
(https://github.com/dvlab-research/LISA). Licence: LISA's code is Apache-2.0; the data's terms are
not stated.

Expected tree:

    ROOT/val/NAME.jpg, NAME.json

The mask is LISA's (utils/data_processing.py): polygons labelled "flag" are skipped; each of the
others is filled and outlined by OpenCV on its points cut to whole numbers; they are painted from
the largest to the smallest, so that a small one overwrites a large one. Of a record's texts only
the first is asked. Regions labelled "ignore" are not valid; Seg-Zero's copies of ReasonSeg turn the
mask to bool, which makes them target: another benchmark, `ignored_as_target`.
"""

import functools
import json
import pathlib
from typing import Any

import numpy as np

from vision_banana.data import on_disk

TARGET, IGNORED = 1, 255


def reasonseg(root: str, split: str = "val", ignored_as_target: bool = False) -> on_disk.OnDisk:
    """Referring segmentation; a target may be empty.

    Args:
      root: the folder of the released tree.
      split: its sub-folder.
      ignored_as_target: whether regions labelled "ignore" belong to the target.
    """
    shown = on_disk.folder(root, split)
    names = {path.stem for end in ("jpg", "json") for path in shown.glob(f"*.{end}")}
    records = [
        on_disk.Record(
            name, shown / f"{name}.jpg", {"referring_segmentation": (shown / f"{name}.json",)}
        )
        for name in sorted(names)
    ]
    region = functools.partial(_region, ignored_as_target=ignored_as_target)
    return on_disk.OnDisk(f"reasonseg/{split}", records, {"referring_segmentation": region})


def _region(record: on_disk.Record, picture: np.ndarray, ignored_as_target: bool) -> on_disk.Answer:
    (path,) = record.truth["referring_segmentation"]
    annotation = _read(path)
    mask = paint(annotation["shapes"], picture.shape[:2])
    if ignored_as_target:
        mask = np.where(mask == IGNORED, TARGET, mask)
    text = annotation["text"][0]
    if not isinstance(text, str) or not text.strip():
        raise ValueError(f"{path} has the text {text!r}: it must be a question")
    words = {"expressions": (text,), "is_sentence": bool(annotation["is_sentence"])}
    return (mask == TARGET)[None], mask != IGNORED, words


def _read(path: pathlib.Path) -> dict[str, Any]:
    data = path.read_bytes()
    try:
        return json.loads(data.decode("utf-8"))
    except UnicodeDecodeError:
        return json.loads(data.decode("cp1252"))
    except ValueError as e:
        raise ValueError(f"{path} is no JSON, it may be half-downloaded: {e}") from e


def paint(shapes: list[dict[str, Any]], size: tuple[int, int]) -> np.ndarray:
    """Paints labelled polygons.

    Args:
      shapes: dicts with `label` and `points`, [[x, y], ...].
      size: (H, W).

    Returns:
      (H, W) uint8: 1 target, 255 ignored, 0 the rest.

    Raises:
      ValueError: points that are no (N, 2), no numbers, or far outside of the picture.
    """
    cv2 = on_disk.library("cv2")

    def draw(mask: np.ndarray, shape: dict[str, Any], value: int) -> np.ndarray:
        places = np.array([shape["points"]], np.float64)
        if places.ndim != 3 or not places.size or places.shape[2] != 2:
            raise ValueError(f"a polygon has points of shape {places.shape[1:]}: it must be (N, 2)")
        if not (np.abs(places) <= 2 * max(size)).all():  # NaN is not
            raise ValueError(
                f"a polygon has the points {str(shape['points'])[:60]}: none of them may lie far "
                f"outside of a picture of {size[0]} x {size[1]}, or nowhere"
            )
        points = places.astype(np.int32)
        cv2.polylines(mask, points, True, value, 1)
        return cv2.fillPoly(mask, points, value)

    kept = [shape for shape in shapes if shape["label"].lower() != "flag"]
    areas = [draw(np.zeros(size, np.uint8), shape, 1).sum() for shape in kept]
    mask = np.zeros(size, np.uint8)
    for i in np.argsort(areas, kind="stable")[::-1]:
        draw(mask, kept[i], IGNORED if "ignore" in kept[i]["label"].lower() else TARGET)
    return mask
