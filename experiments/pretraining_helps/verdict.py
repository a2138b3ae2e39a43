"""Makes the study's table, chart and verdict from its runs.

python -m experiments.pretraining_helps.verdict --folder runs/pretraining_helps
"""

import functools
import math
from collections.abc import Mapping, Sequence

from experiments import chart, seeds, sweep_results, verdicts
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
    lines = [
        verdicts.line(start, {n: of[start, n] for n in sweep.PICTURES if (start, n) in of})
        for start in sweep.STARTS
    ]
    return chart.draw(lines, "labelled pictures", "skill", log_x=True)


main = functools.partial(verdicts.run, sweep, __doc__, skills, report, draw)


if __name__ == "__main__":
    main()
