"""Small real sets with true depth, normals or labels, for tests and for looking at.

The folder that holds them is named by the environment variable VISION_BANANA_SAMPLES. Each set
says which numbers are metres, which normals are known, and which pixels nobody labelled. They are
extracts, resized, that are not published with this code; their origins:

    tum-rgbd             TUM RGB-D, https://cvg.cit.tum.de/data/datasets/rgbd-dataset (CC BY 4.0)
    icl-nuim-5           ICL-NUIM, https://www.doc.ic.ac.uk/~ahanda/VaFRIC/iclnuim.html (CC BY 3.0)
    cleargrasp-sample    ClearGrasp, https://github.com/Shreeyak/cleargrasp (Apache-2.0)
    comma10k-11          comma10k, https://github.com/commaai/comma10k (MIT)
    oxford-pets-3breeds  Oxford-IIIT Pet, https://www.robots.ox.ac.uk/~vgg/data/pets (CC BY-SA 4.0)
    coco-cc              COCO 2017, https://cocodataset.org, under permissive licences alone

Each lies in the folder `dev` of a folder of that name; the functions below say which files they
expect there.
"""

import ast
import functools
import json
import os
import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np

from vision_banana.data import (
    captioned,
    coco_masks,
    evaluated_coco,
    normal_maps,
    on_disk,
    pictures,
    sample_splits,
)
from vision_banana.tasks.task import Example

VARIABLE = "VISION_BANANA_SAMPLES"
FROM_COCO = ("coco", "coco_captions")  # whose pictures RefCOCOg and ReasonSeg may ask about too

Answer = tuple[np.ndarray, np.ndarray, dict[str, Any]]  # label, valid, words


class Samples:
    """One of the sets of `SETS`.

    Args:
      dataset: its name.
      root: the folder that holds the sets; None means what the environment variable says.
      split: "train" or "heldout", see `sample_splits`; None takes both.
      evaluated: for the sets of `FROM_COCO` a file of `evaluated_coco`, whose pictures are dropped.
        Without it some of them may be pictures of RefCOCOg or ReasonSeg, and a model that trains on
        them must not be scored there.

    Raises:
      ValueError: an unknown set or split, no such folder, or a list that cannot be read or is given
        for a set that is not made from COCO.
    """

    def __init__(
        self,
        dataset: str,
        root: str | None = None,
        split: str | None = None,
        evaluated: str | None = None,
    ) -> None:
        if dataset not in SETS:
            raise ValueError(f"unknown sample set {dataset!r}: it must be one of {sorted(SETS)}")
        if split not in (None, *sample_splits.SPLITS):
            raise ValueError(
                f"split is {split!r}: it must be one of {sample_splits.SPLITS}, or None"
            )
        if evaluated and dataset not in FROM_COCO:
            raise ValueError(
                f"sample set {dataset} takes no evaluated={evaluated!r}: only {FROM_COCO} are made "
                "from COCO"
            )
        if evaluated and split == "heldout":
            raise ValueError(f"sample set {dataset}: what is held out is evaluated: drop evaluated")
        listed = evaluated_coco.load(evaluated) if evaluated else None
        place = root or os.environ.get(VARIABLE)
        if not place:
            raise ValueError(f"set the environment variable {VARIABLE} to the samples' folder")
        folder, list_records, self._answers = SETS[dataset]
        self._folder = pathlib.Path(place) / folder / "dev"
        if not self._folder.is_dir():
            raise ValueError(f"sample set {dataset}: {self._folder} is not a folder")
        self.name = f"samples/{dataset}"
        self.tasks = tuple(self._answers)
        self._records = [
            record
            for record in list_records(self._folder)
            if split in (None, sample_splits.split_of(dataset, record["name"]))
            and not (listed and listed.has(record))
        ]
        self._picture = functools.lru_cache(maxsize=8)(pictures.read)

    def __len__(self) -> int:
        return len(self._records)

    def example(self, index: int, task: str) -> Example:
        """Record `index` as an example of a task, at its own size.

        Raises:
          ValueError: a task that the set does not answer.
          BadRecord: a file that is missing or damaged.
        """
        if task not in self.tasks:
            raise ValueError(f"{self.name} cannot answer {task!r}: it has {self.tasks}")
        record = self._records[index]
        key = f"{self.name}/{record['name']}"
        with on_disk.bad_record(key):
            picture = self._picture(self._folder / record["picture"])
            if task == "image_generation":
                captions = record["captions"]
                return captioned.example(key, picture, captions[index % len(captions)])
            label, valid, words = self._answers[task](self._folder, record, key)
        return Example(task, key, (picture,), label, valid, words)


