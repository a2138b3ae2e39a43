"""Scores a generator on a source's records, task by task, beside answers that need no generator.

Every record is asked all of its tasks. Each answer is decoded by its task and scored by the
task's metric at every step count; beside them stand the blind answer (the best one that never
looks at the picture, learnt from training labels) and the true answer, drawn and read back, which
shows what the code and the judge themselves lose. Pictures of another size than the generator's
are asked at its size, and the decoded answer is scored at their own.
"""

import collections
import contextlib
import dataclasses
import functools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from vision_banana import tasks as task_registry
from vision_banana.data.source import BadRecord, Source
from vision_banana.evaluation import resize
from vision_banana.evaluation.ask import Ask, Group
from vision_banana.metrics.metric import Metric
from vision_banana.tasks.task import Answer, Example, Task
from vision_banana.text import tokenizer

BLIND_RECORDS = 512  # training records that the blind answer learns from
PROMPTS_TRIED = 20  # drawn prompts of which one must fit the generator's text length
CHUNK = 64  # records held in memory at once
READ = 16  # pictures decoded at once

# These have no picture to look at or pictures of their own, so they share no group.
APART = ("image_generation", "image_editing")
GUIDED = ("image_generation",)

Column = str | int  # "blind", "truth" or a number of steps


class Asker(NamedTuple):
    """How a generator is asked at one step count: plainly, and guided by the text."""

    plain: Ask
    guided: Ask


class Query(NamedTuple):
    """One prompt about one record.

    Attributes:
      record: its index.
      example: with the reference pictures as the generator sees them; label and valid at their
        own size.
      prompt: what is asked.
      shape: (H, W) of the picture that is drawn.
      truth: draws the true answer as a picture, (H, W, 3), at the label's own size.
    """

    record: int
    example: Example
    prompt: str
    shape: tuple[int, int]
    truth: Callable[[], np.ndarray]


class Score(NamedTuple):
    """One task's scores.

    Attributes:
      values: metric name -> value, for each column: each step count, and "blind" and "truth"
        where there are training records.
      asked: records that were asked and scored.
      skipped: records that could not be: unusable, or no drawn prompt fits the generator.
      bad: (key, reason) of each of those.
    """

    values: Mapping[Column, Mapping[str, float]]
    asked: int
    skipped: int
    bad: tuple[tuple[str, str], ...] = ()


def run(
    source: Source,
    training: Source | None,
    tasks: Mapping[str, Task],
    askers: Mapping[int, Asker],
    *,
    count: int,
    text_length: int,
    seed: int,
    size: int = 0,
    progress: Any = iter,
) -> dict[str, Score]:
    """Scores the first `count` records of a source.

    Args:
      source: the scored records.
      training: records for the blind answer, none of them in `source`. None where a released set
        has none: then the generator's scores stand alone.
      tasks: name -> Task, what is asked.
      askers: number of sampling steps -> how the generator is asked.
      count: number of records, at most the source's.
      text_length: the most tokens of a prompt.
      seed: of prompts and noise.
      size: side of the square that the generator is asked at; 0 means each picture's own size.
      progress: wraps the sequence of chunks of records, as `tqdm.tqdm` does.

    Returns:
      Task name -> its score.

    Raises:
      ValueError: the source has fewer records.
    """
    if not 1 <= count <= len(source):
        raise ValueError(f"count is {count}: {source.name} has {len(source)} records")
    metrics = {name: task.metric() for name, task in tasks.items()}
    beside = ("blind", "truth") if training else ()
    columns: tuple[Column, ...] = (*beside, *askers)
    states = {name: {c: metric.init() for c in columns} for name, metric in metrics.items()}
    counts: collections.Counter[str] = collections.Counter()
    bad: dict[str, list[BadRecord]] = {name: [] for name in tasks}
    blind = fit_blind(training, tasks) if training else {}
    chunk = CHUNK if training else READ  # released pictures are large
    for start in progress(range(0, count, chunk)):
        indices = range(start, min(start + chunk, count))
        asked = queries(source, tasks, indices, seed, text_length, size, bad)
        key = jax.random.fold_in(jax.random.key(seed), start)
        drawn = {steps: draw(asker, asked, key) for steps, asker in askers.items()}
        for name, rows in asked.items():
            counts[name] += len(rows)
            rgb: dict[Column, Sequence[np.ndarray]] = {c: drawn[c][name] for c in askers}
            if training:
                rgb["truth"] = [q.truth() for q in rows]
            _tally(tasks[name], metrics[name], states[name], rows, rgb, blind.get(name))
    return {
        name: Score(
            {c: metric.compute(states[name][c]) for c in columns},
            counts[name],
            count - counts[name],
            tuple((e.key, e.reason) for e in bad[name]),
        )
        for name, metric in metrics.items()
    }


def _tally(
    task: Task,
    metric: Metric,
    states: dict[Column, Any],
    rows: Sequence[Query],
    rgb: Mapping[Column, Sequence[np.ndarray]],
    blind: Callable[[Sequence[Example]], Answer] | None,
) -> None:
    """Adds one task's answers, drawn (for each column) and blind, to its states."""
    for start in range(0, len(rows), READ):
        part = rows[start : start + READ]
        examples = [q.example for q in part]
        if blind:
            states["blind"] = metric.update(states["blind"], blind(examples), examples)
        for c, drawn in rgb.items():
            answer = read(task, drawn[start : start + READ], part)
            for scored, of in at_own_size(answer, part):
                states[c] = metric.update(states[c], scored, of)


