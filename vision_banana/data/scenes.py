"""The embedded data set: procedural scenes that answer every task and need no download.

Scene `index` is drawn from the seed sequence (version, purpose, split, index), so that any scene
can be asked for at once, at any size, and no held-out scene is ever a training scene.
"""

import functools
from typing import Any

import numpy as np

from vision_banana.data import scene_edits, scene_language, scene_layout, scene_render, source
from vision_banana.data.scene_render import CLASSES, Scene
from vision_banana.tasks.task import Example

# Raised with every change that alters a label of a held-out scene; scores are comparable within
# one version only.
SCENES_VERSION = 2

SPLITS = {"train": 0, "heldout": 1}
LENGTHS = {"train": 2**40, "heldout": 4096}

TASKS = (
    "depth",
    "surface_normals",
    "semantic_segmentation",
    "instance_segmentation",
    "referring_segmentation",
    "image_generation",
    "image_editing",
)


def seed(split: str, index: int, purpose: int = 0) -> tuple[int, int, int, int]:
    """Entropy of a scene (`purpose` 0) or of the words about it (1 + the task's number)."""
    return (SCENES_VERSION, purpose, SPLITS[split], index)


@functools.lru_cache(maxsize=16)
def scene(split: str, index: int, size: tuple[int, int]) -> Scene:
    """Renders scene `index` of a split at (H, W). The last few are kept; arrays are read-only."""
    layout = scene_layout.draw(np.random.default_rng(seed(split, index)))
    return scene_render.render(layout, size)


