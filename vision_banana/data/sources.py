"""The sources a mixture can name, by the names it gives them."""

import importlib
from collections.abc import Mapping
from typing import Any

from vision_banana.data import source

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
      spec: `name`, a key of `SOURCES` or "package.module:Class" for a source of your own, and the
        keyword arguments of what opens it.

    Raises:
      ValueError: an unknown name, or arguments that the source does not take.
    """
    arguments = dict(spec)
    name = arguments.pop("name", None)
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
        return constructor(**arguments)
    except TypeError as e:
        raise ValueError(f"source {dict(spec)} cannot be built: {e}") from e
