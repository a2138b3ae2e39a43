"""What the commands that write shards share: a bar, what is said at the end, the exit code."""

import pathlib
import sys
from collections.abc import Callable, Iterable

import tqdm

from vision_banana.data import shard_format

SHARD_MB = 256


def show_progress(
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
    try:
        summary = make()
    except (ValueError, OSError, ImportError) as e:
        print(f"{name}: {e}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"\n{name}: interrupted; the same command goes on", file=sys.stderr)
        return 130
    print(report(output, summary))
    return 0
