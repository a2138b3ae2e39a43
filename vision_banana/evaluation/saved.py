"""Predictions kept on disk, in their own units at the picture's own size."""

import os
import pathlib
from typing import Any

import numpy as np

from vision_banana.evaluation import units
from vision_banana.evaluation.plans import Query
from vision_banana.tasks.task import Answer

# Types that hold every value and take less room.
_TYPES = {"labels": np.uint8, "ids": np.uint16, "confidence": np.float16}


def path(folder: str | os.PathLike[str], task: str, steps: int, record: int) -> pathlib.Path:
    """Where an answer is kept: FOLDER/TASK/STEPS/RECORD.npz."""
    return pathlib.Path(folder) / task / str(steps) / f"{record:06d}.npz"


def holds(
    folder: str | os.PathLike[str], evaluation: str, task: str, steps: int, record: int
) -> bool:
    """Whether an answer of this evaluation, see `save`, is kept."""
    file = path(folder, task, steps, record)
    if not file.exists():
        return False
    with np.load(file, allow_pickle=False) as kept:
        return "evaluation" in kept and str(kept["evaluation"]) == evaluation


def save(
    folder: str | os.PathLike[str],
    query: Query,
    steps: int,
    answer: Answer,
    evaluation: str = "",
) -> pathlib.Path:
    """Writes an answer, a batch of one, whole or not at all; see `path`.

    The file holds the answer's arrays without the batch axis (`depth` (H, W) float32 metres,
    `normals` (H, W, 3), `labels`, `ids`, `masks` (K, H, W) or `rgb`), `confidence` (H, W)
    float16, for an edit the `picture` that was edited, (H, W, 3) uint8, and the texts `key`,
    `prompt`, `evaluation` (the digest of the settings, `Records.digest`) and, for labels and
    masks, `names`. `np.load` reads it without pickle.
    """
    file = path(folder, query.example.task, steps, query.record)
    file.parent.mkdir(parents=True, exist_ok=True)
    texts = {"key": query.example.key, "prompt": query.prompt, "evaluation": evaluation}
    arrays: dict[str, Any] = {name: np.array(text) for name, text in texts.items()}
    for name in (*units.UNITS, "rgb", "confidence"):
        if name in answer:
            one = np.asarray(answer[name])[0]
            arrays[name] = one.astype(_TYPES.get(name, one.dtype))
    if "names" in answer:
        arrays["names"] = np.array(answer["names"][0])
    if query.example.task == "image_editing" and query.picture is not None:
        arrays["picture"] = np.rint(np.clip(query.picture, 0, 1) * 255).astype(np.uint8)
    partial = file.with_suffix(".partial")
    with partial.open("wb") as opened:
        np.savez_compressed(opened, allow_pickle=False, **arrays)
    return partial.replace(file)
