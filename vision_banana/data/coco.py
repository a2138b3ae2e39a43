"""COCO 2017: pictures with every pixel's class (panoptic), and with captions.

Where to get it: https://cocodataset.org, `train2017.zip`, `annotations_trainval2017.zip` and
`panoptic_annotations_trainval2017.zip` with the archive inside it. Licence: annotations CC BY 4.0;
each picture has the licence that its Flickr page had.

Expected tree:

    ROOT/train2017/000000000009.jpg
    ROOT/annotations/captions_train2017.json
    ROOT/annotations/panoptic_train2017.json
    ROOT/annotations/panoptic_train2017/000000000009.png     segment id = R + 256 G + 65536 B

Pictures that are evaluated on are dropped by the list of `evaluated_coco`, which has no default.
Segment id 0 is unlabelled. A crowd, whose members nobody told apart, is of its class but unknown to
a question about instances. "tree-merged" is called "tree", "wall-brick" "brick wall".
"""

import zlib
from collections.abc import Callable
from typing import Any

import numpy as np

from vision_banana.data import asked_classes, evaluated_coco, on_disk, pictures

_VAGUE = {"merged", "other", "stuff"}  # in names of panoptic classes
_OF = {"wall", "floor"}  # "wall-brick" is a wall of brick


def coco_panoptic(
    root: str,
    evaluated: str,
    split: str = "train2017",
    max_classes: int = asked_classes.MOST,
    absent: float = asked_classes.ABSENT,
) -> on_disk.OnDisk:
    """Semantic segmentation, `max_classes` at a time, and instances of one class of things.

    Pictures without things are left out: they have no instances to ask for. `absent` is the share
    of classes named, and of pictures asked for instances, that go to a class which is not there.
    """
    listed = evaluated_coco.load(evaluated)
    index = on_disk.file(root, "annotations", f"panoptic_{split}.json")
    table = on_disk.table(index)
    shown = on_disk.folder(root, split)
    truth = on_disk.folder(root, "annotations", f"panoptic_{split}")
    records = []
    with on_disk.bad_index(index):
        images = {image["id"]: image for image in table["images"]}
        names = {c["id"]: _plain(c["name"]) for c in table["categories"]}
        things = {c["id"] for c in table["categories"] if c["isthing"]}
        for annotation in table["annotations"]:
            image = images[annotation["image_id"]]
            segments = annotation["segments_info"]
            countable = {s["category_id"] for s in segments if not s["iscrowd"]} & things
            if listed.has(image) or not countable:
                continue
            mask = (on_disk.inside(truth, annotation["file_name"]),)
            tasks = dict.fromkeys(("semantic_segmentation", "instance_segmentation"), mask)
            there = {s["category_id"] for s in segments}
            entry = {
                "segments": segments,
                "countable": sorted(countable),
                "lacking": sorted(things - there),
                "names": names,
            }
            path = on_disk.inside(shown, image["file_name"])
            records.append(on_disk.Record(str(image["id"]), path, tasks, entry))

    def semantic(record: on_disk.Record, picture: np.ndarray) -> on_disk.Answer:
        ids = _segments(record, "semantic_segmentation")
        classes = np.zeros(ids.shape, np.int32)  # no class has id 0
        for segment in record.entry["segments"]:
            classes[ids == segment["id"]] = segment["category_id"]
        valid = classes > 0
        label, words = asked_classes.choose(classes, names, valid, record.name, max_classes, absent)
        return label, valid, words

    answers: dict[str, Callable[[on_disk.Record, np.ndarray], on_disk.Answer]] = {
        "semantic_segmentation": semantic,
        "instance_segmentation": lambda record, _: _instances(record, absent),
    }
    return on_disk.OnDisk(f"coco_panoptic/{split}", records, answers)


def _instances(record: on_disk.Record, absent: float) -> on_disk.Answer:
    """The instances of one class, which the record's name decides, or none of one not there."""
    countable, lacking = record.entry["countable"], record.entry["lacking"]
    code = zlib.crc32(record.name.encode())
    if lacking and np.random.default_rng(code).random() < absent:
        countable = lacking
    category = countable[code % len(countable)]
    segments = _segments(record, "instance_segmentation")
    ids = np.zeros(segments.shape, np.int32)
    valid = segments > 0
    for segment in record.entry["segments"]:
        if segment["category_id"] == category:
            if segment["iscrowd"]:
                valid &= segments != segment["id"]
            else:
                ids[segments == segment["id"]] = ids.max() + 1
    return ids, valid, {"phrase": record.entry["names"][category]}


def _segments(record: on_disk.Record, task: str) -> np.ndarray:
    """Segment ids (H, W) int32; ValueError for one that the annotation does not have."""
    (path,) = record.truth[task]
    code = np.rint(pictures.read(path, profile=False) * 255).astype(np.int32)
    ids = code @ np.array([1, 256, 65536], np.int32)
    unknown = set(np.unique(ids).tolist()) - {0} - {s["id"] for s in record.entry["segments"]}
    if unknown:
        raise ValueError(f"{path} has segment {min(unknown)}, which its annotation does not list")
    return ids


def _plain(name: str) -> str:
    parts = [part for part in name.split("-") if part not in _VAGUE]
    return " ".join(reversed(parts) if parts[0] in _OF else parts)


def coco_captions(root: str, evaluated: str, split: str = "train2017") -> on_disk.OnDisk:
    """Image generation: one record for each caption, of which a picture has about five."""
    listed = evaluated_coco.load(evaluated)
    index = on_disk.file(root, "annotations", f"captions_{split}.json")
    table = on_disk.table(index)
    shown = on_disk.folder(root, split)
    with on_disk.bad_index(index):
        images = {image["id"]: image for image in table["images"]}
        dropped = {number for number, image in images.items() if listed.has(image)}
        records = [
            on_disk.Record(
                f"{row['image_id']}/{row['id']}",
                on_disk.inside(shown, images[row["image_id"]]["file_name"]),
                {},
                {"caption": row["caption"].strip()},
            )
            for row in table["annotations"]
            if row["image_id"] not in dropped
        ]
    return on_disk.OnDisk(f"coco_captions/{split}", records, {"image_generation": _drawing})


def _drawing(record: on_disk.Record, picture: np.ndarray) -> on_disk.Answer:
    words: dict[str, Any] = {**record.entry, "objects": (), "relations": ()}
    return picture, np.ones(picture.shape[:2], bool), words
