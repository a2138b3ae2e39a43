"""What is missing or damaged in a released benchmark's folder, before a generator is asked.

Every record is counted and every file looked for. What betrays a truncated file without decoding
it, a picture's beginning and end and the length of arrays, is read of all files, and small JSON
files are parsed; of a few records, spread over the set, everything is read and looked at with the
benchmark's own rules. Archives that lie in the folder or one level below it must end as whole ones
do. All of it takes seconds; of nuScenes, whose tables alone have gigabytes, minutes.
"""

import collections
import json
import mmap
import os
import pathlib
import zipfile
from collections.abc import Callable, Iterable, Sequence
from typing import Literal, NamedTuple

import numpy as np
from PIL import Image

from vision_banana.data import on_disk
from vision_banana.data.source import BadRecord, Source
from vision_banana.evaluation import benchmarks
from vision_banana.evaluation.benchmarks import Benchmark
from vision_banana.tasks.task import Example

READ = 8  # records that are read in full
NAMED = 5  # names in a line
PICTURES = (".png", ".jpg", ".jpeg")
PNG, PNG_END = b"\x89PNG\r\n\x1a\n", b"IEND\xaeB`\x82"
JPEG, JPEG_SCAN, JPEG_END = b"\xff\xd8\xff", b"\xda", b"\xff\xd9"
SEVEN_ZIP = b"7z\xbc\xaf\x27\x1c"
HDF5 = b"\x89HDF\r\n\x1a\n"
MATLAB_HEADER = 128
MATLAB_ORDERS: dict[bytes, Literal["little", "big"]] = {b"IM": "little", b"MI": "big"}
TAR_BLOCK = 512


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
    except (ValueError, OSError, ImportError) as e:
        return Report("the set cannot be opened", (*archives, str(e)))
    assert isinstance(source, on_disk.OnDisk)
    problems = list(archives)
    if released(source) != row.records:
        problems.append(f"{released(source)} records, and the benchmark has {row.records}")
    damage: dict[pathlib.Path, str] = {}
    for task in row.tasks:
        for i in range(len(source)):
            for path in source.files(i, task):
                if path not in damage:
                    damage[path] = _damage(path, source.raw(i, task, path))
    problems += by_reason("files", [(str(path), what) for path, what in damage.items() if what])
    places = np.unique(np.linspace(0, len(source) - 1, READ).astype(int)).tolist()
    for task in row.tasks:
        problems += _read(row, source, task, places)
    seen = f"{len(source)} records, {len(damage)} files, {len(places)} records read in full"
    return Report(seen, tuple(problems))


def released(source: Source) -> int:
    """How many records a set's files list: those of the source, and any that its rules drop."""
    return int(getattr(source, "released", len(source)))


def by_reason(what: str, bad: Iterable[tuple[str, str]]) -> list[str]:
    """A line for each kind of reason: how many (key, reason) are of it, and the first few keys.

    Reasons that begin alike, up to a colon, are of one kind ("missing file: /a", "missing file:
    /b"); where they go on differently, the rest stands behind each key.
    """
    found: dict[str, list[tuple[str, str]]] = collections.defaultdict(list)
    for key, reason in bad:
        found[reason.partition(": ")[0]].append((key, reason))
    lines = []
    for kind, rows in found.items():
        same = len({reason for _, reason in rows}) == 1
        named = [key if same else f"{key} ({reason.partition(': ')[2]})" for key, reason in rows]
        said = f"{what}: {len(rows)} x {rows[0][1] if same else kind}: {', '.join(named[:NAMED])}"
        lines.append(said + (" ..." if len(rows) > NAMED else ""))
    return lines


def _damage(path: pathlib.Path, raw: Callable[[], bool] | None = None) -> str:
    """What is wrong with a file, as far as that shows without decoding it; "" if nothing is.

    Args:
      path: of the file.
      raw: whether the file has the right length, where it is raw numbers, whatever its ending.
    """
    try:
        if path.stat().st_size == 0:
            return "empty"
        if raw is not None:
            return "" if raw() else "raw numbers of another length"
        if path.suffix.lower() in PICTURES:
            return _picture_damage(path)
        if path.suffix == ".json":
            return "" if _is_json(path) else "truncated, or no JSON"
        if path.suffix == ".mat":
            return "" if _is_whole_matlab(path) else "truncated, or no MATLAB file"
        if path.suffix == ".npy":
            return "" if _is_array(path) else "truncated, or no plain array"
    except FileNotFoundError:
        return "missing"
    except OSError as e:
        return f"cannot be read ({e.strerror})"
    return ""


