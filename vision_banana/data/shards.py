"""ArrayRecord shards of pictures with captions and outlined phrases, as a source.

`python -m vision_banana.data.prepare` makes them of captioned pictures, `data.annotate` adds the
phrases; `shard_format` says how they are laid out.
"""

import functools
import pathlib
from collections.abc import Callable

import numpy as np

from vision_banana.data import captioned, coco_masks, on_disk, pictures, shard_format
from vision_banana.tasks.task import Example


class Shards:
    """One record for each picture and place of a caption or phrase, in the order of the shards.

    Args:
      path: a folder that `prepare` or `annotate` has finished, or one that holds several, local or
        in a bucket (gs://...).
      texts_per_picture: how many of a picture's captions, or of its phrases, become records; a
        picture with fewer repeats them.
      max_pixels: larger pictures are bad records.

    Raises:
      ValueError: no finished shards, damaged ones, or none with a caption or phrase.
    """

    def __init__(
        self, path: str, texts_per_picture: int = 1, max_pixels: int = pictures.MAX_PIXELS
    ):
        found = [shard_format.summary(folder) for folder in shard_format.folders(path)]
        answers: dict[str, Callable[[str, shard_format.Record, int], Example]] = {}
        if any(summary.captioned for summary in found):
            answers["image_generation"] = self._generation
        if any(summary.outlined for summary in found):
            answers["instance_segmentation"] = self._instances
            answers["referring_segmentation"] = self._region
        if not answers:
            raise ValueError(
                f"the shards in {path} hold no caption and no phrase: annotate them, or prepare "
                "them from captioned pictures"
            )
        self.name = f"shards/{pathlib.Path(path).name}"
        self.tasks = tuple(answers)
        self._answers = answers
        self._per_picture = texts_per_picture
        self._max_pixels = max_pixels
        self._data = shard_format.open_records(path)
        self._read = functools.lru_cache(maxsize=8)(self._unpack)
        self._picture = functools.lru_cache(maxsize=8)(self._decode)

    def __len__(self) -> int:
        return len(self._data) * self._per_picture

    def example(self, index: int, task: str) -> Example:
        """The picture to draw from its caption, or its instances or region of a phrase.

        Raises:
          IndexError: `index` is outside 0 .. len - 1.
          ValueError: the shards do not have the task.
          BadRecord: no caption or phrase, or a picture or mask that cannot be read.
        """
        if not 0 <= index < len(self):
            raise IndexError(f"index {index} is outside 0 .. {len(self) - 1} of {self.name}")
        if task not in self.tasks:
            raise ValueError(f"{self.name} cannot answer {task!r}: it has {self.tasks}")
        number, place = divmod(index, self._per_picture)
        with on_disk.bad_record(f"{self.name}/record {number}"):
            record = self._read(number)
        key = f"{self.name}/{record.key}"
        with on_disk.bad_record(key):
            return self._answers[task](key, record, place)

    def _unpack(self, number: int) -> shard_format.Record:
        return shard_format.unpack(self._data[number])

    def _decode(self, image: bytes) -> np.ndarray:
        return captioned.picture(image, self._max_pixels)

    def _generation(self, key: str, record: shard_format.Record, place: int) -> Example:
        if not record.captions:
            raise ValueError("no caption")
        caption = record.captions[place % len(record.captions)]
        return captioned.example(key, self._picture(record.image), caption)

    def _outlined(
        self, record: shard_format.Record, place: int
    ) -> tuple[np.ndarray, str, np.ndarray]:
        """The picture, a phrase, and the ids of its instances, (H, W) int32."""
        if not record.regions:
            raise ValueError("no phrase")
        region = record.regions[place % len(record.regions)]
        picture = self._picture(record.image)
        size = picture.shape[:2]
        masks = [coco_masks.decode(mask, size) for mask in region.masks]
        return picture, region.phrase, coco_masks.number(masks, size)

    def _instances(self, key: str, record: shard_format.Record, place: int) -> Example:
        picture, phrase, ids = self._outlined(record, place)
        valid = np.ones(ids.shape, bool)
        words = {"phrase": phrase}
        return Example("instance_segmentation", key, (picture,), ids, valid, words)

    def _region(self, key: str, record: shard_format.Record, place: int) -> Example:
        picture, phrase, ids = self._outlined(record, place)
        valid = np.ones(ids.shape, bool)
        words = {"expressions": (phrase,)}
        return Example("referring_segmentation", key, (picture,), ids[None] > 0, valid, words)
