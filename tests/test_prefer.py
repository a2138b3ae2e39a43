"""The prefer command: judges, reports and mistakes."""

import json
import sys
import types

import numpy as np
import pytest
from exit_codes import exit_code

from vision_banana import prefer
from vision_banana.evaluation import preference_study

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
    assert "there are no votes yet" in capsys.readouterr().out
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


def test_what_is_left_out_is_named(folders, capsys):
    (folders / "theirs" / "2.npz").unlink()
    assert command(folders, "--report") == 0
    assert "left out: 2.npz: " in capsys.readouterr().err


def test_a_repair_is_said(folders, judges, capsys):
    command(folders, "--judge", "some_judges:unsure")
    (folders / "v").write_bytes((folders / "v").read_bytes()[:-10])
    assert command(folders, "--report") == 0
    assert "half a vote" in capsys.readouterr().err


def test_without_gradio_the_extra_is_named(folders, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "gradio", None)
    assert command(folders) == 2
    assert "pip install 'vision-banana[demo]'" in capsys.readouterr().err
    study = preference_study.read(str(folders / "ours"), str(folders / "theirs"))
    assert len(study.pairs) == COUNT
