"""Adds outlined phrases to shards of pictures, from any labeller.

    python -m vision_banana.data.annotate shards/web --labeller my_package.labels:find \
        --output shards/labelled

The labeller is a function of yours: `find(picture) -> {phrase: masks}`, where a picture is
(H, W, 3) float32 RGB in [0, 1] and masks are (M, H, W) bool, one for each instance that the phrase
has in the picture. Whatever it loads, it loads when its module is imported. A picture in which it
finds nothing, or for which it raises a ValueError, is left out, counted by reason and listed in
bad.jsonl. The same command again goes on behind the last whole shard.

The result is the source `shards` with the tasks instance_segmentation and referring_segmentation;
captions and the phrases that were there are kept.
"""

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np

from vision_banana import _bad_input
from vision_banana.data import coco_masks, pictures, plugged, shard_command, shard_format, source
from vision_banana.data.shard_format import Record, Region

Labeller = Callable[[np.ndarray], Mapping[str, np.ndarray]]


def annotate(
    path: str,
    labeller: str,
    output: str,
    *,
    max_pixels: int = pictures.MAX_PIXELS,
    shard_bytes: int = shard_command.SHARD_MB << 20,
) -> shard_format.Summary:
    """Annotates shards, or goes on with it.

    Args:
      path: a folder of finished shards, or one that holds several.
      labeller: "package.module:function", see above.
      output: the new folder of shards.
      max_pixels: larger pictures are bad ones.
      shard_bytes: a shard is closed once its records reach this size.

    Raises:
      ValueError: no such labeller, unfinished or damaged shards, or a folder that holds others.
    """
    label = plugged.find(labeller, "labeller")
    total = sum(shard_format.summary(folder).records for folder in shard_format.folders(path))
    origin = {
        "shards": shard_format.place_of(path),
        "records": total,
        "labeller": labeller,
    }
    make = functools.partial(_record, label=label, max_pixels=max_pixels)
    pending = _pending(path, make)
    return shard_command.write(output, pending, origin, total, max_pixels, shard_bytes)


def _pending(path: str, make: Callable[[bytes], Record]) -> Iterator[shard_format.Pending]:
    data = shard_format.open_records(path)
    for i in range(len(data)):
        yield functools.partial(lambda i: make(data[i]), i)


def _record(data: bytes, label: Labeller, max_pixels: int) -> Record:
    record = shard_format.unpack(data)
    try:
        picture = pictures.read(record.image, max_pixels)
    except ValueError as e:
        raise source.BadRecord(record.key, f"unreadable picture: {e}") from e
    try:
        found = label(picture)
    except ValueError as e:
        raise source.BadRecord(record.key, f"the labeller failed: {e}") from e
    regions = [_region(record.key, phrase, masks, picture) for phrase, masks in found.items()]
    kept = tuple(region for region in regions if region.masks)
    if not kept:
        raise source.BadRecord(record.key, "the labeller found nothing")
    return record._replace(regions=(*record.regions, *kept))


def _region(key: str, phrase: str, masks: np.ndarray, picture: np.ndarray) -> Region:
    if not isinstance(phrase, str) or not phrase.strip():
        raise source.BadRecord(key, f"no phrase: the labeller gave {phrase!r}")
    masks = np.asarray(masks)
    if masks.dtype != bool or masks.shape[1:] != picture.shape[:2]:
        raise source.BadRecord(
            key,
            f"masks that do not fit: the labeller gave {masks.dtype} of shape {masks.shape} for "
            f"{phrase!r}, and the picture needs bool (M, {picture.shape[0]}, {picture.shape[1]})",
        )
    shown = tuple(coco_masks.encode(mask) for mask in masks if mask.any())
    return Region(phrase.strip(), shown)


def main(argv: Sequence[str] | None = None) -> int:
    """The command."""
    parser = _bad_input.Parser(description=__doc__)
    parser.add_argument("shards", help="a folder of shards")
    parser.add_argument("--labeller", required=True, help="package.module:function")
    shard_command.add_arguments(parser)
    asked = parser.parse_args(argv)
    make = functools.partial(
        annotate,
        asked.shards,
        asked.labeller,
        asked.output,
        max_pixels=asked.max_pixels,
        shard_bytes=asked.shard_mb << 20,
    )
    return shard_command.run("annotate", asked.output, make)


if __name__ == "__main__":
    raise SystemExit(main())
