"""RefCOCOg, UMD split: one record for each sentence about a region of a COCO picture.

Where to get it: the archived copy of `refcocog.zip` that LISA's README links to, and COCO's
`train2014.zip`. Licence: the refer API is Apache-2.0, pictures under COCO's terms.

Expected tree (LISA's `refer_seg`):

    ROOT/refcocog/refs(umd).p
    ROOT/refcocog/instances.json
    ROOT/images/mscoco/images/train2014/COCO_train2014_000000000001.jpg

As LISA asks it (utils/dataset.py): every sentence of every val reference, stripped and in lower
case. LISA's loader adds up a region's polygons, so that where two overlap the value 2 matches
nothing; here a region is their union.

`refs(umd).p` is a pickle, the only form in which it was released. It is read by an unpickler that
knows lists, dicts, text and numbers and refuses every name, so no code in it can run.
"""

import io
import pathlib
import pickle
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from vision_banana.data import coco_masks, on_disk


class _PlainUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        raise pickle.UnpicklingError(f"it asks for {module}.{name}, and plain data needs no name")


def read_refs(path: str) -> list[dict[str, Any]]:
    """Reads a list of plain values from a pickle; ValueError if anything else is in it."""
    with open(path, "rb") as file:
        data = file.read()
    try:
        return _PlainUnpickler(io.BytesIO(data), encoding="utf-8").load()
    except Exception as e:  # a broken pickle raises what its instructions happen to hit
        raise ValueError(f"{path} is damaged or no plain data: {e}") from e


def refcocog(root: str, split: str = "val") -> on_disk.OnDisk:
    """Referring segmentation with one expression a record, those about one picture in a row."""
    found = sentences(root, "refcocog", "refs(umd).p", split)
    records = sorted(found, key=lambda record: str(record.picture))
    return on_disk.OnDisk(f"refcocog/{split}", records, {"referring_segmentation": region})


def sentences(
    root: str,
    dataset: str,
    refs: str,
    split: str,
    drop: Callable[[Mapping[str, Any]], bool] = lambda image: False,
) -> list[on_disk.Record]:
    """A record for each sentence of a split, of any of the RefCOCO sets.

    Args:
      root: see above.
      dataset: the folder of its annotations.
      refs: the file of its references.
      split: of the references.
      drop: whether a row of the table of images is left out.
    """
    files = on_disk.file(root, dataset, refs), on_disk.file(root, dataset, "instances.json")
    rows, tables = read_refs(str(files[0])), on_disk.table(files[1])
    shown = on_disk.folder(root, "images", "mscoco", "images", "train2014")
    with on_disk.bad_index(files[1]):
        images = {image["id"]: image for image in tables["images"]}
        regions = {annotation["id"]: annotation for annotation in tables["annotations"]}
    with on_disk.bad_index(*files):
        return _sentences(rows, images, regions, split, drop, shown)


def _sentences(
    rows: list[dict[str, Any]],
    images: Mapping[int, Mapping[str, Any]],
    regions: Mapping[int, Mapping[str, Any]],
    split: str,
    drop: Callable[[Mapping[str, Any]], bool],
    shown: pathlib.Path,
) -> list[on_disk.Record]:
    records = []
    for ref in rows:
        if ref["split"] != split:
            continue
        image = images.get(ref["image_id"])
        outline = regions.get(ref["ann_id"])
        if image is None or outline is None:
            raise ValueError(
                f"reference {ref['ref_id']} names image {ref['image_id']} and region "
                f"{ref['ann_id']}, and instances.json lacks one: the two files do not belong "
                "together"
            )
        if drop(image):
            continue
        for sentence in ref["sentences"]:
            index = {
                "expression": sentence["sent"].strip().lower(),
                "segmentation": outline["segmentation"],
                "size": tuple(image[side] for side in ("height", "width") if side in image),
            }
            name = f"{ref['ref_id']}/{sentence['sent_id']}"
            path = on_disk.inside(shown, image["file_name"])
            records.append(on_disk.Record(name, path, {}, index))
    return records


def region(record: on_disk.Record, picture: np.ndarray) -> on_disk.Answer:
    """The answer of a record of `sentences`: the region, the union of its outlines."""
    size = picture.shape[:2]
    if record.entry["size"] not in ((), size):  # () where the row says none
        raise ValueError(f"the picture is {size} and instances.json says {record.entry['size']}")
    mask = coco_masks.decode(record.entry["segmentation"], size)
    if not mask.any():
        raise ValueError("the region is empty, and an expression that means nothing has no answer")
    if not record.entry["expression"]:
        raise ValueError("the expression is empty")
    return mask[None], np.ones(size, bool), {"expressions": (record.entry["expression"],)}
