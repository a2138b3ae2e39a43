"""The prefer command: judges, reports and mistakes."""

import json
import sys
import types

import numpy as np
import pytest
from exit_codes import exit_code

from vision_banana import prefer
from vision_banana.evaluation import paper_tables, preference_study, results, saved
from vision_banana.evaluation.preference_votes import Votes

COUNT = 5


def _write(path, level, prompt, key):
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, key=key, prompt=prompt, rgb=np.full((2, 2, 3), level, np.float32))


@pytest.fixture
def folders(tmp_path):
    """Ours are white, theirs grey."""
    for i in range(COUNT):
        for name, level in (("ours", 1.0), ("theirs", 0.5)):
            _write(tmp_path / name / f"{i}.npz", level, f"prompt {i}", f"set/{i}")
    return tmp_path


@pytest.fixture
def judges(monkeypatch):
    module = types.ModuleType("some_judges")

    def brighter(prompt, left, right, picture):
        assert picture is None and left.dtype == np.uint8
        if prompt == "prompt 3":
            raise RuntimeError("no answer")
        return "left" if left.mean() > right.mean() else "right"

    module.brighter = brighter
    module.unsure = lambda prompt, left, right, picture: "tie" if prompt != "prompt 1" else "both"
    module.number = 3
    monkeypatch.setitem(sys.modules, "some_judges", module)
    return module


def command(folders, *arguments):
    return exit_code(
        prefer.main,
        [str(folders / "ours"), str(folders / "theirs"), "--votes", str(folders / "v"), *arguments],
    )


def test_a_judge_votes_and_what_it_fails_on_is_named(folders, judges, capsys):
    assert command(folders, "--report") == 0
    assert f"no votes yet: {folders / 'v'} does not exist" in capsys.readouterr().out
    assert not (folders / "v").exists()
    assert command(folders, "--judge", "some_judges:brighter") == 1
    said = capsys.readouterr()
    assert "not judged: 3: RuntimeError: no answer" in said.err
    assert "| some_judges:brighter | 100.0 |" in said.out and "| 4 | 4 | 1 |" in said.out
    assert command(folders, "--judge", "some_judges:unsure") == 1
    said = capsys.readouterr()
    assert "not judged: 1: ValueError: the choice is 'both'" in said.err
    assert "| some_judges:unsure | 50.0 |" in said.out
    records = [json.loads(line) for line in (folders / "v").read_text().splitlines()[1:]]
    assert all(record["judge"] for record in records) and len(records) == 8
    judges.brighter = lambda *asked: "tie"
    assert command(folders, "--judge", "some_judges:brighter") == 0  # only the one that failed
    assert "| some_judges:brighter | 90.0 |" in capsys.readouterr().out


