"""The sources a mixture can name, by the names it gives them."""

import importlib
from collections.abc import Mapping
from typing import Any

from vision_banana.data import source
from vision_banana.tasks.task import Example

# Module, and what in it opens the source; imported when asked for, since some need libraries of
# their own.
SOURCES = {
    "scenes": ("vision_banana.data.scenes", "Scenes"),
    "image_folder": ("vision_banana.data.image_folder", "ImageFolder"),
    "labelled_folder": ("vision_banana.data.labelled_folder", "labelled_folder"),
    "shards": ("vision_banana.data.shards", "Shards"),
    "tfds_captions": ("vision_banana.data.tfds_captions", "TfdsCaptions"),
    "samples": ("vision_banana.data.samples", "Samples"),
    "hypersim": ("vision_banana.data.hypersim", "hypersim"),
    "tartanair": ("vision_banana.data.tartanair", "tartanair"),
    "midair": ("vision_banana.data.midair", "midair"),
    "coco_panoptic": ("vision_banana.data.coco", "coco_panoptic"),
    "coco_captions": ("vision_banana.data.coco", "coco_captions"),
    "refcoco": ("vision_banana.data.refcoco", "refcoco"),
    "ade20k": ("vision_banana.data.ade20k", "ade20k"),
}


def build(spec: Mapping[str, Any]) -> source.Source:
    """Builds a source.

    Args:
      spec: `name`, a key of `SOURCES` or "package.module:Class" for a source of your own, the
        keyword arguments of what opens it and, if only the first records shall be used, `records`,
        their number (0: all).

    Raises:
      ValueError: an unknown name, arguments that the source does not take, or more records than it
        has.
    """
    arguments = dict(spec)
    name, records = arguments.pop("name", None), arguments.pop("records", 0)
    if name in SOURCES:
        module, attribute = SOURCES[name]
    elif isinstance(name, str) and ":" in name:
        module, _, attribute = name.partition(":")
    else:
        raise ValueError(
            f"source {dict(spec)} has name {name!r}: it must be one of {sorted(SOURCES)}, or "
            "'package.module:Class'"
        )
    constructor = getattr(importlib.import_module(module), attribute)
    try:
        built = constructor(**arguments)
    except TypeError as e:
        raise ValueError(f"source {dict(spec)} cannot be built: {e}") from e
    return First(built, records) if records else built


class First:
    """The first records of a source. Implements `source.Source`.

    Args:
      whole: the source.
      records: how many of its records are used.

    Raises:
      ValueError: it has not as many.
    """

    def __init__(self, whole: source.Source, records: int) -> None:
        if not 0 < records <= len(whole):
            raise ValueError(
                f"source {whole.name} has {len(whole)} records: records={records} cannot be the "
                "number of those used; 0 uses all"
            )
        self._whole, self._records = whole, records
        self.name, self.tasks = whole.name, whole.tasks

    def __len__(self) -> int:
        return self._records

    def example(self, index: int, task: str) -> Example:
        """Record `index` of the source; see `source.Source`."""
        if not 0 <= index < self._records:
            raise IndexError(f"index {index} is outside 0 .. {self._records - 1} of {self.name}")
        return self._whole.example(index, task)
