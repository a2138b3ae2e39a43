"""Answers about pictures of any size: ask at the model's size, decode, then `resize` the answer."""

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from vision_banana.evaluation import ask as ask_lib
from vision_banana.evaluation import predict, resize
from vision_banana.evaluation.questions import Question
from vision_banana.models.generator import Generator, Params
from vision_banana.tasks import TASKS
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
    shown = [resize.smooth(picture, (size, size)) for picture in pictures]
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


def _reply(question: Question, rgb: np.ndarray, own: tuple[int, int]) -> Reply:
    task = TASKS[question.task]
    answer = task.read(rgb[None], [question.prompt])
    answer = resize.answer(answer, rgb.shape[:2], own)
    to_own = resize.smooth if question.task in PICTURE_TASKS else resize.nearest
    return Reply(question, to_own(rgb, own), answer, np.asarray(task.picture(answer, 0)))
