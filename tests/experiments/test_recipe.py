"""The recipe study's table."""

from experiments.recipe import run


def line(variant, seconds, spent, depth, edit):
    errors = {"depth": depth, "image_editing": edit}
    return {"variant": variant, "seed": 0, "seconds": seconds, "spent": spent, "steps": 10,
            "errors": errors, "device": "cpu"}  # fmt: skip


def test_runs_of_one_time_are_compared_however_late_they_stopped():
    lines = [line("baseline", 150.0, 150.2, 0.4, 0.2), line("baseline", 150.0, 150.6, 0.6, 0.2),
             line("slow", 150.0, 153.4, 0.25, 0.4), line("slow", 30.0, 33, 0.25, 0.4)]  # fmt: skip
    rows = run.table(lines).splitlines()[2:]
    # Mean errors of the baseline: 0.5 and 0.2; ratios 0.5 and 2, whose geometric mean is 1.
    assert rows == [
        "| baseline | 150 | 2 | 10 | 1.00 | 1.00 | 1.00 |",
        "| slow | 150 | 1 | 10 | 0.50 | 2.00 | 1.00 |",
        "| slow | 30 | 1 | 10 | - | - | - |",
    ]
