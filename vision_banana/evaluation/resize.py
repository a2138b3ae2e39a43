"""Between a picture's own size and the square that the generator works on.

A picture is resized to the square that the model was trained on, aspect ratio and all. An answer
is decoded at that size and only then brought to the picture's own, by the nearest pixel, since a
mixture of two colours of a code is neither's meaning. Pictures that are themselves the answer
(generation, editing) are resized smoothly.
"""

import dataclasses
from typing import Any

import jax
import numpy as np
from PIL import Image

from vision_banana.tasks import TASKS, semantic_segmentation
from vision_banana.tasks.task import Answer, Example


def smooth(picture: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resizes an (H, W, 3) picture to (height, width), antialiased as pictures are in training."""
    if picture.shape[:2] == tuple(size):
        return picture
    channels = [
        Image.fromarray(np.ascontiguousarray(picture[..., c], np.float32)).resize(
            (size[1], size[0]), Image.Resampling.BILINEAR
        )
        for c in range(3)
    ]
    return np.stack([np.asarray(channel) for channel in channels], axis=-1)


def nearest(array: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resizes (H, W, ...) to (height, width, ...) by the nearest pixel."""
    turned = np.moveaxis(array, (0, 1), (-2, -1))
    resized = semantic_segmentation.resize_nearest(turned, size)
    return np.moveaxis(resized, (-2, -1), (0, 1))


def example(example: Example, size: tuple[int, int]) -> Example:
    """An example with pictures, label and valid at (height, width), the whole picture squeezed."""
    own, label = example.valid.shape, example.label
    if TASKS[example.task].draws:
        label = smooth(label, size)
    elif label.shape[:2] == own:  # (H, W, ...)
        label = nearest(label, size)
    else:  # (K, H, W)
        label = semantic_segmentation.resize_nearest(label, size)
    return dataclasses.replace(
        example,
        references=tuple(smooth(picture, size) for picture in example.references),
        label=label,
        valid=nearest(example.valid, size),
    )


def answer(answer: Answer, drawn: tuple[int, int], own: tuple[int, int]) -> Answer:
    """A task's answer, a batch of one decoded at size `drawn`, at size `own`."""
    return {name: _value(value, drawn, own, name) for name, value in answer.items()}


def _value(value: Any, drawn: tuple[int, int], own: tuple[int, int], name: str) -> Any:
    """Resizes arrays (1, H, W, ...), and (1, K, H, W) of the name "masks"; the rest stays."""
    if not isinstance(value, np.ndarray | jax.Array) or value.ndim < 3:
        return value
    value = np.asarray(value)
    if name == "rgb":
        return smooth(value[0], own)[None]
    if name == "masks":  # (1, K, H, W), also where K is H and H is W
        return semantic_segmentation.resize_nearest(value, own)
    if value.shape[1:3] == drawn:  # (1, H, W, ...)
        return nearest(value[0], own)[None]
    return value
