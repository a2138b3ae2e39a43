"""Compile reports of `vision_banana.compile` side by side: memory, times, what grows with chips."""

import collections
import json
from collections.abc import Mapping
from typing import Any

import matplotlib.pyplot as plt
from etils import epath
from matplotlib.figure import Figure

from vision_banana.evaluation.charts import COLORS

Reports = Mapping[str, Mapping[str, Any]]

HELD = ("weights", "optimizer", "batch_and_rest", "activations_and_temporaries", "results", "code")
RESOURCES = ("compute", "hbm", "ici", "dcn")
LABELS = {"compute": "compute", "hbm": "memory", "ici": "links", "dcn": "network"}


def read(folder: str) -> dict[str, Mapping[str, Any]]:
    """Reads compile reports.

    Args:
      folder: of JSON files, local or in a bucket.

    Returns:
      Name of the file -> its report, in order of names.

    Raises:
      FileNotFoundError: there is none.
    """
    files = sorted(epath.Path(folder).expanduser().glob("*.json"))
    if not files:
        raise FileNotFoundError(
            f"{folder} holds no compile report: python -m vision_banana.compile --output "
            f"{folder}/NAME.json makes one"
        )
    return {file.stem: json.loads(file.read_text()) for file in files}


def main_step(report: Mapping[str, Any]) -> Mapping[str, Any]:
    """The train program of a report that most steps run."""
    return max(report["train"], key=lambda program: program["share"])


def memory(reports: Reports) -> Figure:
    """What a chip holds in a train step, in GiB; the bar's frame is the chip's memory."""
    figure, axis = _bars(reports)
    for i, report in enumerate(reports.values()):
        parts, left = main_step(report)["memory_bytes"], 0.0
        for name, color in zip(HELD, COLORS, strict=False):
            width = parts[name] / 2**30
            label = name.replace("_", " ") if i == 0 else None
            axis.barh(i, width, left=left, color=color, height=0.6, label=label)
            left += width
        whole = left + parts["headroom"] / 2**30
        axis.barh(i, whole, color="none", edgecolor="gray", height=0.6)
    axis.set_xlabel("GiB a chip")
    axis.legend(fontsize=8, bbox_to_anchor=(1, 1), loc="upper left")
    return figure


def times(reports: Reports) -> Figure:
    """The least time that each resource needs for a train step: the longest bar binds."""
    figure, axis = _bars(reports)
    height = 0.8 / len(RESOURCES)
    for k, name in enumerate(RESOURCES):
        places = [i - 0.4 + (k + 0.5) * height for i in range(len(reports))]
        needs = [main_step(r)["roofline_seconds"][name] * 1e3 for r in reports.values()]
        axis.barh(places, needs, height, color=COLORS[k], label=LABELS[name])
    for i, report in enumerate(reports.values()):
        step = main_step(report)
        end = step["roofline_seconds"]["step"] * 1e3
        axis.annotate(
            f"  MFU ≤ {step['mfu_bound']:.0%}", (end, i), va="center", fontsize=8, color="gray"
        )
    axis.margins(x=0.2)
    axis.set_xlabel("ms a step, at peak rates")
    axis.legend(fontsize=8, bbox_to_anchor=(1, 1), loc="upper left")
    return figure


def scaling(reports: Reports) -> Figure:
    """Bytes that collectives bring to a chip in a step, over the number of chips.

    A line for each size and kind of chip, a point for each report; the batch grows with the chips.
    """
    lines = collections.defaultdict(list)
    for report in reports.values():
        kind = report["topology"].rpartition(" ")[2].partition(":")[0]
        moved = main_step(report)["collective_bytes_total"] / 1e9
        lines[f"{report['model']['size']} on {kind}"].append((report["chips"], moved))
    figure, axis = plt.subplots(figsize=(6, 3.4), layout="constrained")
    for i, (name, points) in enumerate(sorted(lines.items())):
        chips, moved = zip(*sorted(points), strict=True)
        axis.plot(chips, moved, "o-", color=COLORS[i % len(COLORS)], label=name)
    axis.set(xlabel="chips", ylabel="GB a chip and step")
    axis.set_xscale("log", base=2)
    axis.xaxis.set_major_formatter("{x:g}")
    axis.set_ylim(0)
    axis.grid(alpha=0.3)
    axis.legend(fontsize=8)
    return figure


def _bars(reports: Reports) -> tuple[Figure, Any]:
    figure, axis = plt.subplots(figsize=(8, 1.2 + 0.5 * len(reports)), layout="constrained")
    axis.set_yticks(range(len(reports)), list(reports), fontsize=8)
    axis.invert_yaxis()
    axis.grid(alpha=0.3, axis="x")
    return figure, axis
