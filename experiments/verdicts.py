"""What the studies' verdict commands share: lines with intervals, and the command itself."""

import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from experiments import chart, points, seeds, sweep, sweep_results
from vision_banana import _bad_input


def line(name: str, by_seed: Mapping[float, Mapping[int, float]]) -> chart.Line:
    """A line of means over seeds with their intervals.

    Args:
      name: what the legend calls it.
      by_seed: x -> seed -> value.
    """
    xs = sorted(by_seed)
    ys = [seeds.interval(list(by_seed[x].values())) for x in xs]
    return chart.Line(name, xs, [y.mean for y in ys], [y.low for y in ys], [y.high for y in ys])


def run(
    study: Any,
    description: str | None,
    skills: Callable[[Sequence[sweep_results.Measured]], Any],
    report: Callable[[Any], str],
    draw: Callable[[Any], str],
    argv: Sequence[str] | None = None,
) -> None:
    """Runs a verdict command: reads a sweep, writes its table and its chart.

    Args:
      study: the module with `stages` and `FOLDER`, where table and chart go.
      description: of the command.
      skills: what the runs measured, false where nothing is scored.
      report: table and verdict, Markdown.
      draw: the chart, SVG.
      argv: the command's arguments.
    """
    parser = _bad_input.Parser(description=description)
    parser.add_argument("--folder", required=True, help="of the sweep")
    parser.add_argument("--output", type=pathlib.Path, default=study.FOLDER)
    arguments = parser.parse_args(argv)
    runs = points.plan(study.stages(arguments.folder), arguments.folder)
    with _bad_input.exits("verdict"):
        sweep.check(runs, arguments.folder)
    of = skills(sweep_results.read(runs))
    if not of:
        parser.error(f"nothing is scored in {arguments.folder} yet; run the sweep first")
    (arguments.output / "table.md").write_text(report(of))
    (arguments.output / "curve.svg").write_text(draw(of))
    print(report(of))