def _by_name(picture: str, pattern: str = "") -> Callable[[pathlib.Path], list[dict[str, Any]]]:
    """Lists NAME for every file NAME + `picture`; `pattern` is how NAME begins."""

    def records(folder: pathlib.Path) -> list[dict[str, Any]]:
        files = sorted(folder.glob(f"{pattern}*{picture}"))
        return [{"name": f.name.removesuffix(picture), "picture": f.name} for f in files]

    return records


def _depth(folder: pathlib.Path, record: dict[str, Any], key: str) -> Answer:
    """Millimetres along the optical axis, 0 where the sensor saw nothing."""
    depth, valid = pictures.read_depth(folder / f"{record['name']}_depth_mm.png")
    pictures.check_depth(depth, key, valid)
    return depth, valid, {}


def _normals(folder: pathlib.Path, record: dict[str, Any], key: str) -> Answer:
    """(n + 1) * 127.5 with x right, y up, z towards the camera; black is unknown."""
    code = pictures.read(folder / f"{record['name']}_normal.png", profile=False)
    normals = code * 2 - 1
    valid = np.abs(np.linalg.norm(normals, axis=-1) - 1) < 0.1  # black has length 1.73
    return normal_maps.normalise(normals, valid), valid, {}


def _cleargrasp_instances(folder: pathlib.Path, record: dict[str, Any], key: str) -> Answer:
    """Transparent objects numbered from 100, 0 is the rest."""
    ids = pictures.read_labels(folder / f"{record['name']}_instances.png")
    return ids, np.ones(ids.shape, bool), {"phrase": "transparent object"}


def _comma_semantic(folder: pathlib.Path, record: dict[str, Any], key: str) -> Answer:
    """Class colours as the set's palette says; a colour that is not in it is unknown."""
    palette = json.loads((folder / "palette.json").read_text())
    file = folder / f"{record['name']}_labels_rgb.png"
    code = np.rint(pictures.read(file, profile=False) * 255)
    label = np.full(code.shape[:2], 255, np.int32)
    for i, color in enumerate(palette):
        label[(code == np.asarray(ast.literal_eval(color))).all(-1)] = i
    words = {
        "classes": tuple(palette.values()),
        "class_ids": tuple(range(1, len(palette) + 1)),
        "num_classes": len(palette) + 1,
    }
    return label, label != 255, words


def _pets(folder: pathlib.Path) -> list[dict[str, Any]]:
    records = []
    for row in json.loads((folder / "meta.json").read_text()):
        name = row["breed"].replace("_", " ")
        kind = name if name.endswith("dog") else f"{name} {row['species']}"
        record = {"name": row["file"], "picture": f"images/{row['file']}.jpg"}
        records.append({**record, **row, "captions": [f"a photo of a {kind}"]})
    return records


def _pet_region(folder: pathlib.Path, record: dict[str, Any], key: str) -> Answer:
    """1 is the animal, 2 the background, 3 a border that nobody decided."""
    trimap = pictures.read_labels(folder / "trimaps" / f"{record['name']}.png")
    return (trimap == 1)[None], trimap != 3, {"expressions": (f"the {record['species']}",)}


@functools.lru_cache(maxsize=2)
def _coco_tables(folder: pathlib.Path) -> tuple[dict[int, str], dict[int, list[Any]]]:
    table = json.loads((folder / "instances.json").read_text())
    names = {c["id"]: c["name"] for c in table["categories"]}
    found: dict[int, list[Any]] = {image["id"]: [] for image in table["images"]}
    for annotation in table["annotations"]:
        found[annotation["image_id"]].append(annotation)
    return names, found


