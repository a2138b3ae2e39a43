"""Makes the study's table, chart and verdict from its runs.

python -m experiments.mix_keeps_drawing.verdict --folder runs/mix_keeps_drawing
"""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from experiments import chart, seeds, sweep_results, verdicts
from experiments.mix_keeps_drawing import sweep
from vision_banana.evaluation import results


class Skills(NamedTuple):
    """Mean skills by seed: of drawing before tuning, and of both after it, by share of seeing."""

    before: Mapping[int, float]
    drawing: Mapping[float, Mapping[int, float]]
    seeing: Mapping[float, Mapping[int, float]]

    def __bool__(self) -> bool:
        """Whether anything is scored after tuning."""
        return bool(self.drawing or self.seeing)


def skills(found: Sequence[sweep_results.Measured]) -> Skills:
    """The skills of every run that is scored."""
    of = Skills({}, {}, {})
    for one in found:
        seed, share = one.run.point["seed"], one.run.point.get(sweep.SHARE)
        drawn = one.mean_skill(sweep_results.DRAWING)
        seen = one.mean_skill(sweep_results.SEEING)
        if math.isfinite(drawn):
            (of.before if share is None else of.drawing.setdefault(share, {}))[seed] = drawn
        if share is not None and math.isfinite(seen):
            of.seeing.setdefault(share, {})[seed] = seen
    return of


def change(of: Skills, share: float) -> seeds.Interval:
    """What tuning with a share of seeing does to drawing, paired by seed."""
    after = of.drawing.get(share, {})
    return seeds.interval(
        [after[s] - of.before[s] for s in sorted(after.keys() & of.before.keys())]
    )


def report(of: Skills) -> str:
    """Table and verdict, Markdown."""
    header = ["share of seeing", "seeing", "drawing", "drawing - before", "drawing is"]
    before = seeds.interval(list(of.before.values()))
    body = [["before tuning", "-", str(before), "-", "-"]]
    for share in sweep.SHARES:
        body.append(
            [
                str(share),
                str(seeds.interval(list(of.seeing.get(share, {}).values()))),
                str(seeds.interval(list(of.drawing.get(share, {}).values()))),
                str(change(of, share)),
                seeds.verdict(change(of, share)),
            ]
        )
    means = {s: seeds.interval(list(v.values())).mean for s, v in of.seeing.items()}
    text = [
        f"Mean skill over tasks, mean over seeds ({seeds.LEVEL:.0%} interval, Student's t; changes "
        "are paired by seed).",
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
    found = {share: change(of, share) for share in sweep.SHARES}
    if any(gain.count < seeds.FEWEST for gain in found.values()):
        return f"not known, as some shares have fewer than {seeds.FEWEST} seeds"
    kept = [share for share, gain in found.items() if seeds.verdict(gain) != "worse"]
    return str(max(kept, default="none"))


def draw(of: Skills) -> str:
    """Both skills over the share of seeing, and drawing before tuning."""
    lines = [verdicts.line("seeing", of.seeing), verdicts.line("drawing", of.drawing)]
    before, ends = seeds.interval(list(of.before.values())), (sweep.SHARES[0], sweep.SHARES[-1])
    flat = [[value] * 2 for value in before[:3]]
    lines.append(chart.Line("drawing before tuning", ends, *flat))
    return chart.draw(lines, "share of seeing in the mix", "skill")


def main(argv: Sequence[str] | None = None) -> None:
    """The command."""
    verdicts.run(sweep, __doc__, skills, report, draw, argv)


if __name__ == "__main__":
    main()
