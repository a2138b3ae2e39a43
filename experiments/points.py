"""The points of a sweep: which fields of a config take which values.

A file that defines a sweep has a function `stages(folder) -> [Stage, ...]`; `experiments.sweep`
runs it.
"""

import dataclasses
import importlib.util
import itertools
import json
import pathlib
import shlex
from collections.abc import Iterable, Sequence
from typing import Any

import ml_collections

Point = dict[str, Any]  # dotted config field -> value


def values(field: str, choices: Iterable[Any]) -> list[Point]:
    """One point for each value of a field."""
    return [{field: choice} for choice in choices]


def product(*parts: Sequence[Point]) -> list[Point]:
    """Every point of the first part joined with every one of the second, and so on.

    Raises:
      ValueError: two parts set the same field.
    """
    return [_joined(chosen) for chosen in itertools.product(*parts)]


def zipped(*parts: Sequence[Point]) -> list[Point]:
    """The first points of all parts joined, then the second, and so on.

    Raises:
      ValueError: parts of different lengths, or two that set the same field.
    """
    if len({len(part) for part in parts}) > 1:
        raise ValueError(f"zipped parts have {[len(p) for p in parts]} points: they must be equal")
    return [_joined(chosen) for chosen in zip(*parts, strict=True)]


def _joined(points: Sequence[Point]) -> Point:
    fields = [field for point in points for field in point]
    if len(set(fields)) < len(fields):
        raise ValueError(f"a field is set twice in {points}")
    return {field: value for point in points for field, value in point.items()}


@dataclasses.dataclass(frozen=True)
class Stage:
    """Points of one config; a later stage may start from an earlier one's folders.

    Attributes:
      name: a folder name; a point's work folder is FOLDER/name/number.
      config: file of the config, with its argument if it takes one ("configs/quickstart.py:tune").
      points: what each run changes. A plain list, or `values`, `product`, `zipped`, joined by `+`.
      scores: arguments of the evaluations that follow a training run, one text for each.
    """

    name: str
    config: str
    points: Sequence[Point]
    scores: Sequence[str] = ()


@dataclasses.dataclass
class Run:
    """One point of a stage: its number, what it changes, its work folder, and its state.

    `state` is "waiting", "running", "done" or "failed: ...", `seconds` what its last try took, and
    `finished` the parts that have ended well.
    """

    stage: Stage
    number: int
    point: Point
    workdir: str
    state: str = "waiting"
    seconds: float = 0.0
    finished: list[str] = dataclasses.field(default_factory=list)

    @property
    def name(self) -> str:
        """Its place in the sweep, "STAGE/NUMBER"."""
        return f"{self.stage.name}/{self.number}"

    @property
    def parts(self) -> list[str]:
        """What there is to do, a name for each of `commands`: "train" and the stage's scores."""
        return ["train", *self.stage.scores]

    @property
    def title(self) -> str:
        """The point in words: "seed=1, data.vision_share=0.5"."""
        return ", ".join(f"{field}={value}" for field, value in self.point.items()) or "as it is"


def load_config(path: str) -> ml_collections.ConfigDict:
    """The config of `FILE` or `FILE:ARGUMENT`."""
    file, _, argument = path.partition(":")
    module = load_module(file)
    return module.get_config(argument) if argument else module.get_config()


def change(config: ml_collections.ConfigDict, point: Point) -> None:
    """Sets fields of a config in place.

    Raises:
      ValueError: a field that the config has not, or a value of another type than the field's.
    """
    for field, value in point.items():
        *path, last = field.split(".")
        section: Any = config
        for name in path:
            section = section.get(name) if isinstance(section, ml_collections.ConfigDict) else None
        if not isinstance(section, ml_collections.ConfigDict) or last not in section:
            raise ValueError(f"the config has no field {field!r}; see configs/base.py")
        try:
            section[last] = value
        except TypeError as error:
            raise ValueError(f"field {field} cannot be {value!r}: {error}") from error


def plan(stages: Sequence[Stage], folder: str) -> list[Run]:
    """All runs, once every field of every point is known to exist.

    Raises:
      ValueError: a field or value that a config does not take, a point that occurs twice, or two
        stages of one name.
    """
    if len({stage.name for stage in stages}) < len(stages):
        raise ValueError(f"stages have the names {[s.name for s in stages]}: they must differ")
    runs = []
    for stage in stages:
        for number, point in enumerate(stage.points):
            if point in stage.points[:number]:
                raise ValueError(f"stage {stage.name} has the point {point} twice")
            try:
                change(load_config(stage.config), point)
            except ValueError as error:
                raise ValueError(f"stage {stage.name}, point {number}: {error}") from error
            runs.append(Run(stage, number, point, f"{folder}/{stage.name}/{number}"))
    return runs


def commands(run: Run) -> list[list[str]]:
    """The commands of a point, without the interpreter: training, then its evaluations."""
    train = ["-m", "vision_banana.train", "--config", run.stage.config, "--workdir", run.workdir]
    train += [f"--config.{field}={_flag(value)}" for field, value in run.point.items()]
    score = ["-m", "vision_banana.evaluate", "--workdir", run.workdir]
    return [train, *([*score, *shlex.split(text)] for text in run.stage.scores)]


def as_one(run: Run) -> list[str]:
    """A point's commands as one, for another machine: each runs if the one before it ended well."""
    parts = [["python", *command] for command in commands(run)]
    return parts[0] if len(parts) == 1 else ["sh", "-c", " && ".join(map(shlex.join, parts))]


def _flag(value: Any) -> str:
    return json.dumps(value) if isinstance(value, bool) else str(value)


def load_module(file: str) -> Any:
    """A Python file as a module; raises ValueError where it is none."""
    spec = importlib.util.spec_from_file_location(pathlib.Path(file).stem, file)
    if spec is None or spec.loader is None or not pathlib.Path(file).exists():
        raise ValueError(f"{file} is no Python file")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
