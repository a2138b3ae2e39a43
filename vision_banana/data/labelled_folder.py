"""A folder of one's own: pictures with depth, normals, classes, instances or regions.

Expected tree; of the truths only those that are asked for need be there:

    FOLDER/pictures/NAME.jpg             any picture format
    FOLDER/depth/NAME.png                16-bit grey; times `metres_per_unit` it is metres along the
                                         optical axis; 0 where unknown
    FOLDER/normals/NAME.png              8 or 16 bits a channel; 0 .. the largest is -1 .. 1; x
                                         right, y up, z towards the camera unless `normal_signs`
                                         says otherwise; black where unknown
    FOLDER/classes/NAME.png              class numbers from 0 in one channel; 255 where unknown
    FOLDER/classes.json                  {"0": "road", "1": "sky"}
    FOLDER/instances/NAME/PHRASE.png     numbers of the phrase's instances; 0 elsewhere
    FOLDER/regions/NAME/EXPRESSION.png   above 0 inside of what the expression means

A file's name is the phrase, "red cup.png". NAME may have folders in it.
"""

import logging
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from vision_banana.data import asked_classes, image_folder, normal_maps, on_disk, pictures
from vision_banana.data.on_disk import Answer, Record

# Task -> the folder of its truth.
FOLDERS = {
    "depth": "depth",
    "surface_normals": "normals",
    "semantic_segmentation": "classes",
    "instance_segmentation": "instances",
    "referring_segmentation": "regions",
}
PHRASES = ("instance_segmentation", "referring_segmentation")  # one file for each phrase
UNKNOWN_CLASS = 255


def labelled_folder(
    path: str,
    tasks: Sequence[str],
    metres_per_unit: float = 0.0,
    normal_signs: Sequence[int] = (1, 1, 1),
) -> on_disk.OnDisk:
    """A source of the pictures that have a truth for every task asked for.

    Args:
      path: the folder.
      tasks: keys of `FOLDERS`.
      metres_per_unit: the depth pictures' scale factor, which has no default: 0.001 for
        millimetres, 1/256 for KITTI's.
      normal_signs: what x, y and z of the stored normals are multiplied by.

    Raises:
      ValueError: an unknown task, a folder that is missing or holds no picture with every truth, a
        truth without its picture, two pictures that differ in their endings alone, or depth without
        a scale factor.
    """
    unknown = set(tasks) - set(FOLDERS)
    if unknown or not tasks:
        raise ValueError(f"labelled_folder has tasks {list(tasks)}: choose from {list(FOLDERS)}")
    if "depth" in tasks and not metres_per_unit > 0:
        raise ValueError(
            f"labelled_folder has metres_per_unit={metres_per_unit}: say how many metres one unit "
            "of the depth pictures is (0.001 for millimetres)"
        )
    if sorted(map(abs, normal_signs)) != [1, 1, 1]:
        raise ValueError(f"labelled_folder has normal_signs={normal_signs}: give three of 1 or -1")
    shown = on_disk.folder(path, "pictures")
    files = sorted(f for f in shown.rglob("*") if f.suffix.lower() in image_folder.PICTURES)
    named: dict[str, pathlib.Path] = {}
    for file in files:
        name = str(file.relative_to(shown).with_suffix(""))
        if name in named:
            raise ValueError(
                f"{named[name]} and {file} share the name {name!r}, and one truth cannot be of "
                "both: rename one, and its truths"
            )
        named[name] = file
    truths = {task: _truths(on_disk.folder(path, FOLDERS[task]), task) for task in tasks}
    for task, found in truths.items():
        stray = sorted(set(found) - set(named))
        if stray:
            raise ValueError(
                f"{path} has {FOLDERS[task]} of {stray[0]!r} and {len(stray) - 1} others without a "
                "picture: the names must be the same, but for their endings"
            )
    whole = [name for name in named if all(name in found for found in truths.values())]
    if len(whole) < len(named):
        logging.warning(
            "%s: %d of %d pictures have no truth for each of %s and are left out, the first %r",
            path, len(named) - len(whole), len(named), list(tasks),
            next(name for name in named if name not in whole),
        )  # fmt: skip
    answers: dict[str, Callable[[Record, np.ndarray], Answer]] = {
        "depth": lambda record, _: _depth(record, metres_per_unit),
        "surface_normals": lambda record, _: _normals(record, normal_signs),
        "instance_segmentation": _instances,
        "referring_segmentation": _region,
    }
    if "semantic_segmentation" in tasks:
        listed = on_disk.file(path, "classes.json")
        table = on_disk.table(listed)
        with on_disk.bad_index(listed):
            names = {int(number): str(name) for number, name in table.items()}
        answers["semantic_segmentation"] = lambda record, _: _classes(record, names)
    records = []
    for name in whole:
        mine = {task: found[name] for task, found in truths.items()}
        # One record for each phrase; a truth without phrases is the same in all of them.
        for place in range(max(len(mine[task]) if task in PHRASES else 1 for task in tasks)):
            chosen = {t: (f[place % len(f)],) if t in PHRASES else f for t, f in mine.items()}
            records.append(Record(f"{name}/{place}" if place else name, named[name], chosen))
    name = f"labelled_folder/{pathlib.Path(path).name}"
    return on_disk.OnDisk(name, records, {task: answers[task] for task in tasks})


def _truths(folder: pathlib.Path, task: str) -> dict[str, tuple[pathlib.Path, ...]]:
    """Name of a picture -> the files of its truth, in the order of their names."""
    found: dict[str, tuple[pathlib.Path, ...]] = {}
    for file in sorted(folder.rglob("*.png")):
        of = file.parent if task in PHRASES else file.with_suffix("")
        name = str(of.relative_to(folder))
        found[name] = (*found.get(name, ()), file)
    return found


def _depth(record: Record, metres_per_unit: float) -> Answer:
    (path,) = record.truth["depth"]
    depth, valid = pictures.read_depth(path, metres_per_unit)
    return depth, valid, {}


def _normals(record: Record, signs: Sequence[int]) -> Answer:
    code = pictures.read_codes(record.truth["surface_normals"][0])
    valid = code.sum(-1) > 0
    normals = (2 * code - 1) * np.asarray(signs, np.float32)
    odd = valid & (np.abs(np.linalg.norm(normals, axis=-1) - 1) > 0.2)
    if odd.mean() > 0.05:
        raise ValueError(
            f"{odd.mean():.0%} of the normals are far from unit length: are they coded as "
            "(n + 1) / 2?"
        )
    valid &= ~odd
    return normal_maps.normalise(normals, valid), valid, {}


def _classes(record: Record, names: dict[int, str]) -> Answer:
    (path,) = record.truth["semantic_segmentation"]
    ids = pictures.read_labels(path)
    valid = ids != UNKNOWN_CLASS
    label, words = asked_classes.choose(ids, names, valid, record.name)
    return label, valid, words


def _instances(record: Record, picture: np.ndarray) -> Answer:
    (path,) = record.truth["instance_segmentation"]
    ids = pictures.read_labels(path)
    return ids, np.ones(ids.shape, bool), {"phrase": path.stem}


def _region(record: Record, picture: np.ndarray) -> Answer:
    (path,) = record.truth["referring_segmentation"]
    region = pictures.read_labels(path) > 0
    if not region.any():
        raise ValueError(f"{path} is empty: an expression that means nothing has no region")
    words: dict[str, Any] = {"expressions": (path.stem,)}
    return region[None], np.ones(region.shape, bool), words
