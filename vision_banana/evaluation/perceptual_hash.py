"""Hashes that look alike where pictures look alike, to find one picture among many others.

PDQ gives 256 bits of a picture's coarse shape (Facebook, "The TMK+PDQF Video-Hashing Algorithm and
the PDQ Image-Hashing Algorithm", 2019). By its authors' advice two pictures match when at most 31
bits differ, and a picture whose quality is below 50 has too little in it to be told from others.
Copies in other sizes, qualities and formats match; crops and rotations do not.
"""

import os
import pathlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from vision_banana.data import on_disk, pictures, source
from vision_banana.tasks import TASKS
from vision_banana.tasks.task import Example

MATCHED = 31  # bits that may differ
PLAIN = 50  # qualities below it say too little
BITS = 256
_PAIRS = 1 << 22  # compared at a time


class Hashes(NamedTuple):
    """Hashes of pictures.

    Attributes:
      names: N keys of records.
      bits: (N, 4) uint64.
    """

    names: tuple[str, ...]
    bits: np.ndarray


class Seen(NamedTuple):
    """What hashing a source has seen.

    Attributes:
      hashes: of its pictures, each picture once, by the record that had it first.
      records: how many were looked at.
      plain: pictures with too little in them to be compared.
      bad: (key, reason) of records that could not be read.
    """

    hashes: Hashes
    records: int
    plain: int
    bad: tuple[tuple[str, str], ...]


class Match(NamedTuple):
    """Two pictures that look alike: their places in two lists, and how many bits differ."""

    left: int
    right: int
    bits: int


def of_picture(picture: np.ndarray) -> tuple[np.ndarray, int]:
    """Hashes a picture.

    Args:
      picture: (H, W, 3) float RGB in [0, 1].

    Returns:
      (4,) uint64, and the quality from 0 to 100.

    Raises:
      ImportError: pdqhash is not installed.
    """
    try:
        import pdqhash
    except ImportError as e:
        raise ImportError("the leak check needs pdqhash: pip install 'vision-banana[leaks]'") from e
    code = np.ascontiguousarray(pictures.to_u8(picture))
    bits, quality = pdqhash.compute(code)
    return np.packbits(np.asarray(bits, np.uint8)).view(np.uint64), int(quality)


def of_source(read: source.Source, records: Iterable[int]) -> tuple[Seen, Seen]:
    """Hashes the pictures of some of a source's records, as they are and mirrored left to right.

    A picture is looked at whether it is shown to the generator or drawn by it. Where a reader cuts
    or turns a released file, both are: the file is what others are trained on, and crops do not
    match.
    """
    found: tuple[dict[bytes, str], dict[bytes, str]] = ({}, {})
    looked_at, plain, bad = 0, 0, []
    for i in records:
        looked_at += 1
        example = _any_task(read, i)
        if isinstance(example, source.BadRecord):
            bad.append((example.key, example.reason))
            continue
        # A set of prompts has no picture to draw, and says so.
        draws = TASKS[example.task].draws and example.valid.any()
        drawn = (example.label,) if draws else ()
        released = read.released_picture(i) if isinstance(read, on_disk.OnDisk) else None
        whole = () if released is None else (released,)
        for picture in (*example.references, *drawn, *whole):
            for kept, view in zip(found, (picture, picture[:, ::-1]), strict=True):
                bits, quality = of_picture(view)
                if quality >= PLAIN:
                    kept.setdefault(bits.tobytes(), example.key)
                elif kept is found[0]:
                    plain += 1
    return tuple(  # type: ignore[return-value]
        Seen(_collected(kept), looked_at, plain, tuple(bad)) for kept in found
    )


def _any_task(read: source.Source, index: int) -> Example | source.BadRecord:
    """The record as the first task that it can answer, or why it can answer none."""
    for task in read.tasks:
        try:
            return read.example(index, task)
        except source.BadRecord as e:
            bad = e
    return bad


def _collected(found: dict[bytes, str]) -> Hashes:
    bits = np.frombuffer(b"".join(found), np.uint64).reshape(-1, BITS // 64)
    return Hashes(tuple(found.values()), bits)


def matches(left: Hashes, right: Hashes, at_most: int = MATCHED) -> Iterator[Match]:
    """All pairs of which at most so many bits differ, in the order of `left`."""
    step = max(1, _PAIRS // max(1, len(right.names)))
    for start in range(0, len(left.names), step):
        block = left.bits[start : start + step, None]
        differ = np.bitwise_count(block ^ right.bits[None]).sum(-1, dtype=np.int64)
        for i, j in np.argwhere(differ <= at_most):
            yield Match(start + int(i), int(j), int(differ[i, j]))


def save(path: str | os.PathLike[str], hashes: Sequence[Hashes]) -> None:
    """Writes lists of hashes, plain arrays in one file."""
    arrays: dict[str, Any] = {}
    for i, one in enumerate(hashes):
        arrays |= {f"names{i}": np.array(one.names, np.str_), f"bits{i}": one.bits}
    pathlib.Path(path).parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(path, **arrays)


def load(path: str | os.PathLike[str]) -> tuple[Hashes, ...]:
    """Reads what `save` wrote; ValueError if it is anything else."""
    try:
        with np.load(path, allow_pickle=False) as file:
            return tuple(
                Hashes(tuple(map(str, file[f"names{i}"])), file[f"bits{i}"])
                for i in range(len(file.files) // 2)
            )
    except (KeyError, OSError, ValueError, EOFError) as e:
        raise ValueError(
            f"{path} holds no lists of hashes: make it with --save_hashes ({e})"
        ) from e