def _picture_damage(path: pathlib.Path) -> str:
    """The same of a picture, which must begin as one: a server's page may lie in its place."""
    with path.open("rb") as file:
        begins = file.read(len(PNG))
    if begins == PNG:
        return "" if _tail(path, len(PNG_END)) == PNG_END else "truncated PNG"
    if begins.startswith(JPEG):
        return "" if _is_whole_jpeg(path) else "truncated JPEG"
    try:
        with Image.open(path):
            return ""  # of a rarer format
    except Exception:  # each format's parser raises what it likes
        return "no picture"


def _is_whole_jpeg(path: pathlib.Path) -> bool:
    """Whether a JPEG's end marker stands anywhere behind the beginning of its first scan.

    Cameras append to it, so it need not be the last; a thumbnail in the header has one of its own.
    """
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        place = 2
        while (place := data.find(b"\xff", place)) >= 0:
            marker = data[place + 1 : place + 2]
            if marker == JPEG_SCAN:
                return data.rfind(JPEG_END, place) >= 0
            length = int.from_bytes(data[place + 2 : place + 4], "big")
            place += 1 if marker == b"\xff" else 2 + length  # 0xff may fill up a marker
        return False


def _is_json(path: pathlib.Path) -> bool:
    try:
        json.loads(path.read_bytes().decode("latin-1"))  # the syntax is the same in any encoding
    except ValueError:
        return False
    return True


def _is_array(path: pathlib.Path) -> bool:
    try:
        on_disk.mapped_array(path)
    except ValueError:
        return False
    return True


def _is_whole_matlab(path: pathlib.Path) -> bool:
    """A MATLAB 5 file is a header and elements, each with its length in front; 7.3 is HDF5."""
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(4 * MATLAB_HEADER + len(HDF5))
        if HDF5 in (head[: len(HDF5)], head[4 * MATLAB_HEADER :]):
            try:
                on_disk.library("h5py").File(path, "r").close()
            except OSError:
                return False
            return True
        order = MATLAB_ORDERS.get(head[MATLAB_HEADER - 2 : MATLAB_HEADER])
        place = MATLAB_HEADER
        while order and place < size:
            file.seek(place + 4)
            place += 8 + int.from_bytes(file.read(4), order)
    return bool(order) and place == size > MATLAB_HEADER


def _is_whole_tar(path: pathlib.Path) -> bool:
    """A tar is whole blocks, the last two of zeros."""
    size = path.stat().st_size
    return size > 0 and size % TAR_BLOCK == 0 and not any(_tail(path, 2 * TAR_BLOCK))


def _is_whole_gzipped_tar(path: pathlib.Path) -> bool:
    """A gzip ends with the size of what it holds, modulo 2^32; a tar's is whole blocks.

    The last bytes of half an archive pass in one case of 512.
    """
    with path.open("rb") as file:
        begins = file.read(2) == b"\x1f\x8b"
    return begins and int.from_bytes(_tail(path, 4), "little") % TAR_BLOCK == 0


def _is_whole_7z(path: pathlib.Path) -> bool:
    """A 7z's first 32 bytes say where its table of contents begins, and how long it is."""
    with path.open("rb") as file:
        head = file.read(32)
    offset, length = (int.from_bytes(head[i : i + 8], "little") for i in (12, 20))
    return head[:6] == SEVEN_ZIP and path.stat().st_size >= 32 + offset + length


def _tail(path: pathlib.Path, length: int) -> bytes:
    """A file's last bytes."""
    with path.open("rb") as file:
        file.seek(-min(length, path.stat().st_size), os.SEEK_END)
        return file.read()


ARCHIVES: dict[str, Callable[[pathlib.Path], bool]] = {
    ".zip": zipfile.is_zipfile,
    ".tar": _is_whole_tar,
    ".tar.gz": _is_whole_gzipped_tar,
    ".tgz": _is_whole_gzipped_tar,
    ".7z": _is_whole_7z,
}


def _archives(folder: pathlib.Path) -> list[str]:
    """Archives in the folder and one level below it that are not whole."""
    return [
        f"{path} is damaged or half-downloaded: fetch it again"
        for path in sorted([*folder.glob("*"), *folder.glob("*/*")])
        for ending, is_whole in ARCHIVES.items()
        if path.name.lower().endswith(ending) and path.is_file() and not is_whole(path)
    ]


def _read(row: Benchmark, source: on_disk.OnDisk, task: str, places: Sequence[int]) -> list[str]:
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
