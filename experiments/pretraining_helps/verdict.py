"""Makes the study's table, chart and verdict from its runs.

python -m experiments.pretraining_helps.verdict --folder runs/pretraining_helps
"""

import argparse
import math
import pathlib
from collections.abc import Mapping, Sequence

from experiments import chart, points, seeds, sweep_results
from experiments.pretraining_helps import sweep
from vision_banana.evaluation import results

Skills = Mapping[tuple[str, int], Mapping[int, float]]  # (start, pictures) -> seed -> skill


def skills(found: Sequence[sweep_results.Measured]) -> Skills:
    """The mean skill of seeing of every tuned run that is scored."""
    table: dict[tuple[str, int], dict[int, float]] = {}
    for one in found:
        skill = one.mean_skill(sweep_results.SEEING)
        if one.run.stage.name == "tune" and math.isfinite(skill):
            point = one.run.point
            place = sweep.start_of(point), point[sweep.RECORDS]
            table.setdefault(place, {})[point["seed"]] = skill
    return table


def gains(of: Skills, pictures: Sequence[int], other: str) -> list[float]:
    """What the generative start gains over another, one mean over pictures for each seed."""
    rows = []
    for number in pictures:
        a, b = of.get(("generative", number), {}), of.get((other, number), {})
        rows.append({seed: a[seed] - b[seed] for seed in a.keys() & b.keys()})
    shared = set.intersection(*map(set, rows)) if rows else set()
    return [sum(row[seed] for row in rows) / len(rows) for seed in sorted(shared)]


def report(of: Skills) -> str:
    """Table and verdict, Markdown."""
    header = ["labelled pictures", *sweep.STARTS]
    header += [f"generative - {other}" for other in sweep.STARTS[1:]]
    body = []
    for number in sweep.PICTURES:
        row = [str(number)]
        row += [
            str(seeds.interval(list(of.get((start, number), {}).values())))
            for start in sweep.STARTS
        ]
        for other in sweep.STARTS[1:]:
            row.append(str(seeds.interval(gains(of, [number], other))))
        body.append(row)
    text = [
        f"Mean skill of {len(sweep_results.SEEING)} tasks of seeing, mean over seeds "
        f"({seeds.LEVEL:.0%} interval, Student's t; gains are paired by seed).",
        "",
        results.markdown(header, body),
        "",
    ]
    for other in sweep.STARTS[1:]:
        gain = seeds.interval(gains(of, sweep.PICTURES, other))
        text.append(f"* Over all numbers of pictures, generative against {other}: {gain}: "
                    f"**{seeds.verdict(gain)}**.")  # fmt: skip
    return "\n".join(text) + "\n"


def draw(of: Skills) -> str:
    """The skill over the number of pictures, a line for each start."""
    lines = []
    for start in sweep.STARTS:
        xs = [number for number in sweep.PICTURES if (start, number) in of]
        ys = [seeds.interval(list(of[start, number].values())) for number in xs]
        lines.append(
            chart.Line(start, xs, [y.mean for y in ys], [y.low for y in ys], [y.high for y in ys])
        )
    return chart.draw(lines, "labelled pictures", "skill", log_x=True)


def main(argv: Sequence[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", required=True, help="of the sweep")
    parser.add_argument("--output", type=pathlib.Path, default=sweep.FOLDER)
    arguments = parser.parse_args(argv)
    of = skills(sweep_results.read(points.plan(sweep.stages(arguments.folder), arguments.folder)))
    if not of:
        parser.error(f"nothing is scored in {arguments.folder} yet; run the sweep first")
    (arguments.output / "table.md").write_text(report(of))
    (arguments.output / "curve.svg").write_text(draw(of))
    print(report(of))


if __name__ == "__main__":
    main()
