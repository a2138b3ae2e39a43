"""Answers that are the picture itself, of the tasks that make pictures: no code, none to read."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from vision_banana.tasks.task import Answer, Example


def draw(example: Example, prompt: str, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """The label, (H, W, 3) float32 in [0, 1], grey where it is unknown; see `Task.draw`."""
    del prompt, rng
    rgb = np.where(example.valid[..., None], example.label, 0.5)
    return rgb.astype(np.float32), example.valid.astype(np.float32)


def read(rgb: Any, prompts: Sequence[str]) -> Answer:
    """Returns `rgb`, (B, H, W, 3) float32 in [0, 1], and a `confidence` of 1 everywhere."""
    del prompts
    rgb = np.asarray(rgb, np.float32)
    return {"rgb": rgb, "confidence": np.ones(rgb.shape[:-1], np.float32)}


def picture(answer: Answer, i: int) -> np.ndarray:
    """The i-th answer as it is, (H, W, 3)."""
    return answer["rgb"][i]
