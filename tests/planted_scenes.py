"""The procedural scenes, with damage in records of given numbers."""

import dataclasses

import numpy as np

from vision_banana.data import source
from vision_banana.data.scenes import Scenes


class PlantedScenes(Scenes):
    """Some records cannot be used; the pictures to draw of some others hold a NaN."""

    def __init__(self, bad=(), nan=(), **options):
        super().__init__(**options)
        self._bad, self._nan = frozenset(bad), frozenset(nan)

    def example(self, index, task, references=None):
        example = super().example(index, task, references)
        if index in self._bad:
            raise source.BadRecord(example.key, "planted: no use")
        if index in self._nan and task == "image_generation":
            label = np.array(example.label)
            label[3, 2, 1] = np.nan
            return dataclasses.replace(example, label=label)
        return example
