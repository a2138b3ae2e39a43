"""The paper's tables, with our checkpoints beside the published figures.

The published figures are data, `published.json`: those of the Vision Banana paper (arXiv
2604.20329), which quotes the others, and of its open reproduction, each row with its source.
A cell that nobody published or that we have not run stays empty.
"""

import collections
import functools
import json
import math
import pathlib
import re
import statistics
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from vision_banana.evaluation import benchmarks

Row = Mapping[str, Any]

# Runs that differ in this ending alone are one method trained from several seeds.
_SEED = re.compile(r"[-_.]?seed[-_]?\d+$")
# What tells one way of asking from another in result lines; None where not stated.
SETTINGS = (
    "votes", "flips", "apart", "classes_at_once", "answered_at", "present", "rewrite",
    "text_guidance", "calibrated", "against", "judge",
)  # fmt: skip
_WAY = ("steps", *SETTINGS)


class Cell(NamedTuple):
    """One number.

    Attributes:
      text: the number as it is shown.
      value: the number.
      low, high: ends of its 95 % bootstrap interval over pictures; None where there is none.
        Over several seeds the means of their ends: all are asked about the same pictures.
      pictures: how many different ones were asked about, with the seed that asked about fewest;
        None for a published figure.
      skipped: records that are not in it, since they could not be asked; with the seed that lacks
        most.
      spread: standard deviation over seeds; None for a single one.
      seeds: how many there are.
    """

    text: str
    value: float
    low: float | None = None
    high: float | None = None
    pictures: int | None = None
    skipped: int = 0
    spread: float | None = None
    seeds: int = 1

    @property
    def full(self) -> str:
        """The number with what it rests on."""
        said = self.text
        if self.spread is not None:
            said += f" ± {self.spread:.2g} ({self.seeds} seeds)"
        if self.low is not None and self.high is not None:
            digits = len(self.text.partition(".")[2])
            said += f" [{self.low:.{digits}f}, {self.high:.{digits}f}]"
        if self.pictures is None:
            return said
        return f"{said} n={self.pictures}{left_out({'skipped': self.skipped})}"


class Line(NamedTuple):
    """A method's row.

    Attributes:
      method: its name.
      note: how it was asked, or what sets it apart.
      source: where the figures are from.
      ours: whether this code made them.
      cells: one for each column, None where there is no number.
    """

    method: str
    note: str
    source: str
    ours: bool
    cells: tuple[Cell | None, ...]


class Table(NamedTuple):
    """One of the paper's tables.

    Attributes:
      name: a word for files.
      title: what it shows, with units.
      columns: their names.
      better: "higher" or "lower", for each column.
      lines: published methods first, in the paper's order, then ours.
    """

    name: str
    title: str
    columns: tuple[str, ...]
    better: tuple[str, ...]
    lines: tuple[Line, ...]


@functools.cache
def published() -> tuple[dict[str, Any], ...]:
    """The published tables as they are stored."""
    file = pathlib.Path(__file__).with_name("published.json")
    return tuple(json.loads(file.read_text("utf-8"))["tables"])


def build(results: Sequence[Row]) -> list[Table]:
    """The tables, filled with result lines.

    Args:
      results: lines as of `results.read`. Lines of a part of a benchmark (`--count`) count as
        what they are: the number of pictures stands beside each number.

    Returns:
      Every table, those without a number of ours too. Runs whose names differ in the ending
      `seedN` alone, and evaluations with other seeds, are averaged; another checkpoint step, other
      weights of one run and step, another way of asking or part of a benchmark is a row of its own.
      Of lines that share all of these the last stands. A number over several benchmarks is their
      plain mean, and is given where all of them were run; its interval is that of a stratified
      sample (`_mean`).
    """
    return [_table(stored, results) for stored in published()]


def _table(stored: Mapping[str, Any], results: Sequence[Row]) -> Table:
    columns = stored["columns"]
    wanted = {(b, c["metric"]) for c in columns for b in c["benchmarks"]}
    methods: dict[tuple, dict[tuple, Row]] = {}
    several = _of_several_weights(results)
    for row in results:
        if (row["benchmark"], row["metric"]) in wanted and row["value"] is not None:
            way = tuple(row.get(name) for name in _WAY)
            weights = row.get("weights") if _checkpoint(row) in several else None
            method = (_SEED.sub("", row["run"]), row["checkpoint_step"], _part(row), way, weights)
            one = (row["benchmark"], row["metric"], row["run"], row["seed"])
            methods.setdefault(method, {})[one] = row
    lines = [
        Line(
            row["method"], row["note"], row["source"], False,
            tuple(None if v is None else Cell(v, float(v)) for v in row["values"]),
        )
        for row in stored["rows"]
    ]  # fmt: skip
    for (run, step, _, way, weights), rows in methods.items():
        cells = tuple(_cell(column, list(rows.values())) for column in columns)
        if any(cells):
            lines.append(Line(run, _said(step, way, weights), "this code", True, cells))
    return Table(
        stored["name"],
        stored["title"],
        tuple(c["name"] for c in columns),
        tuple(c["better"] for c in columns),
        tuple(lines),
    )


