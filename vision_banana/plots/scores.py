"""Scores: ours beside published ones, and what a confidence is worth."""

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from vision_banana.evaluation.charts import COLORS
from vision_banana.evaluation.paper_tables import Table
from vision_banana.evaluation.table_formats import ARROWS, OTHERS, OURS
from vision_banana.metrics import calibration
from vision_banana.metrics.calibration import ConfidenceState

ACROSS = 4  # panels in a line
FEW = 1e-3  # a bin with a smaller share of the pixels says nothing


def published(table: Table) -> Figure:
    """A dot for each number of a table, a panel for each of its columns, ours in orange.

    Args:
      table: as from `paper_tables.build`.

    Returns:
      The figure; ours carry their 95 % interval where there is one.
    """
    names = [_label(line.method, line.note) for line in table.lines]
    width = min(ACROSS, len(table.columns))
    lines = -(-len(table.columns) // width)
    figure, axes = plt.subplots(
        lines, width, figsize=(3 + 2.2 * width, (0.8 + 0.26 * len(names)) * lines),
        sharey=True, squeeze=False, layout="constrained",
    )  # fmt: skip
    for axis in axes.flat[len(table.columns) :]:
        axis.set_axis_off()
    for column, axis in enumerate(axes.flat[: len(table.columns)]):
        for i, line in enumerate(table.lines):
            cell = line.cells[column]
            if cell is None:
                continue
            color = OURS if line.ours else OTHERS
            axis.plot(cell.value, i, "o", color=color)
            if cell.low is not None and cell.high is not None:
                axis.plot((cell.low, cell.high), (i, i), color=color)
        axis.set_title(f"{table.columns[column]} {ARROWS[table.better[column]]}", fontsize=9)
        axis.grid(alpha=0.3)
    axes[0, 0].set(yticks=range(len(names)), ylim=(len(names) - 0.5, -0.5))
    for row in axes:
        row[0].set_yticks(range(len(names)), names, fontsize=8)
    figure.suptitle(table.title, fontsize=10)
    return figure


def _label(method: str, note: str) -> str:
    return f"{method} ({note})" if note else method


def confidence(states: Mapping[str, Mapping[str, ConfidenceState]]) -> Figure:
    """Whether confidences are probabilities, and what leaving the least sure pixels out gains.

    Args:
      states: name ("as drawn", "calibrated") -> task -> what was counted.

    Returns:
      The figure: above the share of pixels that are right against the stated confidence (on the
      diagonal where it is a probability; a dot's area is the bin's share of the pixels; bins
      with fewer than one in a thousand are left out), below
      the share of errors among the pixels kept, surest first.
    """
    tasks = list(next(iter(states.values())))
    figure, axes = plt.subplots(
        2, len(tasks), figsize=(2.7 * len(tasks), 5.2), squeeze=False, layout="constrained"
    )
    for i, (name, of_task) in enumerate(states.items()):
        color = COLORS[i % len(COLORS)]
        for above, below, task in zip(*axes, tasks, strict=True):
            pixels, sure, right = calibration.reliability(of_task[task])
            share = pixels / max(pixels.sum(), 1)
            seen = share >= FEW
            above.plot(sure[seen], right[seen], color=color, linewidth=1, label=name)
            above.scatter(sure[seen], right[seen], 300 * share[seen], color=color, alpha=0.6)
            coverage, risk = calibration.risk_coverage(of_task[task])
            below.plot(coverage, risk, color=color)
    for above, below, task in zip(*axes, tasks, strict=True):
        above.plot((0, 1), (0, 1), color="#999999", linewidth=0.8, zorder=0)
        above.set(title=task.replace("_", " "), xlabel="confidence", xlim=(0, 1), ylim=(0, 1))
        below.set(xlabel="share of pixels kept", xlim=(0, 1))
        below.set_ylim(bottom=0)
        for axis in (above, below):
            axis.title.set_fontsize(9)
            axis.grid(alpha=0.3)
    axes[0, 0].set_ylabel("share of pixels right")
    axes[1, 0].set_ylabel("share of errors among them")
    axes[0, 0].legend(fontsize=8)
    return figure


def bars(skills: Mapping[str, float]) -> Figure:
    """Skill by task: 0 is the answer that never looks at the picture, 1 is perfect.

    Args:
      skills: name -> skill; NaN leaves a gap.
    """
    names = list(skills)
    values = np.array(list(skills.values()), np.float64)
    figure, axis = plt.subplots(figsize=(6, 0.6 + 0.3 * len(names)), layout="constrained")
    axis.barh(names, values, color=np.where(values < 0, COLORS[1], COLORS[0]))
    axis.axvline(0, color="#222222", linewidth=0.8)
    axis.invert_yaxis()
    axis.set(xlabel="skill: 0 = blind answer, 1 = perfect", xlim=(min(-0.1, np.nanmin(values)), 1))
    axis.grid(axis="x", alpha=0.3)
    return figure
