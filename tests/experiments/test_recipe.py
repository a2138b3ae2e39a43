"""The recipe study's table."""

import json

import pytest

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


@pytest.mark.parametrize(
    ("argument", "says"),
    [
        ("--variants=baseline;adamww", "variant 'adamww' is unknown; did you mean adamw"),
        ("--variants=nope", "variant 'nope' is unknown; it must be one of baseline, adamw"),
        ("--seeds=0,x", "'0,x': write seeds as in 0,1,2"),
        ("--table", "is made by `python -m experiments.recipe.run` without --table"),
    ],
)
def test_mistakes_are_one_sentence_before_anything_is_trained(
    monkeypatch, tmp_path, capsys, argument, says
):
    monkeypatch.setattr(run, "RESULTS", tmp_path / "results.jsonl")
    monkeypatch.setattr(run, "train", lambda *_: pytest.fail("trained"))
    with pytest.raises(SystemExit) as stopped:
        run.main([argument])
    assert stopped.value.code == 2
    error = capsys.readouterr().err
    assert says in error and error.count("\n") == 1


def test_the_table_is_of_what_the_command_wrote(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(run, "RESULTS", tmp_path / "results.jsonl")
    monkeypatch.setattr(run, "train", lambda name, seed, s: line(name, s, s, 0.5 + seed, 0.2))
    run.main(["--variants=baseline;adamw", "--seeds=0,1", "--seconds=9"])
    written = [json.loads(text) for text in capsys.readouterr().out.splitlines()]
    assert [x["variant"] for x in written] == ["baseline", "adamw"] * 2
    run.main(["--table"])
    assert capsys.readouterr().out == run.table(written) + "\n"
