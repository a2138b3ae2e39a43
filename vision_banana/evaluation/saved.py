"""Predictions kept on disk, in their own units at the picture's own size."""

import io
import json
import os
from collections.abc import Mapping
from typing import Any

import numpy as np
from etils import epath

from vision_banana.data import pictures
from vision_banana.evaluation import units
from vision_banana.evaluation.plans import Query
from vision_banana.tasks.task import Answer
from vision_banana.training import folders

ORIGIN = "origin.json"
WHOSE = ("run", "checkpoint_step", "benchmark", "seed", "text_guidance")
# Types that hold every value and take less room.
_TYPES = {"labels": np.uint8, "ids": np.uint16, "confidence": np.float16}


def path(folder: str | os.PathLike[str], task: str, steps: int, record: int) -> epath.Path:
    """Where an answer is kept: FOLDER/TASK/STEPS/RECORD.npz."""
    return epath.Path(folder) / task / str(steps) / f"{record:06d}.npz"


def write_origin(folder: str | os.PathLike[str], said: Mapping[str, Any]) -> None:
    """States whose answers a folder holds: `WHOSE`, and `weights` where they are known."""
    file = epath.Path(folder) / ORIGIN
    file.parent.mkdir(parents=True, exist_ok=True)
    folders.write_whole(file, json.dumps(dict(said)))


def origin(folder: str | os.PathLike[str]) -> dict[str, Any]:
    """What `write_origin` stated; ValueError where nothing was, or it cannot be read."""
    file = epath.Path(folder) / ORIGIN
    try:
        said = json.loads(file.read_text())
        weights = {"weights": said["weights"]} if "weights" in said else {}
        return {name: said[name] for name in WHOSE} | weights
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise ValueError(
            f"{file} does not say whose pictures {folder} holds ({error!r}): draw them with "
            "evaluate --save_predictions; what is there already is not drawn again"
        ) from error


def holds(
    folder: str | os.PathLike[str], evaluation: str, task: str, steps: int, record: int
) -> bool:
    """Whether an answer of this evaluation, see `save`, is kept."""
    file = path(folder, task, steps, record)
    if not file.exists():
        return False
    with np.load(io.BytesIO(file.read_bytes()), allow_pickle=False) as kept:
        return "evaluation" in kept and str(kept["evaluation"]) == evaluation


def save(
    folder: str | os.PathLike[str],
    query: Query,
    steps: int,
    answer: Answer,
    evaluation: str = "",
) -> epath.Path:
    """Writes an answer, a batch of one, whole or not at all; see `path`.

    The file holds the answer's arrays without the batch axis (`depth` (H, W) float32 metres,
    `normals` (H, W, 3), `labels`, `ids`, `masks` (K, H, W) or `rgb`), `confidence` (H, W)
    float16, NaN where the question could not be asked, for an edit the `picture` that was edited,
    (H, W, 3) uint8, and the texts `key`, `prompt`, `evaluation` (the digest of the settings,
    `Records.digest`) and, for labels and masks, `names`, the K regions' for masks. `np.load` reads
    it without pickle.
    """
    file = path(folder, query.example.task, steps, query.record)
    file.parent.mkdir(parents=True, exist_ok=True)
    texts = {"key": query.example.key, "prompt": query.prompt, "evaluation": evaluation}
    arrays: dict[str, Any] = {name: np.array(text) for name, text in texts.items()}
    for name in (*units.UNITS, "rgb", "confidence"):
        if name in answer:
            one = np.asarray(answer[name])[0]
            if name == "masks":  # those beyond the prompt's regions only fill up a batch
                one = one[: len(answer["names"][0])]
            arrays[name] = one.astype(_TYPES.get(name, one.dtype))
    if "names" in answer:
        arrays["names"] = np.array(answer["names"][0], np.str_)
    if query.example.task == "image_editing" and query.picture is not None:
        arrays["picture"] = pictures.to_u8(query.picture)
    folders.write_whole(file, npz(arrays))
    return file


def npz(arrays: Mapping[str, Any]) -> bytes:
    """A file of arrays by name, compressed, which `np.load` reads without pickle.

    Raises:
      ValueError: an array of objects, which only a pickle could hold.
    """
    plain = {name: np.asarray(value) for name, value in arrays.items()}
    for name, array in plain.items():
        if array.dtype.hasobject:
            raise ValueError(f"the array {name!r} holds objects: use numbers, or texts of one kind")
    buffer = io.BytesIO()
    # Not `allow_pickle=False`: to NumPy 2.0 that is one more array.
    np.savez_compressed(buffer, **plain)  # type: ignore[arg-type]
    return buffer.getvalue()