def _coco(folder: pathlib.Path) -> list[dict[str, Any]]:
    """Pictures in which every object of the 80 classes is outlined."""
    table = json.loads((folder / "instances.json").read_text())
    found = _coco_tables(folder)[1]
    return [
        {**image, "name": str(image["id"]), "picture": f"images/{image['file_name']}"}
        for image in table["images"]
        if any(not a["iscrowd"] for a in found[image["id"]])
    ]


def _coco_captions(folder: pathlib.Path) -> list[dict[str, Any]]:
    """One record for each caption."""
    table = json.loads((folder / "captions.json").read_text())
    images = {image["id"]: image for image in table["images"]}
    return [
        {
            **images[a["image_id"]],
            "name": f"{a['image_id']}/{i}",
            "picture": f"images/{images[a['image_id']]['file_name']}",
            "captions": [a["caption"]],
        }
        for i, a in enumerate(table["annotations"])
    ]


def _coco_instances(folder: pathlib.Path, record: dict[str, Any], key: str) -> Answer:
    """The class with the most pixels; its crowds, in which nobody counted, are unknown."""
    names, found = _coco_tables(folder)
    shape = (record["height"], record["width"])
    areas: dict[int, float] = {}
    for a in found[record["id"]]:
        if not a["iscrowd"]:
            areas[a["category_id"]] = areas.get(a["category_id"], 0) + a["area"]
    category = max(areas, key=lambda c: areas[c])
    ids, valid = np.zeros(shape, np.int32), np.ones(shape, bool)
    same = [a for a in found[record["id"]] if a["category_id"] == category]
    for a in sorted(same, key=lambda a: -a["area"]):  # small ones lie in front
        if a["iscrowd"]:
            valid &= ~coco_masks.decode(a["segmentation"], shape)
        else:
            ids[coco_masks.decode(a["segmentation"], shape)] = ids.max() + 1
    return ids, valid | (ids > 0), {"phrase": names[category]}


def _coco_semantic(folder: pathlib.Path, record: dict[str, Any], key: str) -> Answer:
    """The classes of the outlined objects; everything else is none of them."""
    names, found = _coco_tables(folder)
    shape = (record["height"], record["width"])
    present = sorted({a["category_id"] for a in found[record["id"]]})
    label = np.full(shape, 255, np.int32)
    for a in sorted(found[record["id"]], key=lambda a: -a["area"]):
        label[coco_masks.decode(a["segmentation"], shape)] = present.index(a["category_id"])
    words = {
        "classes": tuple(names[c] for c in present),
        "class_ids": tuple(present),
        "num_classes": max(names) + 1,  # the set's ids have gaps
    }
    return label, np.ones(shape, bool), words


_SYNTHETIC = _by_name("_rgb.jpg", "syn_")

# name -> folder, records, and how each task's answer is read
SETS: dict[str, tuple[str, Callable[[pathlib.Path], list[dict[str, Any]]], dict[str, Any]]] = {
    "tum_rgbd": ("tum-rgbd", _by_name("_rgb.jpg"), {"depth": _depth}),
    "icl_nuim": ("icl-nuim-5", _by_name("_rgb.png"), {"depth": _depth}),
    "cleargrasp": (
        "cleargrasp-sample",
        _SYNTHETIC,
        {
            "depth": _depth,
            "surface_normals": _normals,
            "instance_segmentation": _cleargrasp_instances,
        },
    ),
    # The sensor sees no glass: depth and normals are those of the opaque twin.
    "cleargrasp_real": (
        "cleargrasp-sample",
        _by_name("_opaque_rgb.jpg", "real_"),
        {"depth": _depth, "surface_normals": _normals},
    ),
    "comma10k": ("comma10k-11", _by_name("_rgb.jpg"), {"semantic_segmentation": _comma_semantic}),
    "coco": (
        "coco-cc",
        _coco,
        {"instance_segmentation": _coco_instances, "semantic_segmentation": _coco_semantic},
    ),
    "coco_captions": ("coco-cc", _coco_captions, {"image_generation": None}),
    "pets": (
        "oxford-pets-3breeds",
        _pets,
        {"referring_segmentation": _pet_region, "image_generation": None},
    ),
}
