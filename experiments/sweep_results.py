"""What the runs of a sweep measured, in one table and one chart."""

import csv
import io
import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from etils import epath

from experiments import chart
from experiments.points import Run
from vision_banana.evaluation import results
from vision_banana.tasks import TASKS
from vision_banana.training import folders, json_lines

SEED = "seed"
DRAWING = tuple(name for name, task in TASKS.items() if task.draws)
SEEING = tuple(name for name in TASKS if name not in DRAWING)


class Measured(NamedTuple):
    """What is known of one run.

    Attributes:
      run: the run.
      loss: its last training loss, NaN where none was logged.
      rows: result lines of its newest checkpoint that carry a skill.
    """

    run: Run
    loss: float
    rows: Sequence[results.Row]

    def skill(self, task: str) -> float:
        """Mean skill over a task's metrics at every number of steps; NaN where it has none."""
        found = [r["skill"] for r in self.rows if r["task"] == task and r["skill"] is not None]
        return statistics.fmean(found) if found else math.nan

    def mean_skill(self, tasks: Sequence[str]) -> float:
        """Mean of the tasks' skills; NaN where one of them is unknown."""
        return statistics.fmean(map(self.skill, tasks))


def read(runs: Sequence[Run]) -> list[Measured]:
    """Reads what the runs' folders hold; a run without a line has neither loss nor skills."""
    found = []
    for run in runs:
        folder = epath.Path(run.workdir)
        lines, losses = [], []
        if (folder / "results.jsonl").exists():
            lines = results.read(folder / "results.jsonl")
        if (folder / "metrics.jsonl").exists():
            losses = [r["loss"] for r in json_lines.read(folder / "metrics.jsonl") if "loss" in r]
        newest = max((line["checkpoint_step"] for line in lines), default=0)
        rows = [r for r in lines if r["checkpoint_step"] == newest and r["perfect"] is not None]
        found.append(Measured(run, losses[-1] if losses else math.nan, rows))
    return found


def write(runs: Sequence[Run], place: str) -> None:
    """Writes results.csv, results.md and, where something was scored, results.svg."""
    found, folder = read(runs), epath.Path(place)
    folders.write_whole(folder / "results.csv", as_csv(found))
    folders.write_whole(folder / "results.md", as_markdown(found))
    lines, x = _lines(found)
    if lines:
        folders.write_whole(folder / "results.svg", chart.draw(lines, x, "skill"))


def as_csv(found: Sequence[Measured]) -> str:
    """A line for each run and score, and one for each run's loss."""
    fields = _fields(found)
    scores = ("task", "metric", "steps", "value", "low", "high", "blind", "skill", "count")
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["stage", "run", *fields, *scores])
    for one in found:
        front = [one.run.stage.name, one.run.number, *(one.run.point.get(f) for f in fields)]
        if math.isfinite(one.loss):
            writer.writerow([*front, "", "loss", "", one.loss, "", "", "", "", ""])
        for row in one.rows:
            writer.writerow([*front, *(row[name] for name in scores)])
    return text.getvalue()


def as_markdown(found: Sequence[Measured]) -> str:
    """A row for each run: its fields, its state, its last loss and each task's mean skill."""
    fields, tasks = _fields(found), _tasks(found)
    header = ["run", *fields, "state", "loss", *(f"{task} skill" for task in tasks)]
    body = []
    for one in found:
        cells = [f"{one.run.stage.name}/{one.run.number}"]
        cells += [str(one.run.point.get(field, "")) for field in fields]
        cells += [one.run.state, _number(one.loss), *(_number(one.skill(t)) for t in tasks)]
        body.append([cell.replace("|", "/") for cell in cells])
    return results.markdown(header, body) + "\n"


def _lines(found: Sequence[Measured]) -> tuple[list[chart.Line], str]:
    """Skill over the numeric field with the most values, averaged over seeds.

    A line for each task, or, where further fields change, for each choice of them.
    """
    found, tasks = [one for one in found if one.rows], _tasks(found)
    spread = {f: {repr(one.run.point.get(f)) for one in found} for f in _fields(found) if f != SEED}
    changing = [f for f, seen in spread.items() if len(seen) > 1]
    numeric = [f for f in changing if all(_is_number(one.run.point.get(f)) for one in found)]
    if not numeric:
        return [], ""
    x = max(numeric, key=lambda f: len(spread[f]))
    others = [f for f in changing if f != x]
    groups: dict[str, dict[float, list[float]]] = {}
    for one in found:
        at = one.run.point[x]
        if others:
            name = ", ".join(f"{f}={one.run.point.get(f)}" for f in others)
            groups.setdefault(name, {}).setdefault(at, []).append(one.mean_skill(tasks))
        else:
            for task in tasks:
                groups.setdefault(task, {}).setdefault(at, []).append(one.skill(task))
    return [_line(name, values) for name, values in groups.items()], x


def _line(name: str, values: Mapping[float, Sequence[float]]) -> chart.Line:
    xs = sorted(values)
    known = [[v for v in values[x] if math.isfinite(v)] or [math.nan] for x in xs]
    return chart.Line(
        name, xs, [statistics.fmean(v) for v in known], list(map(min, known)), list(map(max, known))
    )


def _fields(found: Sequence[Measured]) -> list[str]:
    return list(dict.fromkeys(field for one in found for field in one.run.point))


def _tasks(found: Sequence[Measured]) -> list[str]:
    return list(dict.fromkeys(row["task"] for one in found for row in one.rows))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _number(value: float) -> str:
    return f"{value:.3f}" if math.isfinite(value) else results.NOTHING
