"""Scores a generator on a source's records, task by task, beside answers that need no generator.

Every record is asked all of its tasks. Each answer is decoded by its task and scored by the
task's metric at every step count; beside them stand the blind answer (the best one that never
looks at the picture, learnt from training labels) and the true answer, drawn and read back, which
shows what the code and the judge themselves lose. Pictures of another size than the generator's
are asked at its size, and the decoded answer is scored at their own.
"""

import dataclasses
import functools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from vision_banana import tasks as task_registry
from vision_banana.data.source import BadRecord, Source
from vision_banana.evaluation import ask as ask_lib
from vision_banana.evaluation import blind, confidence, judge, plans, predict, resize
from vision_banana.evaluation.ask import Ask, Group
from vision_banana.evaluation.plans import How, Plan, Query
from vision_banana.evaluation.records import Entry, Records, picture_key
from vision_banana.evaluation.totals import Column
from vision_banana.metrics.calibration import Curve
from vision_banana.metrics.metric import Metric
from vision_banana.tasks.task import Answer, Example, Task
from vision_banana.text import tokenizer
from vision_banana.training.trained import Trained

CHUNK = 64  # records held in memory at once
READ = 16  # pictures decoded at once

# These have no picture to look at or pictures of their own, so they share no group.
GUIDED = ("image_generation",)


def guidance(task: str, text_guidance: float) -> float:
    """The weight of the text that a task is really asked with; 1, which is none, but for GUIDED."""
    return text_guidance if task in GUIDED else 1.0


class Asker(NamedTuple):
    """How a generator is asked at one step count: plainly, and guided by the text."""

    plain: Ask
    guided: Ask


