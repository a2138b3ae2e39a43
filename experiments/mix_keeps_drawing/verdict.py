"""Makes the study's table, chart and verdict from its runs.

python -m experiments.mix_keeps_drawing.verdict --folder runs/mix_keeps_drawing
"""

import functools
import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from experiments import chart, seeds, sweep_results, verdicts
from experiments.mix_keeps_drawing import sweep
from vision_banana.evaluation import results


class Skills(NamedTuple):
    """Mean skills of drawing and of seeing: before tuning, NaN where unknown, and after it.

    Those after it by share of seeing and seed.
    """

    drawing_before: float
    seeing_before: float
    drawing: Mapping[float, Mapping[int, float]]
    seeing: Mapping[float, Mapping[int, float]]

    def __bool__(self) -> bool:
        """Whether anything is scored after tuning."""
        return bool(self.drawing or self.seeing)


def skills(found: Sequence[sweep_results.Measured]) -> Skills:
    """The skills of every run that is scored."""
    of = Skills(math.nan, math.nan, {}, {})
    for one in found:
        drawn = one.mean_skill(sweep_results.DRAWING)
        seen = one.mean_skill(sweep_results.SEEING)
        share = one.run.point.get(sweep.SHARE)
        if share is None:
            of = of._replace(drawing_before=drawn, seeing_before=seen)
            continue
        for table, skill in ((of.drawing, drawn), (of.seeing, seen)):
            if math.isfinite(skill):
                table.setdefault(share, {})[one.run.point["seed"]] = skill
    return of


def change(after: Mapping[int, float], before: float) -> seeds.Interval:
    """What tuning does to a skill, over seeds; unknown where it was not scored before."""
    return seeds.interval([x - before for x in after.values()] if math.isfinite(before) else [])


def report(of: Skills) -> str:
    """Table and verdict, Markdown."""
    header = ["share of seeing", "seeing", "seeing - before", "drawing", "drawing - before",
              "drawing is"]  # fmt: skip
    seen, drawn = (
        str(seeds.interval([x] if math.isfinite(x) else []))
        for x in (of.seeing_before, of.drawing_before)
    )
    body = [["before tuning", seen, "-", drawn, "-", "-"]]
    for share in sweep.SHARES:
        seeing, drawing = of.seeing.get(share, {}), of.drawing.get(share, {})
        changed = change(drawing, of.drawing_before)
        body.append(
            [
                str(share),
                str(seeds.interval(list(seeing.values()))),
                str(change(seeing, of.seeing_before)),
                str(seeds.interval(list(drawing.values()))),
                str(changed),
                seeds.verdict(changed),
            ]
        )
    means = {s: seeds.interval(list(v.values())).mean for s, v in of.seeing.items()}
    text = [
        f"Mean skill over tasks, mean over seeds ({seeds.LEVEL:.0%} interval, Student's t; all "
        "seeds begin with the same weights).",
        "",
        results.markdown(header, body),
        "",
        "* The largest share of seeing after which drawing is not shown to be worse than before: "
        f"**{_largest(of)}**.",
        f"* The share with the best mean of seeing: **{max(means, key=means.__getitem__)}**."
        if means
        else "* Seeing is not scored yet.",
    ]
    return "\n".join(text) + "\n"


def _largest(of: Skills) -> str:
    found = {s: change(of.drawing.get(s, {}), of.drawing_before) for s in sweep.SHARES}
    if any(gain.count < seeds.FEWEST for gain in found.values()):
        return f"not known, as some shares have fewer than {seeds.FEWEST} seeds"
    kept = [share for share, gain in found.items() if seeds.verdict(gain) != "worse"]
    return str(max(kept, default="none"))


def draw(of: Skills) -> str:
    """Both skills over the share of seeing, and before tuning."""
    lines = [verdicts.line("seeing", of.seeing), verdicts.line("drawing", of.drawing)]
    ends = sweep.SHARES[0], sweep.SHARES[-1]
    for what, before in (("seeing", of.seeing_before), ("drawing", of.drawing_before)):
        flat = [before] * 2
        lines.append(chart.Line(f"{what} before tuning", ends, flat, flat, flat))
    return chart.draw(lines, "share of seeing in the mix", "skill")


main = functools.partial(verdicts.run, sweep, __doc__, skills, report, draw)


if __name__ == "__main__":
    main()
