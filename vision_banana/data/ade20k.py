"""ADE20K for scene parsing: 20,210 training pictures with 150 classes.

Where to get it: `ADEChallengeData2016.zip` of https://github.com/CSAILVision/sceneparsing. Licence:
pictures for non-commercial research, annotations BSD-3 by the data's page (unverified here).

Expected tree:

    ROOT/images/training/ADE_train_00000001.jpg
    ROOT/annotations/training/ADE_train_00000001.png     8-bit: 1 .. 150, 0 is none of them
    ROOT/objectInfo150.txt                               tab-separated, with columns Idx and Name

0 is not scored by the set's own evaluation and unknown here. A class is called by the first of its
names. A question names some of the classes that are in a picture (`asked_classes`).
"""

import csv

import numpy as np

from vision_banana.data import asked_classes, on_disk, pictures


def ade20k(
    root: str,
    split: str = "training",
    max_classes: int = asked_classes.MOST,
    absent: float = asked_classes.ABSENT,
) -> on_disk.OnDisk:
    """Semantic segmentation, `max_classes` at a time, a share `absent` of which is not there."""
    shown = on_disk.folder(root, "images", split)
    truth = on_disk.folder(root, "annotations", split)
    index = on_disk.file(root, "objectInfo150.txt")
    with on_disk.bad_index(index), index.open(newline="", encoding="utf-8") as file:
        rows = csv.DictReader(file, delimiter="\t")
        classes = {int(row["Idx"]): row["Name"].split(",")[0].strip() for row in rows}
    files = [*shown.glob("*.jpg"), *truth.glob("*.png")]
    records = [
        on_disk.Record(
            name, shown / f"{name}.jpg", {"semantic_segmentation": (truth / f"{name}.png",)}
        )
        for name in sorted({file.stem for file in files})
    ]

    def answer(record: on_disk.Record, picture: np.ndarray) -> on_disk.Answer:
        ids = pictures.read_labels(record.truth["semantic_segmentation"][0])
        valid = ids > 0
        label, words = asked_classes.choose(ids, classes, valid, record.name, max_classes, absent)
        return label, valid, words

    return on_disk.OnDisk(f"ade20k/{split}", records, {"semantic_segmentation": answer})
