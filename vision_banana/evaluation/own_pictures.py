"""Answers about pictures of any size: ask at the model's size, decode, then resize the answer.

A picture is resized to the square that the model was trained on, aspect ratio and all. The answer
is decoded at that size and only then brought to the picture's own, by the nearest pixel, since a
mixture of two colours of a code is neither's meaning. Pictures that are themselves the answer
(generation, editing) are resized smoothly.
"""

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from PIL import Image

from vision_banana.evaluation import ask as ask_lib
from vision_banana.evaluation import predict
from vision_banana.evaluation.questions import Question
from vision_banana.models.generator import Generator, Params
from vision_banana.tasks import TASKS, semantic_segmentation
from vision_banana.tasks.task import Answer
from vision_banana.text import tokenizer

PICTURE_TASKS = ("image_generation", "image_editing")  # the picture is the answer


class Reply(NamedTuple):
    """An answer at the picture's own size.

    Attributes:
      question: what was asked.
      rgb: (H, W, 3) float32 in [0, 1], what the model drew.
      answer: what the task reads from it, a batch of one.
      picture: (H, W, 3) float32, the answer for people.
    """

    question: Question
    rgb: np.ndarray
    answer: Answer
    picture: np.ndarray


def check(questions: Sequence[Question], text_length: int, size: int) -> None:
    """Checks that every prompt can be read, by the model and by its task's decoder.

    Raises:
      ValueError: an empty or too long prompt, or one without the colours that decoding needs.
    """
    blank = np.zeros((1, size, size, 3), np.float32)  # of the size that is compiled for anyway
    for task, prompt in questions:
        tokenizer.encode(prompt, text_length)
        TASKS[task].read(blank, [prompt])


def ask(
    model: Generator,
    params: Params,
    questions: Sequence[Question],
    pictures: Sequence[np.ndarray],
    *,
    size: int,
    seed: int = 0,
    **sampling: Any,
) -> list[Reply]:
    """Asks questions about one or two pictures, or for pictures from words alone.

    Args:
      model: the generator.
      params: its weights.
      questions: what to ask; a task that looks at one picture sees the first.
      pictures: zero, one or two pictures, each (H, W, 3) RGB in [0, 1].
      size: side of the square that the model works on, in pixels.
      seed: of the noise.
      **sampling: `steps`, `solver`, guidance; see `predict.build`.

    Returns:
      A reply to each question, of the first picture's size, or the model's where there is none.

    Raises:
      ValueError: a prompt that cannot be read; see `check`.
    """
    check(questions, model.text_length, size)
    shown = [smooth(picture, (size, size)) for picture in pictures]
    put = ask_lib.build(predictor(model, **sampling), params, model.text_length, groups=2)
    seen = [len(shown) if task == "image_editing" else min(len(shown), 1) for task, _ in questions]
    groups = [
        ask_lib.Group(
            tuple(q.prompt for q, n in zip(questions, seen, strict=True) if n == count),
            tuple(shown[:count]),
            (size, size),
        )
        for count in sorted(set(seen))
    ]
    drawn = dict(zip(sorted(set(seen)), map(list, put(groups, jax.random.key(seed))), strict=True))
    own = pictures[0].shape[:2] if shown else (size, size)
    return [_reply(q, drawn[n].pop(0), own) for q, n in zip(questions, seen, strict=True)]


@functools.lru_cache(maxsize=8)
def predictor(model: Generator, **sampling: Any) -> predict.Predict:
    """`predict.build`, remembered, so that the next picture is not compiled for anew."""
    return predict.build(model, **sampling)


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


def _reply(question: Question, rgb: np.ndarray, own: tuple[int, int]) -> Reply:
    task = TASKS[question.task]
    answer = task.read(rgb[None], [question.prompt])
    answer = {name: _own_size(value, rgb.shape[:2], own, name) for name, value in answer.items()}
    resize = smooth if question.task in PICTURE_TASKS else nearest
    return Reply(question, resize(rgb, own), answer, np.asarray(task.picture(answer, 0)))


def _own_size(value: Any, drawn: tuple[int, int], own: tuple[int, int], name: str) -> Any:
    """Resizes the arrays of an answer that have a value for each pixel; the rest stays."""
    if not isinstance(value, np.ndarray | jax.Array) or value.ndim < 3:
        return value
    value = np.asarray(value)
    if name == "rgb":
        return smooth(value[0], own)[None]
    if value.shape[1:3] == drawn:  # (1, H, W, ...)
        return nearest(value[0], own)[None]
    if value.shape[-2:] == drawn:  # (1, K, H, W)
        return semantic_segmentation.resize_nearest(value, own)
    return value