def asker_of(trained: Trained, steps: int, text_guidance: float = 1.0, groups: int = 8) -> Asker:
    """Asks a trained generator.

    Args:
      trained: the generator.
      steps: sampling steps.
      text_guidance: weight of the text where a picture is drawn from words alone; everything else
        is asked without.
      groups: pictures of a batch.
    """
    build = functools.partial(predict.build, trained.model, steps=steps, shift=trained.shift)
    plain, guided = build(), build(text_guidance=text_guidance)
    length = trained.model.text_length
    return Asker(*(ask_lib.build(p, trained.params, length, groups) for p in (plain, guided)))


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
    how: How = How(),  # noqa: B008  (it is immutable)
    records: Records | None = None,
    shards: int = 1,
    shard: tuple[int, int] = (0, 1),
    keep: Callable[[Query, int, Answer], object] | None = None,
    is_kept: Callable[[str, int, int], bool] | None = None,
) -> Records:
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
      how: whether and how each question is asked more than once.
      records: gets every record's scores as they come; what it holds is not asked again, but for
        the records that could not be asked, which are tried again.
      shards: into how many parts the generator's mesh divides a batch. Of a released set, whose
        pictures are large, as many records are held in memory where that is more than READ, but no
        more than CHUNK.
      shard: (i, n): this process asks every n-th chunk of records, from the i-th on.
      keep: gets every (query, steps, answer), the answer a batch of one at the picture's size.
      is_kept: `(task, steps, record) -> bool`, whether `keep` has that answer from before; where
        it has not, a record that is scored is asked again. None: as if it had all.

    Returns:
      `records`, or new ones: `totals.scores` sums them up.

    Raises:
      ValueError: the source has fewer records.
    """
    if not 1 <= count <= len(source):
        raise ValueError(f"count is {count}: {source.name} has {len(source)} records")
    metrics = confidence.metrics_of(tasks)
    records = Records(metrics) if records is None else records
    chunk = CHUNK if training else max(READ, min(shards, CHUNK))
    starts = range(0, count, chunk)[shard[0] :: shard[1]]
    todo = []
    for start in starts:
        part = range(start, min(start + chunk, count))
        parts = _to_ask(part, tasks, list(askers), records, is_kept)
        todo += [(start, indices, names) for indices, names in parts]
    learn = functools.cache(lambda: blind.fit(training, tasks, size) if training else {})
    for start, indices, names in progress(todo):
        bad: dict[str, list[tuple[int, BadRecord]]] = {name: [] for name in names}
        chosen = {name: tasks[name] for name in names}
        asked = queries(
            source, chosen, indices, seed, text_length, size, bad, how, released=training is None
        )
        planned, unplanned = _plans(chosen, asked, how, text_length, seed)
        made = {name: [plan for _, plan in pairs] for name, pairs in planned.items()}
        key = jax.random.fold_in(jax.random.key(seed), start)
        found = {
            steps: _answers(chosen, made, asker, key, how.calibrations.get(steps, {}))
            for steps, asker in askers.items()
        }
        for name, pairs in planned.items():
            rows = [q for q, _ in pairs]
            columns: dict[Column, Iterable[Answer]] = {c: found[c][name] for c in askers}
            if keep:
                for steps, answers in found.items():
                    for q, answer in zip(rows, answers[name], strict=True):
                        keep(q, steps, _own_size(answer, q))
            if training and rows:
                truths = _decoded(tasks[name], [q.truth() for q in rows], [q.prompt for q in rows])
                asked_at = [resize.example(q.example, q.shape) for q in rows]
                guesses = blind.answers(learn()[name], asked_at)
                columns = {"blind": guesses, "truth": truths, **columns}
            records.add(_entries(name, metrics[name], rows, columns))
            failed = (*bad[name], *unplanned[name])
            records.add(Entry(i, name, e.key, e.reason, {}) for i, e in failed)
    return records


def _to_ask(
    part: Sequence[int],
    tasks: Mapping[str, Task],
    steps: Sequence[int],
    records: Records,
    is_kept: Callable[[str, int, int], bool] | None,
) -> list[tuple[list[int], list[str]]]:
    """The records of a chunk to ask, and which tasks: all of it, or each task's that failed.

    All where a record is not scored yet, or its answer is not kept, since a chunk shares its noise;
    none where nothing is to do.
    """
    everything = [(list(part), list(tasks))]
    if records.missing(part, list(tasks)):
        return everything
    scored = [(i, name) for i in part for name in tasks if not records.failed(i, name)]
    if is_kept and not all(is_kept(name, n, i) for i, name in scored for n in steps):
        return everything
    failed = {name: [i for i in part if records.failed(i, name)] for name in tasks}
    return [(indices, [name]) for name, indices in failed.items() if indices]


def _entries(
    task: str, metric: Metric, rows: Sequence[Query], columns: Mapping[Column, Iterable[Answer]]
) -> Iterator[Entry]:
    """Scores each record's answers of every column."""
    names = [str(c) for c in columns]
    for q, answers in zip(rows, zip(*columns.values(), strict=True), strict=True):
        states = [metric.update(metric.init(), _own_size(a, q), [q.example]) for a in answers]
        picture = picture_key(q.example.references)
        scored = dict(zip(names, states, strict=True))
        yield Entry(q.record, task, q.example.key, "", scored, picture, q.unasked)


def _own_size(answer: Answer, q: Query) -> Answer:
    """An answer, a batch of one decoded at the drawn size, at its picture's own size."""
    own = q.example.valid.shape
    drawn = np.shape(answer["confidence"])[1:]
    return answer if drawn == own else resize.answer(answer, q.shape, own)


