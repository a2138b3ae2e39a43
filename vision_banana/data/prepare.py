"""Makes shards of captioned pictures, from which training reads at random.

    python -m vision_banana.data.prepare photos --output shards/photos
    python -m vision_banana.data.prepare part-*.tar --output shards/web
    python -m vision_banana.data.prepare train.parquet --output shards/set --caption caption

An input is a folder of pictures with captions (a text file beside each, or captions.jsonl), a
WebDataset tar, or a Parquet file. Every picture is decoded once: one that cannot be read, or has no
caption, is left out, counted by reason and listed in bad.jsonl. The same command again goes on
behind the last whole shard. `--no_captions` keeps pictures without one, for `data.annotate`. Train
on the shards with `configs/image_text.py:shards`.
"""

import functools
from collections.abc import Iterator, Sequence
from typing import Any

from vision_banana import _bad_input
from vision_banana.data import captioned_inputs, pictures, shard_command, shard_format, source
from vision_banana.data.captioned_inputs import Input, Item


def prepare(
    inputs: Sequence[str],
    output: str,
    *,
    image: str = "",
    caption: str = "",
    captions: bool = True,
    max_pixels: int = pictures.MAX_PIXELS,
    shard_bytes: int = shard_command.SHARD_MB << 20,
) -> shard_format.Summary:
    """Makes shards, or goes on with them.

    Args:
      inputs: paths, see `captioned_inputs.open_input`.
      output: the folder of shards.
      image: see `captioned_inputs.open_input`.
      caption: likewise.
      captions: whether a picture without a caption is a bad one.
      max_pixels: larger pictures are bad ones.
      shard_bytes: a shard is closed once its records reach this size.

    Raises:
      ValueError: an input that cannot be opened, or a folder that holds other shards.
    """
    opened = [captioned_inputs.open_input(path, image, caption) for path in inputs]
    counts = {path: found.total for path, found in zip(inputs, opened, strict=True)}
    origin = {
        "inputs": [[shard_format.place_of(path), count] for path, count in counts.items()],
        "image": image,
        "caption": caption,
        "captions": captions,
    }
    make = functools.partial(_record, captions=captions, max_pixels=max_pixels)
    pending, total = _pending(opened, make), sum(counts.values())
    return shard_command.write(output, pending, origin, total, max_pixels, shard_bytes)


def _pending(inputs: Sequence[Input], make: Any) -> Iterator[shard_format.Pending]:
    for found in inputs:
        for item in found.items():
            yield functools.partial(make, item)


def _record(item: Item, captions: bool, max_pixels: int) -> shard_format.Record:
    image, texts = item.read()
    try:
        pictures.read(image, max_pixels)
    except ValueError as e:
        raise source.BadRecord(item.key, f"unreadable picture: {e}") from e
    texts = tuple(text.strip() for text in texts if text.strip())
    if captions and not texts:
        raise source.BadRecord(item.key, "no caption")
    return shard_format.Record(item.key, image, texts)


def main(argv: Sequence[str] | None = None) -> int:
    """The command."""
    parser = _bad_input.Parser(description=__doc__)
    parser.add_argument("inputs", nargs="+", help="folders, .tar and .parquet files")
    shard_command.add_arguments(parser)
    parser.add_argument("--image", default="", help="a tar's ending or Parquet column of pictures")
    parser.add_argument("--caption", default="", help="the same of captions")
    parser.add_argument(
        "--no_captions", action="store_true", help="keep pictures without a caption"
    )
    asked = parser.parse_args(argv)
    make = functools.partial(
        prepare,
        asked.inputs,
        asked.output,
        image=asked.image,
        caption=asked.caption,
        captions=not asked.no_captions,
        max_pixels=asked.max_pixels,
        shard_bytes=asked.shard_mb << 20,
    )
    return shard_command.run("prepare", asked.output, make)


if __name__ == "__main__":
    raise SystemExit(main())
