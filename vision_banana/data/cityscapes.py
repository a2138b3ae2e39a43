"""Cityscapes val: 500 street pictures with 19 classes.

Where to get it: https://www.cityscapes-dataset.com after registration, the archives
`leftImg8bit_trainvaltest.zip` and `gtFine_trainvaltest.zip`. Licence: Cityscapes' own terms.

Expected tree:

    ROOT/leftImg8bit/val/CITY/CITY_SEQ_FRAME_leftImg8bit.png       1024 x 2048
    ROOT/gtFine/val/CITY/CITY_SEQ_FRAME_gtFine_labelIds.png        8-bit, original ids

The 19 evaluated ids are those with a train id in cityscapesScripts' helpers/labels.py; the others
are ignored in the truth, and ids that its table does not have make a bad record.
"""

import numpy as np

from vision_banana.data import on_disk, pictures

# Original id -> class, in the order of train ids.
CLASSES = {
    7: "road", 8: "sidewalk", 11: "building", 12: "wall", 13: "fence", 17: "pole",
    19: "traffic light", 20: "traffic sign", 21: "vegetation", 22: "terrain", 23: "sky",
    24: "person", 25: "rider", 26: "car", 27: "truck", 28: "bus", 31: "train", 32: "motorcycle",
    33: "bicycle",
}  # fmt: skip
LAST_ID = 33
IGNORED = 255


def cityscapes(root: str, split: str = "val") -> on_disk.OnDisk:
    """Semantic segmentation; labels are train ids 0 .. 18, 255 (not valid) where ignored."""
    shown = on_disk.folder(root, "leftImg8bit", split)
    truth = on_disk.folder(root, "gtFine", split)
    ends = {shown: "_leftImg8bit.png", truth: "_gtFine_labelIds.png"}
    names = {
        str(path.relative_to(part)).removesuffix(end)
        for part, end in ends.items()
        for path in part.glob(f"*/*{end}")
    }
    records = [
        on_disk.Record(
            name,
            shown / f"{name}{ends[shown]}",
            {"semantic_segmentation": (truth / f"{name}{ends[truth]}",)},
        )
        for name in sorted(names)
    ]
    return on_disk.OnDisk(f"cityscapes/{split}", records, {"semantic_segmentation": _labels})


def _labels(record: on_disk.Record, picture: np.ndarray) -> on_disk.Answer:
    (path,) = record.truth["semantic_segmentation"]
    ids = pictures.read_labels(path)
    unknown = np.argwhere(ids > LAST_ID)
    if len(unknown):
        row, column = unknown[0]
        raise ValueError(
            f"{path} has id {ids[row, column]} at row {row}, column {column}, which is not in "
            f"Cityscapes' table 0 .. {LAST_ID}: are these labelIds?"
        )
    train_ids = np.full(LAST_ID + 1, IGNORED, np.int32)
    train_ids[list(CLASSES)] = np.arange(len(CLASSES))
    label = train_ids[ids]
    words = {
        "classes": tuple(CLASSES.values()),
        "class_ids": tuple(range(1, len(CLASSES) + 1)),
        "num_classes": len(CLASSES) + 1,
    }
    return label, label != IGNORED, words
