"""What a task is: a question put to the generator in words, answered by an RGB picture.

A task is one file in this folder that exposes a `TASK`. The generator knows nothing of tasks, and
a task knows nothing of the generator.
"""

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from vision_banana.metrics.metric import Metric

Answer = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Example:
    """One picture with its true answer, in the label's own units (never colours).

    Attributes:
      task: name of the task, a key of `vision_banana.tasks.TASKS`.
      key: which record this is, for messages ("scenes/train/17").
      references: zero or more pictures, each (H, W, 3) float32 RGB in [0, 1].
      label: the truth; its shape and unit are the task's (see the task's `TASK`).
      valid: (H, W) bool, where the truth is known.
      words: what the prompt is made from (class names, a phrase, a caption); see the task.
    """

    task: str
    key: str
    references: tuple[np.ndarray, ...]
    label: np.ndarray
    valid: np.ndarray
    words: Mapping[str, Any]


class Task(NamedTuple):
    """A task's functions. `prompt` and `draw` run in data workers and use NumPy only.

    Attributes:
      name: the task's name.
      prompt: `(example, rng) -> str` picks wording and colours. Everything that `read` needs can
        be read back from the text.
      draw: `(example, prompt, rng) -> (rgb, weight)`, the answer as a picture, (H, W, 3) float32
        in [0, 1], and the loss weight, (H, W) float32; where the truth is unknown the picture is
        grey 0.5 and the weight 0.
      read: `(rgb, prompts) -> answer`, decodes drawn pictures, (B, H, W, 3) in [0, 1], asked for
        by B prompts. The answer is a dict of arrays with leading axis B (or lists of B), among
        them `confidence`, (B, H, W) in [0, 1].
      metric: `(**options) -> Metric` whose `update(state, answer, examples)` scores an answer
        against B examples.
      perfect: the metric's names that carry a skill, each with its perfect value (1 or 0).
      blind: `(examples) -> f` with `f(examples) -> answer`: the best answer that never looks at
        the picture, learnt from training labels.
      picture: `(answer, i) -> rgb`, the i-th answer as an (H, W, 3) float picture for people.
      error: `(answer, i, example) -> error`, (H, W) float in [0, 1] for people, NaN where the
        truth is unknown.
      again: `(prompt, rng) -> prompt` asks the same in other words: another legend, colour map or
        background. Classes and regions keep their order. None: an answer cannot be voted on.
      draws: the answer is a picture for people, not a code that is read, and so is the label of
        its examples, (H, W, 3) float32 RGB in [0, 1].
      right_below: a pixel whose `error` is below it counts as right, which is what a confidence
        is about; None where a pixel is neither right nor wrong.
    """

    name: str
    prompt: Callable[[Example, np.random.Generator], str]
    draw: Callable[[Example, str, np.random.Generator], tuple[np.ndarray, np.ndarray]]
    read: Callable[[Any, Sequence[str]], Answer]
    metric: Callable[..., Metric]
    perfect: Mapping[str, float]
    blind: Callable[[Iterable[Example]], Callable[[Sequence[Example]], Answer]]
    picture: Callable[[Answer, int], np.ndarray]
    error: Callable[[Answer, int, Example], np.ndarray]
    again: Callable[[str, np.random.Generator], str] | None = None
    draws: bool = False
    right_below: float | None = None
