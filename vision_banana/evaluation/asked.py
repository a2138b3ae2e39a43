"""What an evaluation asks: which tasks, of which records, and in which way."""

import dataclasses
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from vision_banana.data import language, samples, scenes
from vision_banana.data.source import BadRecord, Source
from vision_banana.evaluation import ask, benchmarks, check, plans, score, tiles
from vision_banana.evaluation.plans import How
from vision_banana.evaluation.records import Records
from vision_banana.tasks.task import Task
from vision_banana.training.trained import Trained

GROUPS = 8  # pictures of a batch; fewer where each is asked many times


@dataclasses.dataclass(frozen=True)
class Asked:
    """What is asked, of which records, and how.

    Attributes:
      trained: the generator.
      row: the benchmark.
      tasks: name -> Task, as the benchmark scores it.
      source: the benchmark's records.
      count: how many are scored, the first ones.
      size: side of the square that a picture is resized to.
      steps: numbers of sampling steps.
      how: how each question is put.
      origin: of every result line: run, checkpoint_step, weights, benchmark, seed and
        text_guidance.
    """

    trained: Trained
    row: benchmarks.Benchmark
    tasks: Mapping[str, Task]
    source: Source
    count: int
    size: int
    steps: tuple[int, ...]
    how: How
    origin: Mapping[str, Any]

    def settings(self) -> dict[str, Any]:
        """The way of asking and the rules of scoring, as they stand in the result lines."""
        how = self.how
        return {
            "votes": how.votes, "flips": how.votes > 1 and how.flips, "apart": how.apart,
            "classes_at_once": how.classes_at_once or None, "answered_at": self.size,
            "tile": how.tile or None, "present": _name(how.present), "rewrite": _name(how.rewrite),
            "rules": dict(self.row.rules),
        }  # fmt: skip

    def way(self, steps: int) -> dict[str, Any]:
        """What a calibration is fitted for."""
        return {"benchmark": self.row.name, "steps": steps, **self.settings()}

    def run(self, source: Source, training: Source | None = None, **options: Any) -> Records:
        """Asks the first `count` records of a source; see `score.run`."""
        groups = max(1, GROUPS // self.how.votes)
        guidance, seed = self.origin["text_guidance"], self.origin["seed"]
        askers = {n: score.asker_of(self.trained, n, guidance, groups) for n in self.steps}
        length = self.trained.model.text_length
        return score.run(
            source, training, self.tasks, askers, count=self.count, text_length=length, seed=seed,
            size=self.size, shards=ask.shards_of(self.trained.params),
            **{"how": self.how, **options},
        )  # fmt: skip


def _name(function: Any) -> str | None:
    """A plugged in function as result lines name it, module:function."""
    if function is None:
        return None
    name = getattr(function, "__qualname__", None)
    return f"{function.__module__}:{name}" if name else repr(function)


def scorable(names: Sequence[str], row: benchmarks.Benchmark) -> Mapping[str, Task]:
    """The tasks by name, without those whose metric needs something that is not installed."""
    unknown = [name for name in names if name not in row.tasks]
    if unknown:
        raise ValueError(
            f"benchmark {row.name!r} has no task {', '.join(map(repr, unknown))}: it has "
            f"{', '.join(row.tasks)}"
        )
    kept = {}
    for name in names:
        task = benchmarks.scored_task(row, name)
        try:
            task.metric()
        except ImportError as error:
            print(f"{name} is not scored: {error}", file=sys.stderr)
        else:
            kept[name] = task
    return kept


def opened(row: benchmarks.Benchmark, size: int, data: str, count: int) -> tuple[Source, int, bool]:
    """A benchmark's records, how many are scored, and whether those are the whole benchmark."""
    source = benchmarks.open_source(row.source, size, data)
    complete = row.training is not None or check.released(source) == row.records
    if not count and not complete:
        raise ValueError(
            f"{row.name} has {row.records} records and {data} {check.released(source)}: --check "
            "says what is missing; a part can be scored with --count"
        )
    all_of_it = row.records if row.training is not None else len(source)
    count = count or all_of_it
    return benchmarks.Scored(source, row.rules), count, complete and count == all_of_it


def tile_of(trained: Trained, size: int) -> int:
    """Side of the tiles in which a square is answered; 0 where it is answered whole.

    Raises:
      ValueError: a side that the generator cannot work at, or with too many tiles.
    """
    own, patch = trained.config["data"]["size"], trained.model.dims.patch
    if size > own:
        tiles.places((size, size), own)
        return own
    if size < patch or size % patch:
        raise ValueError(f"--answered_at is {size}; give a multiple of {patch}, or more than {own}")
    return 0


def classes_at_once(
    trained: Trained, row: benchmarks.Benchmark, tasks: Mapping[str, Task], source: Source
) -> int:
    """The most classes of a released set's legend that fit a prompt; 0 where all do."""
    name, length = "semantic_segmentation", trained.model.text_length
    if name not in tasks or row.training is not None:
        return 0  # legends of other sets differ from record to record
    for index in range(len(source)):
        try:
            prompt = tasks[name].prompt(source.example(index, name), np.random.default_rng(0))
        except BadRecord:
            continue
        most = plans.classes_that_fit(prompt, length)
        if most:
            print(
                f"the legend of {row.name} is longer than the generator's prompts, {length} "
                f"tokens: {most} classes are asked at once"
            )
        return most
    return 0  # every record is bad, and is named where it is asked


def depends_on(row: benchmarks.Benchmark, data: str) -> dict[str, Any]:
    """What the scores depend on beside weights and arguments: language, scenes and data."""
    place = data
    if row.source["name"] == "samples":
        place = os.environ.get(samples.VARIABLE, "")
    return {
        "language": language.describe(),
        "scenes": scenes.SCENES_VERSION,
        "data": os.path.realpath(place) if place else "",
    }
