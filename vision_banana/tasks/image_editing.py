"""Image editing: one or two pictures and an instruction in, the edited picture out."""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np

from vision_banana.metrics.metric import Metric
from vision_banana.tasks import pictures
from vision_banana.tasks.task import Answer, Example, Task

# The instruction alone stands half of the time, so that a bare instruction is always understood.
FRAMES = (
    "{}",
    "{}",
    "{}",
    "edit the picture: {}",
    "in this image, {}",
    "please {}",
)


class EditState(NamedTuple):
    """Sums over known pixels: |answer - target|, |first reference - target|, RGB values."""

    drawn: np.ndarray
    unedited: np.ndarray
    values: np.ndarray


def edit_error() -> Metric:
    """Returns how far edits lie from their targets, pooled over all pixels of all pictures.

    `update(state, answer, examples)`. `edit_distance` is the mean absolute RGB difference to the
    target, in [0, 1]; `edit_error` is that over the same of the unedited first reference: 0 for
    the target itself, 1 for copying, above 1 for doing harm.
    """

    def init() -> EditState:
        return EditState(np.zeros(()), np.zeros(()), np.zeros(()))

    def update(state: EditState, answer: Answer, examples: Sequence[Example]) -> EditState:
        for rgb, example in zip(answer["rgb"], examples, strict=True):
            known = example.valid
            target = np.asarray(example.label, np.float64)[known]
            drawn = np.abs(np.asarray(rgb)[known] - target).sum()
            unedited = np.abs(example.references[0][known] - target).sum()
            state = merge(state, EditState(drawn, unedited, np.asarray(float(target.size))))
        return state

    def merge(a: EditState, b: EditState) -> EditState:
        return EditState(*(x + y for x, y in zip(a, b, strict=True)))

    def compute(state: EditState) -> dict[str, float]:
        return {
            "edit_error": float(state.drawn / state.unedited) if state.unedited else float("nan"),
            "edit_distance": float(state.drawn / state.values) if state.values else float("nan"),
        }

    return Metric(init, update, merge, compute)


def _prompt(example: Example, rng: np.random.Generator) -> str:
    instruction = str(example.words["instruction"]).strip()
    if not instruction:
        raise ValueError(f"image_editing: the instruction of {example.key} is empty; give it words")
    return FRAMES[rng.integers(len(FRAMES))].format(instruction)


def _blind(examples: Iterable[Example]) -> Callable[[Sequence[Example]], Answer]:
    """Answers with the first reference as it is: nothing is learnt, and nothing is edited."""
    del examples

    def answer(examples: Sequence[Example]) -> Answer:
        return pictures.read(np.stack([example.references[0] for example in examples]), ())

    return answer


def _error(answer: Answer, i: int, example: Example) -> np.ndarray:
    """Returns the mean absolute RGB difference to the target; NaN where the target is unknown."""
    difference = np.abs(np.asarray(answer["rgb"][i], np.float64) - example.label).mean(-1)
    return np.where(example.valid, difference, np.nan)


TASK = Task(
    name="image_editing",
    prompt=_prompt,
    draw=pictures.draw,
    read=pictures.read,
    metric=edit_error,
    perfect={"edit_error": 0.0, "edit_distance": 0.0},
    blind=_blind,
    picture=pictures.picture,
    error=_error,
    draws=True,
)
