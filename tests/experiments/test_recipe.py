"""The recipe study's tables."""

import json

import pytest
from exit_codes import exit_code

from experiments.recipe import losses, run
from vision_banana.tasks import TASKS


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


def test_a_variant_trains_its_parts_and_answers_held_out_questions(monkeypatch):
    small = {"model.size": "nano", "data.groups": 8, "data.queries": 2}
    monkeypatch.setitem(run.VARIANTS, "small", small)
    monkeypatch.setitem(
        run.FIRST_HALF, "small", {"data.size": 32, "data.mixture.pictures.source.size": 32}
    )
    first, second = run.configs_of("small", 3)
    assert (first["data"]["size"], second["data"]["size"], first["seed"]) == (32, 64, 3)
    trained = run.train("small", 3, 0.0)
    assert trained["steps"] == 2  # the first of each part, which compiles it
    assert set(trained["errors"]) == set(TASKS)
    assert all(0 < error < 2 for error in trained["errors"].values())


def trained(folder, init_from, records):
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"init_from": init_from}))
    text = "".join(json.dumps(record) + "\n" for record in records)
    (folder / "metrics.jsonl").write_text(text)
    return str(folder)


def test_losses_are_averaged_over_200_steps_and_phases_follow_one_another(tmp_path, monkeypatch):
    monkeypatch.setattr(losses, "HERE", tmp_path)
    first = trained(tmp_path / "a", "", [
        {"step": 100, "loss/depth": 0.5}, {"step": 200, "loss/depth": 0.25},
        {"step": 201, "loss/depth": 0.125},
    ])  # fmt: skip
    second = trained(tmp_path / "b", first, [
        {"step": 100, "loss/depth": 0.5, "loss/image_editing": 1.0}, {"step": 150},
    ])  # fmt: skip
    empty = trained(tmp_path / "c", second, [])  # has begun, and logged nothing
    losses.main([empty])
    head, *rows = (tmp_path / "losses.csv").read_text().split()
    assert head.split(",") == ["phase", "step", *TASKS]
    told = [dict(zip(head.split(","), row.split(","), strict=True)) for row in rows]
    keys = ("phase", "step", "depth", "image_editing", "surface_normals")
    assert [[row[key] for key in keys] for row in told] == [
        ["a", "200", "0.375", "", ""], ["a", "201", "0.125", "", ""], ["b", "351", "0.5", "1.0", ""]
    ]  # fmt: skip
    drawn = (tmp_path / "losses.svg").read_text()
    assert "image_editing" in drawn and "surface_normals" not in drawn


def test_a_folder_without_losses_is_one_sentence_and_leaves_the_files(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(losses, "HERE", tmp_path)
    bare = trained(tmp_path / "a", "", [{"step": 100, "loss": 0.5}])
    asked = ([], [bare], [str(tmp_path / "none")])
    for arguments, says in zip(asked, ("workdir", "no losses", "no losses"), strict=True):
        assert exit_code(losses.main, arguments) == 2
        error = capsys.readouterr().err
        assert says in error and error.count("\n") == 1
    assert not list(tmp_path.glob("losses.*"))