def _checkpoint(row: Row) -> tuple[str, int]:
    return row["run"], row["checkpoint_step"]


def _of_several_weights(results: Sequence[Row]) -> set[tuple[str, int]]:
    """The checkpoints whose lines name more than one set of weights."""
    named = {(*_checkpoint(row), row["weights"]) for row in results if row.get("weights")}
    counts = collections.Counter((run, step) for run, step, _ in named)
    return {checkpoint for checkpoint, count in counts.items() if count > 1}


def _part(row: Row) -> int | None:
    """How many records were asked for; None for the whole benchmark, whatever it has.

    Lines that do not say whether they are of the whole are, where they have as many records.
    """
    whole = row.get("whole", asked(row) == benchmarks.BENCHMARKS[row["benchmark"]].records)
    return None if whole else asked(row)


def asked(row: Row) -> int:
    """How many records a line asked for, those that could not be asked among them."""
    return row["count"] + row.get("skipped", 0)


def left_out(row: Row) -> str:
    """How many records are not in a line's number, in words; nothing where all are in it."""
    return f" ({row['skipped']} skipped)" if row.get("skipped") else ""


def pictures(row: Row) -> int:
    """How many pictures a line's records are about; lines that do not say have one for each."""
    known = row.get("pictures")
    return row["count"] if known is None else known


def _said(step: int, way: tuple, weights: str | None) -> str:
    """Which checkpoint was asked and how, in words; `weights` tell those of one name apart."""
    known = dict(zip(_WAY, way, strict=True))
    parts = [f"checkpoint {step}" + (f" of weights {weights}" if weights else "")]
    parts.append(f"{known['steps']} step{'s' if known['steps'] != 1 else ''}")
    if (known["votes"] or 1) > 1:
        parts.append(
            f"{known['votes']} votes{' without mirroring' if known['flips'] is False else ''}"
        )
    if known["answered_at"]:
        parts.append(f"at {known['answered_at']} px")
    if known["apart"]:
        parts.append("regions asked apart")
    if known["classes_at_once"]:
        parts.append(f"{known['classes_at_once']} classes at once")
    parts += [f"{name}: {known[name]}" for name in ("present", "rewrite") if known[name]]
    if known["against"]:
        parts.append(f"against {known['against']}")
    if known["judge"]:
        parts.append(f"judged by {known['judge']}")
    if known["text_guidance"] not in (None, 1):
        parts.append(f"text guidance {known['text_guidance']:g}")
    if known["calibrated"]:
        parts.append("calibrated")
    return ", ".join(parts)


def _cell(column: Mapping[str, Any], rows: Sequence[Row]) -> Cell | None:
    """A column's number of ours: over its benchmarks, and over seeds."""
    of_sets = []
    for benchmark in column["benchmarks"]:
        seeds = {
            (r["run"], r["seed"]): r
            for r in rows
            if (r["benchmark"], r["metric"]) == (benchmark, column["metric"])
        }
        if not seeds:
            return None
        of_sets.append(seeds)
    return _mean(of_sets, column["scale"], column["digits"])


def _mean(of_sets: Sequence[Mapping[tuple, Row]], scale: float, digits: int) -> Cell:
    """The plain mean over sets, each of which has a line for each seed.

    The spread is that of the means of the seeds that all sets have. The interval takes the sets'
    pictures for independent samples, where variances add up: of K sets with values v and intervals
    [l, u] its ends lie sqrt(sum (v - l)^2) / K below and sqrt(sum (u - v)^2) / K above the mean
    (Zou and Donner 2008, "Construction of confidence limits about effect measures").
    """
    sets = [list(seeds.values()) for seeds in of_sets]
    values = [statistics.fmean(r["value"] for r in rows) for rows in sets]
    value = statistics.fmean(values)
    shared = [seed for seed in of_sets[0] if all(seed in one for one in of_sets)]
    means = [statistics.fmean(one[seed]["value"] for one in of_sets) for seed in shared]
    low = high = None
    if all(r.get("low") is not None and r.get("high") is not None for rows in sets for r in rows):
        below, above = (
            math.dist([statistics.fmean(r[end] for r in rows) for rows in sets], values) / len(sets)
            for end in ("low", "high")
        )
        low, high = scale * (value - below), scale * (value + above)
    return Cell(
        f"{scale * value:.{digits}f}",
        scale * value,
        low,
        high,
        pictures=sum(min(pictures(r) for r in rows) for rows in sets),
        skipped=sum(max(r.get("skipped", 0) for r in rows) for rows in sets),
        spread=scale * statistics.stdev(means) if len(means) > 1 else None,
        seeds=max(1, len(means)),
    )