def _plans(
    tasks: Mapping[str, Task],
    asked: Mapping[str, list[Query]],
    how: How,
    text_length: int,
    seed: int,
) -> tuple[dict[str, list[tuple[Query, Plan]]], dict[str, list[tuple[int, BadRecord]]]]:
    """By task, the queries that can be asked with their plans, and the records of the others."""
    numbers = {name: number for number, name in enumerate(task_registry.TASKS)}

    def made(name: str, q: Query) -> Plan:
        rng = np.random.default_rng((seed, q.record, numbers[name], 1))
        asked = functools.partial(plans.plan, tasks[name], q, how, text_length, rng)
        if q.unasked:
            asked = functools.partial(judge.unanswered, q)
        return judge.heard(tasks[name], q, how.present, asked)

    planned: dict[str, list[tuple[Query, Plan]]] = {name: [] for name in asked}
    unplanned: dict[str, list[tuple[int, BadRecord]]] = {name: [] for name in asked}
    for name, rows in asked.items():
        for q in rows:
            try:
                planned[name].append((q, made(name, q)))
            except tokenizer.PromptTooLong as e:
                unplanned[name].append((q.record, _too_long(q.example, e)))
    return planned, unplanned


def _answers(
    tasks: Mapping[str, Task],
    made: Mapping[str, Sequence[Plan]],
    asker: Asker,
    key: jax.Array,
    curves: Mapping[str, Curve],
) -> dict[str, list[Answer]]:
    """Carries out plans; the answers, batches of one, in their order."""
    put = {name: [q for plan in rows for q in plan.queries] for name, rows in made.items()}
    drawn = draw(asker, put, key)
    joined: dict[str, list[Answer]] = {}
    for name, rows in made.items():
        read_back = _decoded(tasks[name], drawn[name], [q.prompt for q in put[name]])
        joined[name] = [plan.join([next(read_back) for _ in plan.queries]) for plan in rows]
        if name in curves:
            joined[name] = [confidence.calibrated(a, curves[name]) for a in joined[name]]
    return joined


def _decoded(task: Task, drawn: Sequence[np.ndarray], prompts: Sequence[str]) -> Iterator[Answer]:
    for start in range(0, len(drawn), READ):
        part = drawn[start : start + READ]
        yield from blind.ones(read(task, part, prompts[start : start + READ]), len(part))


def queries(
    source: Source,
    tasks: Mapping[str, Task],
    indices: Iterable[int],
    seed: int,
    text_length: int,
    size: int = 0,
    bad: Mapping[str, list[tuple[int, BadRecord]]] | None = None,
    how: How = How(),  # noqa: B008  (it is immutable)
    released: bool = False,
) -> dict[str, list[Query]]:
    """Asks each record each task; one that cannot be asked goes to its task's list in `bad`.

    A prompt is a function of the seed, the record's index and the task alone. Of a released set a
    question about instances or regions that cannot be put is kept, `Query.unasked`: the official
    evaluators take what has no answer for an empty one.
    """
    numbers = {name: number for number, name in enumerate(task_registry.TASKS)}
    asked: dict[str, list[Query]] = {name: [] for name in tasks}
    for index in indices:
        for name, task in tasks.items():
            rng = np.random.default_rng((seed, index, numbers[name]))
            try:
                own = source.example(index, name)
                example, prompt, unasked = _put(task, own, rng, text_length, how, released)
            except BadRecord as e:
                if bad is not None:
                    bad[name].append((index, e))
                continue
            shape = (size, size) if size else example.valid.shape
            shown = tuple(resize.smooth(picture, shape) for picture in example.references)
            seen = dataclasses.replace(example, references=shown)
            truth = functools.partial(_truth, task, seen, prompt, shape, rng)
            # Pictures of 24 megapixels take 0.3 GB each: only who looks at them keeps them.
            looked_at = name == "image_editing" or how.present is not None
            picture = example.references[0] if looked_at and example.references else None
            asked[name].append(
                Query(index, seen, prompt, shape, functools.cache(truth), picture,
                      plans.phrases(own), unasked)
            )  # fmt: skip
    return asked


def _truth(
    task: Task, example: Example, prompt: str, shape: tuple[int, int], rng: np.random.Generator
) -> np.ndarray:
    return task.draw(resize.example(example, shape), prompt, rng)[0]


