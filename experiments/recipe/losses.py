"""Keeps the training losses of a run and of those it began from: `losses.csv` and `losses.svg`.

python -m experiments.recipe.losses runs/my_pocket
"""

import csv
import pathlib
import sys

import numpy as np

from experiments import chart
from vision_banana.evaluation import phases
from vision_banana.tasks import TASKS

HERE = pathlib.Path(__file__).parent
STEPS = 200  # of training, whose losses make one row


def table(workdir: str) -> list[dict[str, str | int | float]]:
    """Rows of phase, last step of all phases so far, and each task's mean training loss."""
    rows: list[dict[str, str | int | float]] = []
    start = 0
    for phase in phases.find(workdir):
        seen: dict[int, list[dict]] = {}
        for record in phase.records:
            seen.setdefault((record["step"] - 1) // STEPS, []).append(record)
        if rows and phase.records[0]["step"] < STEPS:  # else it went on from the last one's state
            start = int(rows[-1]["step"])
        for _, records in sorted(seen.items()):
            row = {"phase": phase.name}
            row["step"] = start + records[-1]["step"]
            for task in TASKS:
                losses = [r[f"loss/{task}"] for r in records if f"loss/{task}" in r]
                row[task] = round(float(np.mean(losses)), 4) if losses else ""
            rows.append(row)
    return rows


def main(workdir: str) -> None:
    """Writes both files."""
    rows = table(workdir)
    with (HERE / "losses.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    lines = []
    for task in TASKS:
        known = [(row["step"], row[task]) for row in rows if row[task] != ""]
        x, y = zip(*known, strict=True)
        lines.append(chart.Line(task, x, y, y, y))
    (HERE / "losses.svg").write_text(chart.draw(lines, "training step", "loss"))


if __name__ == "__main__":
    main(sys.argv[1])
