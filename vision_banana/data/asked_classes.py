"""Which of a picture's many classes a question names.

A prompt has room for a few classes, and sets like COCO's or ADE20K's have a hundred or more: a
question names some of those that are in the picture, and whatever else is in it is the background.
Now and then it names one that is not there, of which the right answer shows no pixel.
"""

import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from vision_banana.tasks.semantic_segmentation import NONE

MOST = 6  # classes that a prompt of 64 tokens has room for
ABSENT = 0.1  # share of the places that go to what is not in the picture, as for the scenes


def choose(
    ids: np.ndarray,
    names: Mapping[int, str],
    valid: np.ndarray,
    key: str,
    most: int = MOST,
    absent: float = ABSENT,
) -> tuple[np.ndarray, dict[str, Any]]:
    """Chooses classes; the same record always gets the same ones.

    Args:
      ids: (H, W) int, the set's own class ids.
      names: id -> name; two ids of one name are one class.
      valid: (H, W) bool, where the class is known.
      key: of the record, which decides.
      most: how many classes are named at most.
      absent: the chance that a place goes to a class that is nowhere in the picture, not even where
        `valid` is False; such places are added while there is room, and classes that are there make
        way, but for one. 0 for a set that is evaluated.

    Returns:
      Labels (H, W) int32, the place of the class among those named, or 255 for another class or an
      unknown one; and the words of a semantic segmentation. Its `class_ids` are the set's own, plus
      1 where the set numbers a class 0, since 0 is "none of these" in scores and blind answers.

    Raises:
      ValueError: an id without a name, or no pixel whose class is known.
    """
    present = [int(i) for i in np.unique(ids[valid])]
    unknown = [i for i in present if i not in names]
    if unknown:
        raise ValueError(f"class id {unknown[0]} has no name; the ids are {_span(names)}")
    if not present:
        raise ValueError("nothing is labelled")
    shown = sorted({names[i] for i in present})
    rng = np.random.default_rng(zlib.crc32(key.encode()))
    asked = [shown[i] for i in rng.permutation(len(shown))[:most]]
    elsewhere = sorted(set(names.values()) - {names.get(int(i)) for i in np.unique(ids)})
    others = min(rng.binomial(len(asked), absent), len(elsewhere), most - 1)
    lacking = [elsewhere[i] for i in rng.permutation(len(elsewhere))[:others]]
    classes = tuple(sorted([*asked[: most - others], *lacking]))
    label = np.full(ids.shape, NONE, np.int32)
    for i in present:
        if names[i] in classes:
            label[valid & (ids == i)] = classes.index(names[i])
    of = {name: i for i, name in reversed(sorted(names.items()))}
    shift = int(0 in names)
    words = {
        "classes": classes,
        "class_ids": tuple(of[name] + shift for name in classes),
        "num_classes": max(names) + 1 + shift,
    }
    return label, words


def _span(names: Mapping[int, str]) -> str:
    return f"{min(names)} .. {max(names)}" if names else "none"
