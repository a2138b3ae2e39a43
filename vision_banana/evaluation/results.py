"""Result lines and the table made from them.

    python -m vision_banana.evaluation.results
    python -m vision_banana.evaluation.results runs/x/results.jsonl
    python -m vision_banana.evaluation.results runs/*/results.jsonl --paper md --output tables

A line is a JSON object for one (run, checkpoint step, benchmark, task, metric, sampling steps) and
way of asking; its `records` begins the names of the files that hold the single records' scores.
The paper's tables show them beside the published figures (`paper_tables`); without a file those
stand alone.
"""

import math
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from vision_banana import _bad_input
from vision_banana.evaluation import paper_tables, score, table_formats, totals
from vision_banana.training import folders, json_lines
from vision_banana.training.json_lines import JsonLines

Row = dict[str, Any]

# What tells one measurement from another; of two with the same the later stands. Records that could
# not be asked belong to `count` here: once they are mended, it is the same measurement made anew.
IDENTITY = ("run", "checkpoint_step", "benchmark", "task", "metric", "steps", "seed", "count")
ORIGIN = ("run", "checkpoint_step", "benchmark", "seed", "count")
WEIGHTS = "weights"  # which weights were asked, `Trained.weights`; earlier versions named none
SETTINGS = paper_tables.SETTINGS
NOTHING = "-"


def rows(
    scores: Mapping[str, totals.Score],
    perfect: Mapping[str, Mapping[str, float]],
    **origin: Any,
) -> list[Row]:
    """Makes result lines.

    Args:
      scores: task name -> its score.
      perfect: task name -> the metrics that carry a skill, each with its perfect value.
      **origin: what stands in every line: run, checkpoint_step, weights, benchmark, seed and
        settings.

    Returns:
      One row for each task, metric and step count, with value, its interval over pictures (low,
      high), blind, truth, perfect and skill; None for what is unknown or, for skill and perfect,
      does not apply.
    """
    made = []
    for task, scored in scores.items():
        # A released set has neither column.
        blind, truth = scored.values.get("blind", {}), scored.values.get("truth", {})
        for steps in (c for c in scored.values if isinstance(c, int)):
            for metric, value in scored.values[steps].items():
                best = perfect[task].get(metric)
                beside = blind.get(metric, math.nan)
                gain = None if best is None else totals.skill(value, beside, best)
                low, high = scored.intervals.get(steps, {}).get(metric, (None, None))
                made.append(
                    origin
                    | {
                        "task": task,
                        "metric": metric,
                        "steps": steps,
                        "value": _known(value),
                        "low": low,
                        "high": high,
                        "blind": _known(beside),
                        "truth": _known(truth.get(metric)),
                        "perfect": best,
                        "skill": _known(gain),
                        "count": scored.asked,
                        "pictures": scored.pictures,
                        "skipped": scored.skipped,
                        "unasked": len(scored.unasked),
                    }
                )
    return made


def _known(value: float | None) -> float | None:
    """JSON has neither NaN nor infinity."""
    return value if value is not None and math.isfinite(value) else None


def write(path: str | os.PathLike[str], lines: Sequence[Row]) -> None:
    """Adds lines to a file, local or in a bucket, which is made where there is none."""
    file = JsonLines(path)
    for line in lines:
        file.write(line)
    file.close()


def read(path: str | os.PathLike[str]) -> list[Row]:
    """Reads a file's lines; of repeated measurements the last stands.

    Raises ValueError naming a line that is not a result.
    """
    seen: dict[tuple, Row] = {}
    for number, row in enumerate(json_lines.read(path), 1):
        try:
            if row.get("text_guidance") is not None:
                # Earlier versions stated that of drawing for tasks which are asked without any.
                row = row | {"text_guidance": score.guidance(row["task"], row["text_guidance"])}
            told = {**row, "count": paper_tables.asked(row)}
            identity = (*(told[n] for n in IDENTITY), *(row.get(n) for n in (WEIGHTS, *SETTINGS)))
        except (KeyError, TypeError) as error:
            raise ValueError(f"{path}, line {number} is no result line: no {error}") from error
        seen.pop(identity, None)
        seen[identity] = row
    return list(seen.values())


def of_weights(lines: Sequence[Row], step: int, weights: str) -> list[Row]:
    """The lines about some weights.

    Args:
      lines: result lines, as from `read`.
      step: the weights' training step.
      weights: what tells them from all others, see `Trained.weights`.

    Returns:
      The lines that name these weights; where there is none, those of the step that name none,
      which earlier versions wrote.
    """
    own = [line for line in lines if line.get(WEIGHTS) == weights]
    return own or [x for x in lines if WEIGHTS not in x and x["checkpoint_step"] == step]


def counts(lines: Sequence[Row]) -> str:
    """How many records of which benchmarks result lines are about, in words."""
    said = {
        f"{line['count']} records of {line['benchmark']}{paper_tables.left_out(line)}"
        for line in lines
    }
    return ", ".join(sorted(said))


def table(lines: Sequence[Row], every: bool = False) -> tuple[list[str], list[list[str]]]:
    """Makes the table that people read.

    Args:
      lines: result lines.
      every: whether metrics without a skill are shown too.

    Returns:
      Header and body, all text. A row for each task and metric (an arrow says which way is
      better), with how many pictures were asked about and how many records skipped (n), the blind
      score, the score of the true
      answer drawn and read back, and at each number of steps the value with its 95 % bootstrap
      interval over pictures, where there is one, and the skill; what differs between the lines
      (run, benchmark, ...) comes first. Fractions are of 1, angles in degrees, AbsRel of the true
      depth, RMSE in metres.
    """
    if not every:
        lines = [line for line in lines if line["perfect"] is not None]
    leading = _leading(lines)
    steps = sorted({line["steps"] for line in lines})
    header = [*leading, "task", "metric", "n", "blind", "truth"]
    for n in steps:
        header += [_steps(n), "skill"]
    return header, [_cells(place, at, steps) for place, at in _placed(lines, leading).items()]


