"""Keeps the training losses of a run and of those it began from: `losses.csv` and `losses.svg`.

python -m experiments.recipe.losses runs/my_pocket
"""

import csv
import pathlib
from collections.abc import Sequence

import numpy as np

from experiments import chart
from vision_banana import _bad_input
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
        # Else it went on from the last one's state.
        if rows and phase.records and phase.records[0]["step"] < STEPS:
            start = int(rows[-1]["step"])
        for _, records in sorted(seen.items()):
            row = {"phase": phase.name}
            row["step"] = start + records[-1]["step"]
            for task in TASKS:
                losses = [r[f"loss/{task}"] for r in records if f"loss/{task}" in r]
                row[task] = round(float(np.mean(losses)), 4) if losses else ""
            rows.append(row)
    return rows


def main(argv: Sequence[str] | None = None) -> None:
    """The command: writes both files."""
    parser = _bad_input.Parser(prog="python -m experiments.recipe.losses", description=__doc__)
    parser.add_argument("workdir", help="folder of the last run")
    workdir = parser.parse_args(argv).workdir
    with _bad_input.exits("losses"):
        rows = table(workdir)
        lines = []
        for task in TASKS:
            known = [(row["step"], row[task]) for row in rows if row[task] != ""]
            if known:
                x, y = zip(*known, strict=True)
                lines.append(chart.Line(task, x, y, y, y))
        if not lines:
            raise ValueError(
                f"{workdir} has no losses of tasks in a metrics.jsonl: name a run's folder"
            )
        drawn = chart.draw(lines, "training step", "loss")
        with (HERE / "losses.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, rows[0])
            writer.writeheader()
            writer.writerows(rows)
        (HERE / "losses.svg").write_text(drawn)


if __name__ == "__main__":
    main()
