"""The task mixture: which picture is asked what in the n-th group of a run.

A group is one set of reference pictures and Q queries on it, so that the model looks at a picture
once for all of its queries. Everything about group g of batch k is drawn from (seed, k, g), never
from what came before, so batch k is the same whoever asks for it and whenever.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from vision_banana import tasks as task_registry
from vision_banana.data import record_check, source, sources, transforms
from vision_banana.tasks.task import Example, Task
from vision_banana.text import tokenizer

MAX_REFERENCES = 2
ATTEMPTS = 20  # records tried for one place in a batch before the source counts as broken

# What a random stream is for, so that no two draws share one.
_BUCKET, _GROUP = range(2)


@dataclasses.dataclass(frozen=True)
class Entry:
    """One row of a mixture.

    Attributes:
      source: `name` of the source and its arguments, see `sources.build`.
      tasks: task name -> weight, how often a query asks for it.
      weight: how often a group comes from this row.
      references: places for reference pictures in its groups, 0 to 2. With 0 each query is about
        a record of its own.
      flip: whether half of its groups are mirrored left to right.
    """

    source: Mapping[str, Any]
    tasks: Mapping[str, float]
    weight: float
    references: int
    flip: bool


class Mixture:
    """A random-access sequence of groups; see `pipeline` for how they become batches.

    Args:
      entries: rows, dicts with exactly the fields of `Entry`.
      queries: Q, queries in a group.
      height: of every picture, in pixels.
      width: of every picture, in pixels.
      text_length: L, tokens of a prompt.
      seed: of the run.
      tasks: name -> Task; None means all that exist.

    Raises:
      ValueError: a row with an unknown, missing or impossible field.
    """

    def __init__(
        self,
        entries: Sequence[Mapping[str, Any]],
        queries: int,
        height: int,
        width: int,
        text_length: int,
        seed: int,
        tasks: Mapping[str, Task] | None = None,
    ):
        self._arguments = (entries, queries, height, width, text_length, seed, tasks)
        self.tasks = dict(task_registry.TASKS if tasks is None else tasks)
        self.entries = tuple(_entry(row, i, self.tasks) for i, row in enumerate(entries))
        if not self.entries:
            raise ValueError("the mixture has no entries: name at least one source")
        self.sources = tuple(_source(entry) for entry in self.entries)
        self.queries = queries
        self.height, self.width = height, width
        self.text_length = text_length
        self.seed = seed
        self._numbers = {name: i for i, name in enumerate(self.tasks)}

    def __reduce__(self) -> tuple[Any, ...]:
        # A worker process opens its own files.
        return (Mixture, self._arguments)

    def references(self, step: int) -> int:
        """R of batch `step`: how many reference pictures its groups have room for."""
        weights = np.zeros(MAX_REFERENCES + 1)
        for entry in self.entries:
            weights[entry.references] += entry.weight
        return _pick(self._rng(_BUCKET, step), weights)

    def group(self, step: int, number: int) -> dict[str, Any]:
        """Group `number` of batch `step`.

        Returns:
          target (Q, H, W, 3) float32 in [0, 1], weight (Q, H, W) float32, tokens (Q, L) int32,
          task (Q,) int32, references (R, H, W, 3) float32 in [0, 1], reference_mask (Q, R) bool,
          records, the keys of the records used, and bad, the (key, reason) of every record that
          was tried and replaced.

        Raises:
          ValueError: a source without usable records, or one whose examples contradict the row.
        """
        R = self.references(step)
        bad: list[tuple[str, str]] = []
        if R == 0:
            parts = [self._usable(step, number, q, 0, 1, bad) for q in range(self.queries)]
        else:
            parts = [self._usable(step, number, 0, R, self.queries, bad)]
        records = tuple(part.pop("record") for part in parts)
        group = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        if R > 0:
            group["references"] = parts[0]["references"]
        return {**group, "records": records, "bad": tuple(bad)}

    def _usable(
        self, step: int, number: int, q: int, R: int, count: int, bad: list[tuple[str, str]]
    ) -> dict[str, Any]:
        """The first usable record of those drawn for this place, with `count` queries on it."""
        for attempt in range(ATTEMPTS):
            rng = self._rng(_GROUP, step, number, q, attempt)
            rows = [i for i, entry in enumerate(self.entries) if entry.references == R]
            row = rows[_pick(rng, [self.entries[i].weight for i in rows])]
            index = int(rng.integers(len(self.sources[row])))
            try:
                return self._record(rng, row, index, count)
            except source.BadRecord as e:
                bad.append((e.key, e.reason))
        raise ValueError(
            f"{ATTEMPTS} records in a row could not be used, the last of source "
            f"{dict(self.entries[row].source)}: {bad[-1][0]}: {bad[-1][1]}"
        )

    def _record(self, rng: np.random.Generator, row: int, index: int, count: int) -> dict[str, Any]:
        """`count` queries on one record, all seen in the same view."""
        entry = self.entries[row]
        chosen = _pick_tasks(rng, entry.tasks, count)
        asked = {name: self.sources[row].example(index, name) for name in dict.fromkeys(chosen)}
        for name, example in asked.items():
            record_check.check(example, name)
        _check(entry, list(asked.values()))
        view = transforms.draw_showing(rng, asked.values(), self.height, self.width, entry.flip)
        seen = {name: transforms.apply(view, example) for name, example in asked.items()}
        answers = [self._query(rng, seen[name]) for name in chosen]
        target, weight, tokens = (np.stack(parts) for parts in zip(*answers, strict=True))
        references = np.zeros((entry.references, self.height, self.width, 3), np.float32)
        mask = np.zeros((count, entry.references), bool)
        for q, name in enumerate(chosen):
            for r, picture in enumerate(seen[name].references):
                references[r] = picture
                mask[q, r] = True
        return {
            "target": target,
            "weight": weight,
            "tokens": tokens,
            "task": np.asarray([self._numbers[name] for name in chosen], np.int32),
            "references": references,
            "reference_mask": mask,
            "record": asked[chosen[0]].key,
        }

    def _query(
        self, rng: np.random.Generator, example: Example
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        task = self.tasks[example.task]
        try:
            prompt, tokens = tokenizer.first_fitting(
                lambda: task.prompt(example, rng), self.text_length
            )
            target, weight = task.draw(example, prompt, rng)
        except tokenizer.PromptTooLong as e:
            raise source.BadRecord(example.key, "prompt too long") from e
        except ValueError as e:  # free text can hold what no prompt can say
            raise source.BadRecord(example.key, f"cannot be asked or drawn: {e}") from e
        return np.asarray(target, np.float32), np.asarray(weight, np.float32), tokens

    def _rng(self, *stream: int) -> np.random.Generator:
        return np.random.default_rng((self.seed, *stream))


def _entry(row: Mapping[str, Any], number: int, tasks: Mapping[str, Task]) -> Entry:
    """Checks one row of a mixture."""
    fields = {field.name for field in dataclasses.fields(Entry)}
    if set(row) != fields:
        raise ValueError(
            f"mixture entry {number} has fields {sorted(row)}: it must have {sorted(fields)}"
        )
    entry = Entry(**{name: row[name] for name in fields})
    unknown = set(entry.tasks) - set(tasks)
    if unknown or not entry.tasks:
        raise ValueError(
            f"mixture entry {number} asks for tasks {sorted(entry.tasks)}: it must ask for at "
            f"least one of {sorted(tasks)}"
        )
    weights = [entry.weight, *entry.tasks.values()]
    if not (np.isfinite(weights).all() and min(weights) > 0):
        raise ValueError(f"mixture entry {number} has weights {weights}: they must be above 0")
    if entry.references not in range(MAX_REFERENCES + 1):
        raise ValueError(
            f"mixture entry {number} has references={entry.references}: it must be 0 to "
            f"{MAX_REFERENCES}"
        )
    return entry


def _source(entry: Entry) -> source.Source:
    built = sources.build(entry.source)
    cannot = set(entry.tasks) - set(built.tasks)
    if cannot:
        raise ValueError(
            f"source {built.name} cannot answer {sorted(cannot)}: it has {sorted(built.tasks)}"
        )
    if len(built) == 0:
        raise ValueError(f"source {built.name} has no records: check {dict(entry.source)}")
    return built


def _check(entry: Entry, examples: Sequence[Example]) -> None:
    """The queries of a group must show the same pictures, and no more than there is room for."""
    most = max(examples, key=lambda example: len(example.references))
    if len(most.references) > entry.references:
        raise ValueError(
            f"{most.key} ({most.task}) has {len(most.references)} reference pictures and its "
            f"mixture entry has references={entry.references}: give the task an entry with room"
        )
    for example in examples:
        for mine, shared in zip(example.references, most.references, strict=False):
            if mine is not shared and not np.array_equal(mine, shared):
                raise ValueError(
                    f"{example.key}: {example.task} and {most.task} have different reference "
                    "pictures, so they cannot be queries of one group: use entries of their own"
                )


def _pick_tasks(rng: np.random.Generator, weights: Mapping[str, float], count: int) -> list[str]:
    """Systematic sampling: each task as often as its weight says, twice only where it must be."""
    names = [list(weights)[i] for i in rng.permutation(len(weights))]
    total = np.cumsum([weights[name] for name in names])
    places = (rng.random() + np.arange(count)) / count * total[-1]
    return [names[i] for i in np.searchsorted(total, places, side="right")]


def _pick(rng: np.random.Generator, weights: Sequence[float] | np.ndarray) -> int:
    total = np.cumsum(weights)
    return int(np.searchsorted(total, rng.random() * total[-1], side="right"))


def with_vision_share(
    entries: Sequence[Mapping[str, Any]], share: float
) -> tuple[dict[str, Any], ...]:
    """Scales the weights of tasks so that a given share of all queries asks to see.

    Generation and editing draw; every other task sees. A row of one kind alone stays as it is.

    Args:
      entries: rows of a mixture.
      share: the share of queries that see, in (0, 1); below 0 the rows stay as they are.

    Returns:
      The rows with new weights of tasks.

    Raises:
      ValueError: the rows cannot reach the share.
    """
    if share < 0:
        return tuple(map(dict, entries))
    total = sum(entry["weight"] for entry in entries)
    sees = {name: not task.draws for name, task in task_registry.TASKS.items()}

    def scaled(factor: float) -> tuple[list[dict[str, Any]], float]:
        rows, seen = [], 0.0
        for entry in entries:
            weights = {
                name: weight * (factor if sees[name] else 1.0)
                for name, weight in entry["tasks"].items()
            }
            seeing = sum(weight for name, weight in weights.items() if sees[name])
            seen += entry["weight"] / total * seeing / sum(weights.values())
            rows.append({**entry, "tasks": weights})
        return rows, seen

    low, high = -20.0, 20.0  # of the factor's logarithm, in which the share rises
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if scaled(np.exp(middle))[1] < share else (low, middle)
    rows, seen = scaled(np.exp(high))
    if abs(seen - share) > 1e-6:
        raise ValueError(
            f"config.data.vision_share is {share}, but this mixture reaches {seen:.3f} at the "
            "nearest; change the weights of its rows"
        )
    return tuple(rows)