class Scenes:
    """Procedural scenes with exact labels. Implements `source.Source`.

    Args:
      split: "train" or "heldout".
      size: of the pictures in pixels, one side of a square or (H, W). The scene stays the same;
        what is placed lies in the picture's central square.
      references: reference pictures of an editing example, 1 or 2. With 2, editing is the only
        task, as other tasks have one picture.
      absent: share of instance and referring questions that name something that is not in the
        picture; their answer is all background.
      named: share of referring questions that ask by names alone ("the red cube"), from which a
        model learns what words mean sooner than from places and relations.
      regions: how many regions a referring prompt names at most. Each prompt about a scene then
        draws its own out of all that can be referred to; with 0 all prompts ask for the same 1 to
        3, as evaluation must.

    Raises:
      ValueError: an unknown split, a size below 8 pixels, another number of references, a share
        outside [0, 1], fewer than 0 regions.
    """

    def __init__(
        self,
        split: str = "train",
        size: int | tuple[int, int] = 64,
        references: int = 1,
        absent: float = 0.0,
        named: float = 0.0,
        regions: int = 0,
    ) -> None:
        if split not in SPLITS:
            raise ValueError(f"split is {split!r}: it must be one of {sorted(SPLITS)}")
        self.size = (size, size) if isinstance(size, int) else (int(size[0]), int(size[1]))
        if min(self.size) < 8:
            raise ValueError(f"size is {size}: both sides must be at least 8 pixels")
        if references not in (1, 2):
            raise ValueError(f"references is {references}: it must be 1 or 2")
        for name, share in (("absent", absent), ("named", named)):
            if not 0 <= share <= 1:
                raise ValueError(f"{name} is {share}: it is a share, from 0 to 1")
        if regions < 0:
            raise ValueError(f"regions is {regions}: it must be 0 or more")
        self.split = split
        self._absent, self._named, self._regions = absent, named, regions
        self.references = references
        self.name = f"scenes/{split}"
        self.tasks = TASKS if references == 1 else ("image_editing",)

    def __len__(self) -> int:
        return LENGTHS[self.split]

    def scene(self, index: int) -> Scene:
        """Scene `index`, all of its labels at once; its arrays are read-only.

        Raises:
          IndexError: `index` is outside 0 .. len - 1.
        """
        if not 0 <= index < len(self):
            raise IndexError(f"index {index} is outside 0 .. {len(self) - 1} of {self.name}")
        return scene(self.split, int(index), self.size)

    def example(self, index: int, task: str, references: int | None = None) -> Example:
        """Scene `index` as an example of `task`.

        Args:
          index: 0 .. len - 1.
          task: a name of `TASKS`.
          references: for image_editing, 1 or 2 reference pictures; None means the source's own.

        Raises:
          IndexError: `index` is out of range.
          ValueError: an unknown task.
          BadRecord: no solid in the scene is visible, or none can be referred to without doubt
            (not once in 1,500 scenes).
        """
        if task not in TASKS:
            raise ValueError(f"task is {task!r}: {self.name} has {TASKS}")
        shown = self.scene(index)
        rng = np.random.default_rng(seed(self.split, int(index), 1 + TASKS.index(task)))
        valid = np.ones(self.size, bool)
        pictures: tuple[np.ndarray, ...] = (shown.rgb,)
        words: dict[str, Any] = {}
        label: np.ndarray
        # A stream of its own: the share changes no other example.
        chance = np.random.default_rng((*seed(self.split, int(index), 1 + TASKS.index(task)), 1))
        absent = chance.random() < self._absent
        if task == "depth":
            label = shown.depth_m
        elif task == "surface_normals":
            label = shown.normals
        elif task == "semantic_segmentation":
            label, words = _semantic(shown, rng, everything=self.split == "heldout")
        elif task == "instance_segmentation":
            named = scene_language.absent_phrase(shown, chance) if absent else None
            label, valid, words = _instances(shown, named or scene_language.phrase(shown, rng))
        elif task == "referring_segmentation" and absent:
            label = np.zeros((1, *self.size), bool)
            words = {"expressions": (scene_language.absent_expression(shown, chance),)}
        elif task == "referring_segmentation":
            by_name = chance.random() < self._named
            label, words = self._referring(shown, rng, f"{self.name}/{index}", by_name)
        elif task == "image_generation":
            if not scene_language.visible(shown):
                raise source.BadRecord(f"{self.name}/{index}", "no solid is visible")
            caption, objects, relations = scene_language.caption(shown, rng)
            label, pictures = shown.rgb, ()
            words = {"caption": caption, "objects": objects, "relations": relations}
        else:
            label, pictures, words = self._editing(index, shown, rng, references)
        return Example(task, f"{self.name}/{index}", pictures, label, valid, words)

    def _referring(
        self, shown: Scene, rng: np.random.Generator, key: str, named: bool
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Masks (K, H, W) of as many expressions."""
        ids, expressions = scene_language.refer(shown, rng, named, everything=self._regions > 0)
        if not ids:
            raise source.BadRecord(key, "nothing in it can be referred to without doubt")
        words: dict[str, Any] = {"expressions": tuple(expressions)}
        if self._regions:
            words["asked_at_most"] = self._regions
        return np.stack([shown.ids == i for i in ids]), words

    def _editing(
        self, index: int, shown: Scene, rng: np.random.Generator, references: int | None
    ) -> tuple[np.ndarray, tuple[np.ndarray, ...], dict[str, Any]]:
        """Target, reference pictures and instruction of scene `index`'s edit."""
        if (references or self.references) == 1:
            instruction, target = scene_edits.edit(shown, rng)
            pictures: tuple[np.ndarray, ...] = (shown.rgb,)
        else:
            # The second picture comes from the same split, so held-out scenes stay unseen.
            other = self.scene(int(rng.random() * len(self)))
            instruction, second, target = scene_edits.edit_with_second(shown, other, rng)
            pictures = (
                shown.rgb,
                other.rgb if second is other.layout else scene_edits.render(second, shown),
            )
        return scene_edits.render(target, shown), pictures, {"instruction": instruction}


def _semantic(
    shown: Scene, rng: np.random.Generator, everything: bool
) -> tuple[np.ndarray, dict[str, Any]]:
    """Indices into a drawn list of classes, 255 elsewhere."""
    classes, class_ids = scene_language.class_list(shown, rng, everything)
    table = np.full(len(CLASSES), 255, np.int32)
    table[list(class_ids)] = np.arange(len(class_ids))
    words = {"classes": classes, "class_ids": class_ids, "num_classes": len(CLASSES)}
    return table[shown.classes], words


def _instances(shown: Scene, phrase: str) -> tuple[np.ndarray, np.ndarray, dict[str, Any]]:
    """Ids 1, 2, ... of the counted instances of a phrase; tiny ones are not valid."""
    table = np.zeros(len(shown.solids) + 1, np.int32)
    known = np.ones(len(shown.solids) + 1, bool)
    number = 0
    for solid in shown.solids:
        if phrase in ("object", solid.kind):
            counts = solid.area >= shown.min_area
            number += counts
            table[solid.id], known[solid.id] = (number if counts else 0), counts
    return table[shown.ids], known[shown.ids], {"phrase": phrase}