def test_the_home_folder(monkeypatch):
    monkeypatch.setenv("HOME", "/home/x")
    arguments = prefer.parser().parse_args(["a", "b", "--votes=~/votes", "--output=~/lines"])
    assert (arguments.votes, arguments.output) == ("/home/x/votes", "/home/x/lines")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--judge", "some_judges"], "no function module:function"),
        (["--judge", "no_such_module:f"], "No module named 'no_such_module'"),
        (["--judge", "some_judges:absent"], "absent"),
        (["--judge", "some_judges:number"], "is a int, no function"),
    ],
)
def test_a_judge_that_is_none_is_one_sentence(folders, judges, capsys, arguments, says):
    assert command(folders, *arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith("prefer: ") and says in error and error.count("\n") == 1


@pytest.fixture
def drawn(tmp_path):
    """Pictures of two generators as `evaluate --save_predictions` keeps them."""
    for name, level in (("ours", 1.0), ("theirs", 0.5)):
        for i in range(COUNT):
            file = tmp_path / name / "image_generation" / "4" / f"{i:06d}.npz"
            _write(file, level, f"prompt {i}", f"genai_bench/{i}")
        saved.write_origin(
            tmp_path / name,
            {"run": name, "checkpoint_step": 7, "benchmark": "genai_bench", "seed": 0,
             "text_guidance": 2.0},
        )  # fmt: skip
    return tmp_path


def test_win_rates_become_result_lines_that_the_tables_read(drawn, judges, capsys):
    """A judge takes ours four times and fails on the fifth pair, on which it has no vote."""
    output = drawn / "results.jsonl"
    arguments = ["--judge", "some_judges:brighter", "--output", str(output)]
    assert command(drawn, *arguments) == 1
    assert f"1 lines added to {output}" in capsys.readouterr().out
    (line,) = results.read(output)
    names = ("run", "checkpoint_step", "benchmark", "task", "metric", "steps", "count", "skipped")
    assert [line[name] for name in names] == [
        "ours", 7, "genai_bench", "image_generation", "win_rate", 4, 4, 1,
    ]  # fmt: skip
    assert (line["value"], line["against"]) == (1.0, "theirs at checkpoint 7")
    assert line["judge"] == "some_judges:brighter"
    # Wilson's interval of 4 in 4: 4 / (4 + 1.96^2) to 1.
    assert line["low"] == pytest.approx(4 / (4 + 1.959964**2)) and line["high"] == 1
    table = next(t for t in paper_tables.build([line]) if t.name == "preference")
    ours = table.lines[-1]
    assert ours.cells[0].full == "100.0 [51.0, 100.0] n=4 (1 skipped)" and ours.cells[1] is None
    assert "judged by some_judges:brighter" in ours.note
    assert "against theirs at checkpoint 7" in ours.note


def test_people_and_judges_have_lines_of_their_own(drawn, judges):
    study = preference_study.read(str(drawn / "ours"), str(drawn / "theirs"))
    votes = Votes(str(drawn / "v"), study)
    for rater, choices in (("ana", ("left", "tie")), ("ben", ("tie",))):
        for showing, choice in zip(votes.left_to(rater), choices, strict=False):
            shown = choice if showing.ours_left else {"left": "right"}.get(choice, choice)
            votes.add(rater, showing, shown)
    votes.close()
    judges.unsure = lambda prompt, left, right, picture: "tie"
    output = str(drawn / "results.jsonl")
    assert command(drawn, "--judge", "some_judges:unsure", "--output", output) == 0
    lines = {line["judge"]: line for line in results.read(output)}
    assert set(lines) == {None, "some_judges:unsure"}
    assert lines[None]["value"] == pytest.approx(2 / 3)  # a win and two ties
    assert (lines["some_judges:unsure"]["value"], lines["some_judges:unsure"]["count"]) == (0.5, 5)


def test_pictures_that_nobody_named_give_no_lines(folders, drawn, judges, capsys):
    (drawn / "ours" / "origin.json").unlink()
    arguments = ["--judge", "some_judges:brighter", "--output", str(drawn / "results.jsonl")]
    assert command(drawn, *arguments) == 2
    assert "draw them with evaluate --save_predictions" in capsys.readouterr().err
    saved.write_origin(drawn / "ours", {**saved.origin(drawn / "theirs"), "benchmark": "imgedit"})
    assert command(drawn, *arguments) == 2
    assert "imgedit and of genai_bench" in capsys.readouterr().err
    saved.write_origin(drawn / "ours", saved.origin(drawn / "theirs"))
    assert command(drawn, *arguments) == 2  # ours/0.npz: of no task
    assert "the pair '0' does not say its task" in capsys.readouterr().err
    assert not (drawn / "v").exists()


def test_what_is_left_out_is_named(folders, capsys):
    (folders / "theirs" / "2.npz").unlink()
    assert command(folders, "--report") == 0
    assert "left out: 2.npz: " in capsys.readouterr().err


def test_a_repair_is_said(folders, judges, capsys):
    command(folders, "--judge", "some_judges:unsure")
    (folders / "v").write_bytes((folders / "v").read_bytes()[:-10])
    assert command(folders, "--report") == 0
    assert "half a vote" not in capsys.readouterr().err  # which may be on its way
    command(folders, "--judge", "some_judges:unsure")
    assert "half a vote" in capsys.readouterr().err


def test_without_gradio_the_extra_is_named(folders, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "gradio", None)
    assert command(folders) == 2
    assert "pip install 'vision-banana[demo]'" in capsys.readouterr().err
    study = preference_study.read(str(folders / "ours"), str(folders / "theirs"))
    assert len(study.pairs) == COUNT
