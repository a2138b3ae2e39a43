"""What the commands that write shards share: a bar, what is said at the end, the exit code."""

import argparse
import functools
import pathlib
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import tqdm

from vision_banana import _bad_input
from vision_banana.data import pictures, shard_format

SHARD_MB = 256


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Where shards go, how large they are and which pictures are too large for them."""
    parser.add_argument("--output", required=True, help="the new folder of shards")
    parser.add_argument("--max_pixels", type=int, default=pictures.MAX_PIXELS)
    parser.add_argument("--shard_mb", type=int, default=SHARD_MB, help="size of a shard in MiB")


def write(
    output: str,
    pending: Iterable[shard_format.Pending],
    origin: Mapping[str, Any],
    total: int,
    max_pixels: int,
    shard_bytes: int,
) -> shard_format.Summary:
    """`shard_format.write` with a bar; the limits are part of what the shards are made from."""
    limits = {"max_pixels": max_pixels, "shard_bytes": shard_bytes}
    progress = functools.partial(_show_progress, total)
    return shard_format.write(output, pending, {**origin, **limits}, shard_bytes, progress)


def _show_progress(
    total: int, items: Iterable[shard_format.Pending], done: int
) -> Iterable[shard_format.Pending]:
    """A bar with the time left, which begins where an interrupted run ended."""
    return tqdm.tqdm(items, total=total, initial=done, unit="picture", mininterval=1)


def report(output: str, summary: shard_format.Summary) -> str:
    """What shards hold and what was left out, for people."""
    lines = [
        f"{output}: {summary.records} pictures, {summary.captioned} with captions, "
        f"{summary.outlined} with outlined phrases"
    ]
    lines += [f"left out: {count} x {reason}" for reason, count in summary.bad.items()]
    if summary.bad:
        lines.append(f"each is named in {pathlib.Path(output, shard_format.BAD)}")
    return "\n".join(lines)


def run(name: str, output: str, make: Callable[[], shard_format.Summary]) -> int:
    """Runs a command that writes shards, tells what came of it, and gives its exit code."""
    with _bad_input.exits(name):
        try:
            summary = make()
        except KeyboardInterrupt as stop:
            print(f"\n{name}: interrupted; the same command goes on", file=sys.stderr)
            raise SystemExit(_bad_input.INTERRUPTED) from stop
    print(report(output, summary))
    return 0
