"""The best answers that never look at the picture, learnt from training labels."""

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from vision_banana.data.source import BadRecord, Source
from vision_banana.evaluation import resize
from vision_banana.tasks.task import Answer, Example, Task

RECORDS = 512  # training records that the blind answer learns from
BATCH = 16  # examples answered at once


def fit(training: Source, tasks: Mapping[str, Task], size: int = 0) -> dict[str, Any]:
    """Fits each task's blind answer on the labels of the first training records.

    Args:
      training: the records.
      tasks: name -> Task, what is answered.
      size: side of the square that every label is resized to; 0 keeps its own size.
    """
    records = range(min(RECORDS, len(training)))
    # Record by record, since another task's label of the same record is cheap.
    seen: dict[str, list[Example]] = {name: [] for name, task in tasks.items() if not task.draws}
    for index in records:
        for name in seen:
            seen[name] += _usable(training, name, [index], size)
    # The blind answers of those that draw need few records or none, so they take what they need.
    return {
        name: task.blind(seen[name] if name in seen else _usable(training, name, records, size))
        for name, task in tasks.items()
    }


def _usable(source: Source, task: str, indices: Iterable[int], size: int) -> Iterator[Example]:
    for index in indices:
        with contextlib.suppress(BadRecord):
            example = source.example(index, task)
            yield resize.example(example, (size, size)) if size else example


def answers(
    answer: Callable[[Sequence[Example]], Answer], examples: Sequence[Example]
) -> Iterator[Answer]:
    """A task's blind answers to examples, batches of one."""
    for start in range(0, len(examples), BATCH):
        part = examples[start : start + BATCH]
        yield from ones(answer(part), len(part))


def ones(answer: Answer, count: int) -> Iterator[Answer]:
    """A batch's answer as `count` batches of one."""
    for i in range(count):
        yield {name: value[i : i + 1] for name, value in answer.items()}
