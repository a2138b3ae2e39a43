"""Text to image: the answer is the picture itself, so encoding and decoding change nothing."""

import itertools
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from vision_banana.metrics.metric import Metric
from vision_banana.tasks import pictures
from vision_banana.tasks.task import Answer, Example, Task

# The caption alone stands half of the time, so that a bare caption is always understood.
FRAMES = (
    "{}",
    "{}",
    "{}",
    "a picture of {}",
    "an image of {}",
    "generate a picture of {}",
)


def _prompt(example: Example, rng: np.random.Generator) -> str:
    caption = str(example.words["caption"]).strip()
    if not caption:
        raise ValueError(f"image_generation: the caption of {example.key} is empty; give it words")
    return FRAMES[rng.integers(len(FRAMES))].format(caption)


def _metric(**options: Any) -> Metric:
    # Imported where it is used: training never scores pictures.
    from vision_banana.metrics import text_to_image

    agreement = text_to_image.caption_agreement(**options)

    def update(state: Any, answer: Answer, examples: Sequence[Example]) -> Any:
        objects = [example.words["objects"] for example in examples]
        relations = [example.words["relations"] for example in examples]
        return agreement.update(state, answer["rgb"], objects, relations)

    return agreement._replace(update=update)


def _blind(examples: Iterable[Example]) -> Callable[[Sequence[Example]], Answer]:
    """Answers each caption with the true picture of another: the next one's, the last the first's.

    A caption that stands alone gets a training picture.
    """
    training = [example.label for example in itertools.islice(examples, 1)]

    def answer(examples: Sequence[Example]) -> Answer:
        labels = [example.label for example in examples]
        return pictures.read(np.stack(labels[1:] + labels[:1] if len(labels) > 1 else training), ())

    return answer


def _error(answer: Answer, i: int, example: Example) -> np.ndarray:
    """Returns NaN everywhere: a caption has many right pictures, and no pixel of them is wrong."""
    del answer, i
    return np.full(example.valid.shape, np.nan)


TASK = Task(
    name="image_generation",
    prompt=_prompt,
    draw=pictures.draw,
    read=pictures.read,
    metric=_metric,
    perfect={
        "color_present": 1.0,
        "color_on_shape": 1.0,
        "color_on_family": 1.0,
        "count": 1.0,
        "position": 1.0,
        "all_correct": 1.0,
    },
    blind=_blind,
    picture=pictures.picture,
    error=_error,
    draws=True,
)
