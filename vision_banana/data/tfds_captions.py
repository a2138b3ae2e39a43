"""Any TensorFlow Datasets set of pictures with captions, read from ArrayRecord.

The set must have been prepared with `file_format="array_record"`, which gives random access;
TensorFlow is not needed to read it. Sets made of COCO are refused: TFDS leaves out where a picture
came from on Flickr, by which those that ReasonSeg asks about are known.
"""

import functools
from typing import Any

import numpy as np

from vision_banana.data import captioned, on_disk, pictures
from vision_banana.tasks.task import Example

_PREPARE = (
    "tfds.builder(name, data_dir=data_dir, file_format='array_record').download_and_prepare()"
)


class TfdsCaptions:
    """One record for each picture and place of a caption, in the order of the set.

    Args:
      dataset: the set's name in TFDS, as "laion400m/images" or "laion400m/images:1.0.0".
      split: as "train" or "train[:1%]".
      image: the picture's feature; "/" steps into nested features.
      caption: the caption's feature, a text or a sequence of texts, as "captions/text".
      captions_per_picture: how many of a picture's captions become records; a picture with fewer
        repeats them.
      data_dir: where prepared sets lie; None means the usual place of TFDS.
      max_pixels: larger pictures are bad records.

    Raises:
      ValueError: no such feature, no set that is prepared as ArrayRecord, or one made of COCO.
      ImportError: tensorflow-datasets is not installed.
    """

    tasks = ("image_generation",)

    def __init__(
        self,
        dataset: str,
        split: str = "train",
        image: str = "image",
        caption: str = "caption",
        captions_per_picture: int = 1,
        data_dir: str | None = None,
        max_pixels: int = pictures.MAX_PIXELS,
    ):
        if "coco" in dataset.lower():
            raise ValueError(
                f"data set {dataset} holds pictures of COCO that are evaluated on, and does not "
                "say which: read COCO's own files with the source coco_captions, which takes the "
                "list 'evaluated' of what to drop"
            )
        try:
            import tensorflow_datasets as tfds
        except ImportError as e:
            raise ImportError("the source tfds_captions needs `pip install .[tfds]`") from e

        try:
            builder = tfds.builder(dataset, data_dir=data_dir)
        except (ImportError, tfds.core.DatasetNotFoundError) as e:
            # A set that lies there is read without its own code, which is what needs TensorFlow.
            raise ValueError(
                f"there is no prepared ArrayRecord set {dataset} in data_dir={data_dir}; prepare "
                f"it where TensorFlow is installed, with {_PREPARE}"
            ) from e
        for feature in (image, caption):
            try:
                _get(builder.info.features, feature)
            except ValueError as e:
                raise ValueError(f"data set {dataset} has {e}") from e
        self.name = f"tfds/{dataset}/{split}"
        self._image, self._caption = image, caption
        self._per_picture = captions_per_picture
        self._max_pixels = max_pixels
        # The encoded bytes, so that this project's own checks decide what a readable picture is.
        decoders: Any = tfds.decode.SkipDecoding()
        for part in reversed(image.split("/")):
            decoders = {part: decoders}
        try:
            self._records = builder.as_data_source(split=split, decoders=decoders)
        except (NotImplementedError, AssertionError) as e:
            raise ValueError(
                f"data set {dataset} cannot be read at random: {e}; prepare it with {_PREPARE}"
            ) from e
        self._read = functools.lru_cache(maxsize=8)(self._decode)

    def __len__(self) -> int:
        return len(self._records) * self._per_picture

    def example(self, index: int, task: str) -> Example:
        """The picture to generate, with its caption.

        Raises:
          BadRecord: no caption, or a record, picture or caption that cannot be read.
          ValueError: another task than generation.
        """
        if task not in self.tasks:
            raise ValueError(f"{self.name} cannot answer {task!r}: it has {self.tasks}")
        record, place = divmod(index, self._per_picture)
        key = f"{self.name}/{record}"
        with on_disk.bad_record(key):
            picture, captions = self._read(record)
            if not captions:
                raise ValueError("no caption")
            return captioned.example(key, picture, captions[place % len(captions)])

    def _decode(self, record: int) -> tuple[np.ndarray, list[str]]:
        try:
            fields = self._records[record]
        except OSError:
            raise  # `bad_record` knows which of them are damage
        except Exception as e:  # ArrayRecord, Protocol Buffers and TFDS have errors of their own
            raise ValueError(f"damaged record: {type(e).__name__}: {e}") from e
        image, caption = _get(fields, self._image), _get(fields, self._caption)
        found = np.atleast_1d(np.asarray(caption, dtype=object))
        captions = [captioned.text(c) if isinstance(c, bytes) else str(c) for c in found]
        return captioned.picture(image, self._max_pixels), [c for c in captions if c.strip()]


def _get(tree: Any, path: str) -> Any:
    for part in path.split("/"):
        try:
            tree = tree[part]
        except (KeyError, TypeError) as e:
            raise ValueError(f"no feature {path}: it has {list(tree)}") from e
    return tree
