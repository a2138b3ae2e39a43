"""A source of which every tenth record is damaged, in one of ten ways in turn."""

import io

import numpy as np
from PIL import Image

from vision_banana.data import pictures, source
from vision_banana.tasks.task import Example

SIDE = 8
TASKS = (
    "depth",
    "surface_normals",
    "semantic_segmentation",
    "instance_segmentation",
    "referring_segmentation",
    "image_generation",
)
# How a damaged record is refused, in the order of the ways in which records are damaged.
REASONS = (
    "unreadable picture",  # truncated in the middle
    "unreadable picture",  # empty
    "label of another size",
    "depth is not a number",
    "negative depth",
    "normals without unit length",
    "unknown class",
    "negative instance id",
    "masks without expressions",
    "no caption",
)
# The task that each way of damage is seen in; the first two are seen in all.
SEEN_IN = (None, None, "depth", "depth", "depth", *TASKS[1:])


def way(index):
    """Which of the ten ways record `index` is damaged in, None for a good one."""
    return (index // 10) % 10 if index % 10 == 0 else None


class Damaged:
    """Files in memory: a PNG of one colour and labels that fit it, or do not."""

    name = "damaged"

    def __init__(self, tasks=TASKS, count=1000):
        self.tasks, self._count = tuple(tasks), count

    def __len__(self):
        return self._count

    def example(self, index, task):
        how, key = way(index), f"damaged/{index}"
        file = io.BytesIO()
        Image.new("RGB", (SIDE, SIDE), (index % 256, 7, 9)).save(file, "PNG")
        data = file.getvalue()
        if how == 0:
            data = data[: len(data) // 2]
        if how == 1:
            data = b""
        try:
            picture = pictures.read(data)
        except ValueError as e:
            raise source.BadRecord(key, f"unreadable picture: {e}") from e
        label, words = _label(task, picture, how if SEEN_IN[how or 0] == task else None)
        references = () if task == "image_generation" else (picture,)
        return Example(task, key, references, label, np.ones((SIDE, SIDE), bool), words)


def _label(task, picture, how):
    shape = (SIDE, SIDE)
    if task == "depth":
        depth = np.full((SIDE - 1, SIDE) if how == 2 else shape, 2, np.float32)
        depth[3, 5] = {3: np.nan, 4: -1.0}.get(how, 3.0)
        return depth, {}
    if task == "surface_normals":
        normals = np.zeros((*shape, 3), np.float32)
        normals[..., 2] = 1
        normals[2, 2, 2] = 0.5 if how == 5 else 1
        return normals, {}
    if task == "semantic_segmentation":
        labels = np.zeros(shape, np.int32)
        labels[0, 0] = 7 if how == 6 else 1
        return labels, {"classes": ("cat", "dog"), "class_ids": (0, 1), "num_classes": 2}
    if task == "instance_segmentation":
        ids = np.zeros(shape, np.int32)
        ids[1, 1] = -1 if how == 7 else 1
        return ids, {"phrase": "cat"}
    if task == "referring_segmentation":
        masks = np.zeros((2 if how == 8 else 1, *shape), bool)
        masks[:, 4] = True
        return masks, {"expressions": ("the cat",)}
    caption = "  " if how == 9 else "a picture of one colour"
    return picture, {"caption": caption, "objects": (), "relations": ()}
