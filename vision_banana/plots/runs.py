"""What runs wrote, side by side: losses, rates, pictures."""

import pathlib
from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from etils import epath
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from vision_banana.evaluation.charts import COLORS
from vision_banana.training import json_lines

LOG = "metrics.jsonl"
Records = Sequence[Mapping[str, float]]

SHOWN = 40  # points of a smoothed line at most: each is the mean of a run's part
PART = 5  # records of a part at least
COLUMNS = 4  # panels side by side at most


def read(folders: Sequence[str]) -> dict[str, Records]:
    """Reads what runs logged.

    Args:
      folders: of runs, local or in a bucket (`gs://...`).

    Returns:
      Name of the run -> records of its `metrics.jsonl`. Runs are named by their folder's last
      part, or by the whole address where two would have one name.

    Raises:
      FileNotFoundError: a folder without a log; says what to give.
    """
    for folder in folders:
        if not (epath.Path(folder).expanduser() / LOG).exists():
            raise FileNotFoundError(
                f"{folder} holds no {LOG}: give the work folder of a run, which "
                "`python -m vision_banana.train --workdir FOLDER` writes"
            )
    names = [pathlib.PurePosixPath(folder).name for folder in folders]
    return {
        (name if names.count(name) == 1 else folder): json_lines.read(
            epath.Path(folder).expanduser() / LOG
        )
        for name, folder in zip(names, folders, strict=True)
    }


def names(runs: Mapping[str, Records], *beginnings: str) -> list[str]:
    """The numbers that any of the runs recorded whose names begin so, in order."""
    recorded = {name for records in runs.values() for record in records for name in record}
    return sorted(name for name in recorded if name.startswith(beginnings))


def series(records: Records, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Steps and values of one number, (N,) each, without the records that lack it."""
    pairs = [(r["step"], r[name]) for r in records if name in r]
    steps, values = np.array(pairs, np.float64).reshape(-1, 2).T
    return steps, values


def smooth(values: np.ndarray, points: int = SHOWN) -> np.ndarray:
    """Means over equal parts of a series, (M,): at most `points`, of some records each."""
    parts = np.array_split(values, max(1, min(points, len(values) // PART)))
    return np.array([part.mean() for part in parts])


def compare(runs: Mapping[str, Records], names: Sequence[str], *, log: bool = True) -> Figure:
    """Draws numbers over steps, a panel for each number and a line for each run.

    Args:
      runs: as from `read`.
      names: of the numbers, as "loss" or "loss/depth".
      log: whether the values' axis is logarithmic.

    Returns:
      The figure, in rows; single records are faint behind means over parts of the run.

    Raises:
      ValueError: no number is named.
    """
    if not names:
        raise ValueError("names is empty; give the numbers to draw, ['loss'] for example")
    columns = min(COLUMNS, len(names))
    rows = -(-len(names) // columns)
    figure, axes = plt.subplots(
        rows, columns, figsize=(3.6 * columns, 3 * rows), squeeze=False, layout="constrained"
    )
    for axis in axes.flat[len(names) :]:
        axis.set_axis_off()
    for axis, name in zip(axes.flat, names, strict=False):
        for i, records in enumerate(runs.values()):
            steps, values = series(records, name)
            color = COLORS[i % len(COLORS)]
            axis.plot(steps, values, color=color, alpha=0.25, linewidth=0.8)
            if len(steps):
                axis.plot(smooth(steps), smooth(values), color=color)
        axis.set(title=name, xlabel="training step", yscale="log" if log else "linear")
        axis.grid(alpha=0.3)
    # Of the figure, since no panel need have a line of every run.
    lines = [Line2D([], [], color=COLORS[i % len(COLORS)], label=run) for i, run in enumerate(runs)]
    figure.legend(handles=lines, fontsize=8, loc="outside lower center", ncols=COLUMNS)
    return figure


def last(records: Records, name: str, share: float = 0.1) -> float:
    """Mean of a number over the last part of a run, NaN where it was not recorded."""
    _, values = series(records, name)
    return float(values[-max(1, round(share * len(values))) :].mean()) if len(values) else np.nan
