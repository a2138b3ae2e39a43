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


def save(folder: str | os.PathLike[str], query: Query, steps: int, answer: Answer) -> pathlib.Path:
    """Writes an answer, a batch of one, as FOLDER/TASK/STEPS/RECORD.npz.

    The file holds the answer's arrays without the batch axis (`depth` (H, W) float32 metres,
    `normals` (H, W, 3), `labels`, `ids`, `masks` (K, H, W) or `rgb`), `confidence` (H, W)
    float16, and the texts `key`, `prompt` and, for labels and masks, `names`. `np.load` reads it
    without pickle.
    """
    path = pathlib.Path(folder) / query.example.task / str(steps) / f"{query.record:06d}.npz"
    path.parent.mkdir(parents=True, exist_ok=True)
    arrays: dict[str, Any] = {"key": np.array(query.example.key), "prompt": np.array(query.prompt)}
    for name in (*units.UNITS, "rgb", "confidence"):
        if name in answer:
            one = np.asarray(answer[name])[0]
            arrays[name] = one.astype(_TYPES.get(name, one.dtype))
    if "names" in answer:
        arrays["names"] = np.array(answer["names"][0])
    np.savez_compressed(path, **arrays)
    return path
