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


class Asked(NamedTuple):
    """Questions about one set of pictures.

    Attributes:
      questions: what to ask; a task that looks at one picture sees the first.
      pictures: zero, one or two pictures, each (H, W, 3) RGB in [0, 1].
    """

    questions: Sequence[Question]
    pictures: Sequence[np.ndarray]


def ask(
    model: Generator,
    params: Params,
    asked: Sequence[Asked],
    *,
    size: int,
    seed: int = 0,
    groups: int = 8,
    **sampling: Any,
) -> list[list[Reply]]:
    """Asks questions about pictures, or for pictures from words alone.

    The model looks at a set of pictures once for all of its questions.

    Args:
      model: the generator.
      params: its weights.
      asked: what to ask about which pictures.
      size: side of the square that the model works on, in pixels.
      seed: of the noise.
      groups: sets of pictures that are looked at together.
      **sampling: `steps`, `solver`, guidance; see `predict.build`.

    Returns:
      For each set a reply to each question, of its first picture's size, or the model's where
      there is none.

    Raises:
      ValueError: a prompt that cannot be read; see `check`.
    """
    check([q for questions, _ in asked for q in questions], model.text_length, size)
    put = ask_lib.build(predictor(model, **sampling), params, model.text_length, groups)
    asked_of: list[ask_lib.Group] = []
    places: dict[tuple[int, int], int] = {}  # (set, pictures seen) -> group
    for i, (questions, pictures) in enumerate(asked):
        shown = tuple(resize.smooth(picture, (size, size)) for picture in pictures)
        for count in sorted({len(seen(q, shown)) for q in questions}):
            prompts = tuple(q.prompt for q in questions if len(seen(q, shown)) == count)
            places[i, count] = len(asked_of)
            asked_of.append(ask_lib.Group(prompts, shown[:count], (size, size)))
    drawn = [list(rgb) for rgb in put(asked_of, jax.random.key(seed))]
    return [
        [
            _reply(
                q,
                drawn[places[i, len(seen(q, pictures))]].pop(0),
                pictures[0].shape[:2] if pictures else (size, size),
            )
            for q in questions
        ]
        for i, (questions, pictures) in enumerate(asked)
    ]


def seen(question: Question, pictures: Sequence[np.ndarray]) -> Sequence[np.ndarray]:
    """Those of the pictures that a question is about."""
    return pictures if question.task == "image_editing" else pictures[:1]


@functools.lru_cache(maxsize=8)
def predictor(model: Generator, **sampling: Any) -> predict.Predict:
    """`predict.build`, remembered, so that the next picture is not compiled for anew."""
    return predict.build(model, **sampling)


def _reply(question: Question, rgb: np.ndarray, own: tuple[int, int]) -> Reply:
    task = TASKS[question.task]
    answer = task.read(rgb[None], [question.prompt])
    answer = resize.answer(answer, rgb.shape[:2], own)
    if "masks" in answer:  # those beyond the prompt's regions only fill up a batch
        answer["masks"] = answer["masks"][:, : len(answer["names"][0])]
    to_own = resize.smooth if question.task in PICTURE_TASKS else resize.nearest
    return Reply(question, to_own(rgb, own), answer, np.asarray(task.picture(answer, 0)))
