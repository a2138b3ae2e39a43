"""A tiny source and two tiny tasks, for tests of the mixture and of the pipeline."""

import numpy as np

from vision_banana.data import source
from vision_banana.tasks.task import Example, Task


class Fake:
    """Record i is a picture whose every pixel is i / 255; some records are bad."""

    tasks = ("depth", "image_generation", "image_editing")

    def __init__(self, size=4, count=200, bad=(), pictures=1, second=(4, 4)):
        self.name = "fake"
        self._size, self._count, self._bad, self._pictures = size, count, bad, pictures
        self._second = second

    def __len__(self):
        return self._count

    def example(self, index, task):
        if index in self._bad:
            raise source.BadRecord(f"fake/{index}", "broken: no use")
        shape = (self._size, self._size)
        picture = np.full((*shape, 3), index / 255, np.float32)
        valid = np.ones(shape, bool)
        if task == "depth":
            label = np.tile(np.arange(self._size, dtype=np.float32), (self._size, 1))
            return Example(task, f"fake/{index}", (picture,), label, valid, {})
        if task == "image_editing":
            other = np.full((*self._second, 3), 1 - index / 255, np.float32)
            two = (picture, other)[: self._pictures]
            return Example(task, f"fake/{index}", two, picture, valid, {"instruction": "left"})
        return Example(task, f"fake/{index}", (), picture, valid, {"caption": f"number {index}"})


def prompt(example, rng):
    words = example.words
    text = words.get("caption", words.get("instruction", "depth map"))
    return f"{text} {rng.integers(1000)}"


def draw(example, prompt, rng):
    label = example.label
    rgb = label if label.ndim == 3 else np.repeat(label[..., None] / 10, 3, axis=-1)
    return rgb, example.valid.astype(np.float32)


def _task(name):
    return Task(name, prompt, draw, None, None, {}, None, None, None)


TASKS = {name: _task(name) for name in Fake.tasks}


def entry(references=1, tasks=None, weight=1.0, flip=False, **arguments):
    """A row of a mixture on the fake source."""
    return {
        "source": {"name": "fake_source:Fake", **arguments},
        "tasks": tasks
        or ({"depth": 3, "image_generation": 1} if references else {"image_generation": 1}),
        "weight": weight,
        "references": references,
        "flip": flip,
    }