def _put(
    task: Task,
    own: Example,
    rng: np.random.Generator,
    text_length: int,
    how: How,
    released: bool,
) -> tuple[Example, str, str]:
    """A record's example as it is asked for, its prompt and `Query.unasked`; see `queries`."""
    try:
        example = plans.rewritten(own, how.rewrite)
        return example, _prompt(task, example, rng, text_length, how), ""
    except BadRecord as e:
        if released and task.name in judge.JUDGED:
            return own, "", e.reason
        raise


def _prompt(
    task: Task, example: Example, rng: np.random.Generator, text_length: int, how: How
) -> str:
    if how.classes_at_once:
        prompt = task.prompt(example, rng)
        if plans.class_parts(task, prompt, how) or tokenizer.count(prompt) <= text_length:
            return prompt
    try:
        return tokenizer.first_fitting(lambda: task.prompt(example, rng), text_length)[0]
    except tokenizer.PromptTooLong as e:
        raise _too_long(example, e) from e


def _too_long(example: Example, error: tokenizer.PromptTooLong) -> BadRecord:
    more = "; fewer classes_at_once make it shorter" if "classes" in example.words else ""
    return BadRecord(example.key, f"no prompt drawn for it fits: {error}{more}")


def draw(
    asker: Asker, asked: Mapping[str, Sequence[Query]], key: jax.Array
) -> dict[str, list[np.ndarray]]:
    """Asks the generator; all perception prompts about a picture in one group.

    Returns:
      For each task the drawn answers in the order of its queries, (H, W, 3) in [0, 1].
    """
    seeing = [name for name in asked if not task_registry.TASKS[name].draws]
    drawing = [name for name in task_registry.TASKS if task_registry.TASKS[name].draws]
    parts = [(0, seeing), *((i, [name]) for i, name in enumerate(drawing, 1) if name in asked)]
    drawn: dict[str, list[np.ndarray]] = {}
    for number, names in parts:
        rows = [(name, q) for name in names for q in asked[name]]
        ask = asker.guided if names and names[0] in GUIDED else asker.plain
        answers = draw_rows(ask, [q for _, q in rows], jax.random.fold_in(key, number))
        drawn |= {name: [] for name in names}
        for (name, _), rgb in zip(rows, answers, strict=True):
            drawn[name].append(rgb)
    return drawn


def draw_rows(ask: Ask, rows: Sequence[Query], key: jax.Array) -> list[np.ndarray]:
    """Asks queries, those about one record's same pictures in one group.

    Args:
      ask: see `ask.build`.
      rows: the queries.
      key: of all noise, or a key for each query.

    Returns:
      What was drawn in the order of the queries, each (H, W, 3) float32 in [0, 1].
    """
    # Records about one picture are not joined: each number of prompts in a group is one more shape
    # to compile, and to look at a picture takes no longer than one step of one answer.
    members: dict[tuple, list[int]] = {}
    for i, q in enumerate(rows):
        pictures = picture_key(q.example.references)
        members.setdefault((q.record, q.shape, pictures), []).append(i)
    groups = [
        Group(
            tuple(rows[i].prompt for i in places),
            rows[places[0]].example.references,
            rows[places[0]].shape,
            key[np.array(places)] if key.ndim else None,
        )
        for places in members.values()
    ]
    answers: dict[int, np.ndarray] = {}
    for places, rgb in zip(members.values(), ask(groups, key), strict=True):
        answers |= dict(zip(places, rgb, strict=True))
    return [answers[i] for i in range(len(rows))]


def read(task: Task, drawn: Sequence[np.ndarray], prompts: Sequence[str]) -> Answer:
    """Decodes up to `READ` drawn answers, filled up to that number so that one shape compiles."""
    missing = max(0, READ - len(drawn))
    rgb = np.stack([*drawn, *[drawn[-1]] * missing])
    answer = task.read(rgb, [*prompts, *[prompts[-1]] * missing])
    return {name: value[: len(drawn)] for name, value in answer.items()}
