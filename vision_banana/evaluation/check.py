"""What is missing or damaged in a released benchmark's folder, said in seconds.

Every record is counted and every file looked for. What betrays a truncated file without decoding
it, the end of a PNG and the length of an array, is read of all files; of a few records, spread
over the set, everything is read and looked at with the benchmark's own rules.
"""

import collections
import pathlib
import zipfile
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from vision_banana.data.on_disk import OnDisk
from vision_banana.data.source import BadRecord, Source
from vision_banana.evaluation import benchmarks
from vision_banana.evaluation.benchmarks import Benchmark
from vision_banana.tasks.task import Example

READ = 8  # records that are read in full
NAMED = 5  # names in a line
PNG_END = b"IEND\xaeB`\x82"


class Report(NamedTuple):
    """What a check saw.

    Attributes:
      seen: how much was looked at, for people.
      problems: one line for each kind of problem, none if there are none.
    """

    seen: str
    problems: tuple[str, ...]


def check(row: Benchmark, data: str) -> Report:
    """Checks the folder `data` against a benchmark."""
    archives = _archives(pathlib.Path(data))
    try:
        source = benchmarks.open_source(row.source, 0, data)
    except (ValueError, OSError, KeyError, ImportError) as e:
        return Report("the set cannot be opened", (*archives, str(e)))
    assert isinstance(source, OnDisk)
    problems = list(archives)
    if released(source) != row.records:
        problems.append(f"{released(source)} records, and the benchmark has {row.records}")
    files: dict[pathlib.Path, str] = {}
    for task in row.tasks:
        for i in range(len(source)):
            files |= dict.fromkeys(source.files(i, task), source.key(i))
    broken = [(str(path), what) for path in files if (what := _damage(path))]
    problems += by_reason("files", broken)
    places = np.unique(np.linspace(0, len(source) - 1, READ).astype(int)).tolist()
    for task in row.tasks:
        problems += _read(row, source, task, places)
    seen = f"{len(source)} records, {len(files)} files, {len(places)} records read in full"
    return Report(seen, tuple(problems))


def released(source: Source) -> int:
    """How many records a set's files list: those of the source, and any that its rules drop."""
    return int(getattr(source, "released", len(source)))


def by_reason(what: str, bad: Iterable[tuple[str, str]]) -> list[str]:
    """A line for each reason: how many (key, reason) have it, and the first few keys."""
    found: dict[str, list[str]] = collections.defaultdict(list)
    for key, reason in bad:
        found[reason].append(key)
    return [
        f"{what}: {len(keys)} x {reason}: {', '.join(keys[:NAMED])}"
        + (" ..." if len(keys) > NAMED else "")
        for reason, keys in found.items()
    ]


def _damage(path: pathlib.Path) -> str:
    """What is wrong with a file, as far as its two ends tell; nothing if that is fine."""
    try:
        size = path.stat().st_size
        if size == 0:
            return "empty"
        if path.suffix == ".png":
            with path.open("rb") as file:
                file.seek(max(0, size - len(PNG_END)))
                return "" if file.read() == PNG_END else "truncated PNG"
        if path.suffix == ".npy":
            np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError:
        return "missing"
    except (ValueError, EOFError):
        return "truncated, or no plain array"
    return ""


def _archives(folder: pathlib.Path) -> list[str]:
    """Archives in the folder that are not whole."""
    return [
        f"{path} is damaged or half-downloaded: fetch it again"
        for path in sorted(folder.glob("*.zip"))
        if not zipfile.is_zipfile(path)
    ]


def _read(row: Benchmark, source: OnDisk, task: str, places: Sequence[int]) -> list[str]:
    """Reads some records in full, as the benchmark would, and looks at their labels."""
    scored = benchmarks.Scored(source, row.rules) if not row.judged else source
    examples, bad = [], []
    for i in places:
        try:
            example = scored.example(i, task)
            if row.question:
                row.question(example)
            examples.append(example)
        except BadRecord as e:
            bad.append((e.key, e.reason))
    problems = by_reason(task, bad)
    if examples and row.typical_m:
        problems += _odd_scale(examples, row.typical_m)
    if examples and task == "surface_normals":
        problems += _odd_axes(examples)
    return problems


def _odd_scale(examples: Sequence[Example], typical_m: tuple[float, float]) -> list[str]:
    """Depth of a wrong scale factor: its median is far from what the set shows."""
    median = float(np.median([np.median(x.label[x.valid]) for x in examples]))
    if typical_m[0] <= median <= typical_m[1]:
        return []
    return [
        f"depth: the median of {len(examples)} records is {median:.3g} m, and this set's lies "
        f"between {typical_m[0]:g} and {typical_m[1]:g}: is the scale factor right?"
    ]


def _odd_axes(examples: Sequence[Example]) -> list[str]:
    """Normals with an axis reversed: floors, walls and what faces the camera tell.

    What is seen faces the camera, floors lie below ceilings, and a wall on the left faces right.
    """
    differences = {"x": [], "y": [], "z": []}  # type: dict[str, list[float]]
    for example in examples:
        height, width = example.valid.shape
        rows, columns = np.nonzero(example.valid)
        n = example.label[rows, columns]
        left, low = columns < width / 2, rows >= height / 2
        differences["z"].append(float(n[:, 2].mean()))
        for axis, i, side in (("x", 0, left), ("y", 1, low)):
            if side.any() and not side.all():
                differences[axis].append(float(n[side, i].mean() - n[~side, i].mean()))
    return [
        f"surface_normals: {axis} points the wrong way in {len(values)} records, by {mean:.2f} on "
        "average: is the axis reversed?"
        for axis, values in differences.items()
        if values and (mean := float(np.mean(values))) < 0
    ]