def at_own_size(
    answer: Answer, asked: Sequence[Query]
) -> Iterator[tuple[Answer, Sequence[Example]]]:
    """A batch's answer at the sizes of its examples: in one piece where nothing is resized."""
    examples = [q.example for q in asked]
    if all(q.shape == q.example.valid.shape for q in asked):
        yield answer, examples
        return
    for i, q in enumerate(asked):
        one = {name: value[i : i + 1] for name, value in answer.items()}
        yield resize.answer(one, q.shape, q.example.valid.shape), examples[i : i + 1]


def fit_blind(training: Source, tasks: Mapping[str, Task]) -> dict[str, Any]:
    """Fits each task's blind answer on the labels of the first training records."""
    records = range(min(BLIND_RECORDS, len(training)))
    # Record by record, since another task's label of the same record is cheap.
    seen: dict[str, list[Example]] = {name: [] for name in tasks if name not in APART}
    for index in records:
        for name in seen:
            seen[name] += _usable(training, name, [index])
    # The blind answers of the others need few records or none, so they take what they need.
    return {
        name: task.blind(seen[name] if name in seen else _usable(training, name, records))
        for name, task in tasks.items()
    }


def _usable(source: Source, task: str, indices: Iterable[int]) -> Iterator[Example]:
    for index in indices:
        with contextlib.suppress(BadRecord):
            yield source.example(index, task)


def queries(
    source: Source,
    tasks: Mapping[str, Task],
    indices: Iterable[int],
    seed: int,
    text_length: int,
    size: int = 0,
    bad: Mapping[str, list[BadRecord]] | None = None,
) -> dict[str, list[Query]]:
    """Asks each record each task; one that cannot be asked goes to its task's list in `bad`.

    A prompt is a function of the seed, the record's index and the task alone.
    """
    numbers = {name: number for number, name in enumerate(task_registry.TASKS)}
    asked: dict[str, list[Query]] = {name: [] for name in tasks}
    for index in indices:
        for name, task in tasks.items():
            rng = np.random.default_rng((seed, index, numbers[name]))
            try:
                example = source.example(index, name)
                prompt = _prompt(task, example, rng, text_length)
            except BadRecord as e:
                if bad is not None:
                    bad[name].append(e)
                continue
            shape = (size, size) if size else example.valid.shape
            shown = tuple(resize.smooth(picture, shape) for picture in example.references)
            seen = dataclasses.replace(example, references=shown)
            truth = functools.partial(_truth, task, seen, prompt, rng)
            asked[name].append(Query(index, seen, prompt, shape, functools.cache(truth)))
    return asked


def _truth(task: Task, example: Example, prompt: str, rng: np.random.Generator) -> np.ndarray:
    return task.draw(example, prompt, rng)[0]


def _prompt(task: Task, example: Example, rng: np.random.Generator, text_length: int) -> str:
    for _ in range(PROMPTS_TRIED):
        prompt = task.prompt(example, rng)
        try:
            tokenizer.encode(prompt, text_length)
        except tokenizer.PromptTooLong:
            continue
        return prompt
    raise BadRecord(example.key, f"{PROMPTS_TRIED} prompts had more than {text_length} tokens")


def draw(
    asker: Asker, asked: Mapping[str, Sequence[Query]], key: jax.Array
) -> dict[str, list[np.ndarray]]:
    """Asks the generator; all perception prompts about a picture in one group.

    Returns:
      For each task the drawn answers in the order of its queries, (H, W, 3) in [0, 1].
    """
    together = [name for name in asked if name not in APART]
    parts = [(0, together)] + [(1 + APART.index(name), [name]) for name in asked if name in APART]
    drawn: dict[str, list[np.ndarray]] = {}
    for number, names in parts:
        rows = [(name, q) for name in names for q in asked[name]]
        ask = asker.guided if names and names[0] in GUIDED else asker.plain
        answers = _draw_rows(ask, [q for _, q in rows], jax.random.fold_in(key, number))
        drawn |= {name: [] for name in names}
        for (name, _), rgb in zip(rows, answers, strict=True):
            drawn[name].append(rgb)
    return drawn


def _draw_rows(ask: Ask, rows: Sequence[Query], key: jax.Array) -> list[np.ndarray]:
    """Asks queries, those about one record's same pictures in one group."""
    members: dict[tuple, list[int]] = {}
    for i, q in enumerate(rows):
        pictures = tuple(picture.tobytes() for picture in q.example.references)
        members.setdefault((q.record, q.shape, pictures), []).append(i)
    groups = [
        Group(
            tuple(rows[i].prompt for i in places),
            rows[places[0]].example.references,
            rows[places[0]].shape,
        )
        for places in members.values()
    ]
    answers: dict[int, np.ndarray] = {}
    for places, rgb in zip(members.values(), ask(groups, key), strict=True):
        answers |= dict(zip(places, rgb, strict=True))
    return [answers[i] for i in range(len(rows))]


def read(task: Task, drawn: Sequence[np.ndarray], asked: Sequence[Query]) -> Answer:
    """Decodes up to `READ` drawn answers, filled up to that number so that one shape compiles."""
    missing = max(0, READ - len(drawn))
    rgb = np.stack([*drawn, *[drawn[-1]] * missing])
    prompts = [q.prompt for q in asked]
    answer = task.read(rgb, [*prompts, *[prompts[-1]] * missing])
    return {name: value[: len(drawn)] for name, value in answer.items()}


def skill(value: float, blind: float, perfect: float) -> float:
    """(value - blind) / (perfect - blind): 0 for the blind answer, 1 for the perfect one.

    NaN where the blind answer is perfect, or where either is unknown.
    """
    return (value - blind) / (perfect - blind) if perfect != blind else float("nan")