def _leading(lines: Sequence[Row]) -> list[str]:
    """What differs between lines beside task, metric and steps.

    Settings in which tasks or steps alone differ tell no lines apart: drawing alone has text
    guidance, and a calibration is fitted for a number of steps.
    """
    differing = [name for name in ORIGIN if len({line.get(name) for line in lines}) > 1]
    cells = {(line["task"], line["steps"]) for line in lines}
    for name in SETTINGS:
        if len({(line["task"], line["steps"], line.get(name)) for line in lines}) > len(cells):
            differing.append(name)
    named = {(line["run"], line["checkpoint_step"]) for line in lines}
    if len({(x["run"], x["checkpoint_step"], x.get(WEIGHTS)) for x in lines}) > len(named):
        differing.insert(0, WEIGHTS)  # checkpoints of one name
    return differing


def _placed(lines: Sequence[Row], leading: Sequence[str]) -> dict[tuple, dict[int, Row]]:
    """A table's rows: the leading values, task and metric -> number of steps -> line."""
    body: dict[tuple, dict[int, Row]] = {}
    for line in lines:
        place = (*(line.get(name) for name in leading), line["task"], line["metric"])
        body.setdefault(place, {})[line["steps"]] = line
    return body


def _steps(count: int) -> str:
    return f"{count} step{'s' if count > 1 else ''}"


def _cells(place: tuple, at: Mapping[int, Row], steps: Sequence[int]) -> list[str]:
    line = next(iter(at.values()))
    arrow = {None: "", 1.0: " ↑", 0.0: " ↓"}[line["perfect"]]
    cells = [str(part) for part in place[:-1]]
    asked_about = f"{paper_tables.pictures(line)}{paper_tables.left_out(line)}"
    cells += [line["metric"] + arrow, asked_about]
    cells += [_number(line["blind"]), _number(line["truth"])]
    for n in steps:
        cells += [_with_interval(at[n]), _number(at[n]["skill"])] if n in at else [NOTHING] * 2
    return cells


def _with_interval(line: Row) -> str:
    value = _number(line["value"])
    if line.get("low") is None:
        return value
    return f"{value} [{_number(line['low'])}, {_number(line['high'])}]"


def intervals(lines: Sequence[Row]) -> tuple[list[str], list[list[str]]]:
    """Makes the table of 95 % bootstrap intervals over pictures, "low to high" at each step count.

    Args:
      lines: result lines.

    Returns:
      Header and body, all text, of the lines that have an interval; what differs between all
      lines comes first, as in `table`.
    """
    known = [line for line in lines if line.get("low") is not None]
    leading = _leading(lines)
    steps = sorted({line["steps"] for line in known})
    header = [*leading, "task", "metric", *map(_steps, steps)]
    return header, [
        [*map(str, place), *(_span(at[n]) if n in at else NOTHING for n in steps)]
        for place, at in _placed(known, leading).items()
    ]


def _span(line: Row) -> str:
    return f"{_number(line['low'])} to {_number(line['high'])}"


def _number(value: float | None) -> str:
    if value is None:
        return NOTHING
    return f"{value:.3f}" if abs(value) < 10 else f"{value:.1f}"


def markdown(header: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    """Returns a table as Markdown, columns padded so that it reads as plain text too."""
    widths = [max(len(row[i]) for row in (header, *body)) for i in range(len(header))]
    words = [
        i
        for i, name in enumerate(header)
        if name in (WEIGHTS, *ORIGIN, *SETTINGS, "task", "metric")
    ]

    def row(cells: Sequence[str]) -> str:
        padded = [
            text.ljust(width) if i in words else text.rjust(width)
            for i, (text, width) in enumerate(zip(cells, widths, strict=True))
        ]
        return f"| {' | '.join(padded)} |"

    rule = [
        ":" + "-" * (w - 1) if i in words else "-" * (w - 1) + ":" for i, w in enumerate(widths)
    ]
    return "\n".join([row(header), f"| {' | '.join(rule)} |", *(row(cells) for cells in body)])


def main(argv: Sequence[str] | None = None) -> None:
    """Prints files' table, or the paper's tables with their numbers."""
    parser = _bad_input.Parser(description=__doc__)
    parser.add_argument(
        "paths", nargs="*", help="files that evaluate wrote; none: the published figures alone"
    )
    parser.add_argument("--every", action="store_true", help="metrics without a skill too")
    parser.add_argument(
        "--paper",
        choices=sorted(table_formats.FORMATS),
        help="print the paper's tables instead, our numbers beside the published ones",
    )
    parser.add_argument("--output", help="folder that gets the paper's tables in every format")
    arguments = parser.parse_args(argv)
    with _bad_input.exits("results"):
        lines = [row for path in arguments.paths for row in read(path)]
        tables = paper_tables.build(lines)
        if arguments.output:
            folder = pathlib.Path(arguments.output)
            folder.mkdir(parents=True, exist_ok=True)
            for ending, write_as in table_formats.FORMATS.items():
                folders.write_whole(folder / f"tables.{ending}", write_as(tables))
    alone = not arguments.paths and not arguments.output
    if arguments.paper or alone:
        print(table_formats.FORMATS[arguments.paper or "md"](tables))
    elif lines or not arguments.output:
        print(markdown(*table(lines, arguments.every)))


if __name__ == "__main__":
    main()
