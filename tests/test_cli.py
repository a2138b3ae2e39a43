"""The console command: what it starts, and what it says to a mistake."""

import pathlib
import sys

import pytest
from exit_codes import exit_code

from vision_banana import cli, sample


@pytest.fixture
def started(monkeypatch):
    """The arguments of commands that would have run."""
    seen = []

    def run_module(name, run_name, alter_sys):
        assert run_name == "__main__" and alter_sys
        seen.append([name, *sys.argv])

    monkeypatch.setattr(cli.runpy, "run_module", run_module)
    monkeypatch.setattr(sample, "main", lambda argv: seen.append(argv) or 0)
    return seen


def test_every_command_is_there(started):
    assert {"train", "evaluate", "sample", "report", "export", "quickstart"} <= set(cli.COMMANDS)
    before = list(sys.argv)
    assert exit_code(cli.main, ["train", "--config", "c.py", "--config.steps=2"]) == 0
    assert started == [
        ["vision_banana.train", "vision-banana train", "--config", "c.py", "--config.steps=2"]
    ]
    assert sys.argv == before
    for name in cli.COMMANDS:
        text = (pathlib.Path(cli.__file__).parent / f"{name}.py").read_text()
        assert 'if __name__ == "__main__":' in text, name
        assert f"python -m vision_banana.{name}" in text.split('"""')[1], name  # an example


@pytest.mark.parametrize(
    ("typed", "asked"),
    [
        ("depth photo.jpg --at 1,2",
         "--task depth --image=photo.jpg --at 1,2 --checkpoint pocket"),
        ("normals a.png --workdir runs/x", "--task surface_normals --image=a.png --workdir runs/x"),
        ("instances a.png --checkpoint=w",
         "--task instance_segmentation --image=a.png --checkpoint=w"),
        ("regions a.png cube:red", "--task referring_segmentation --image=a.png --prompt=cube:red "
         "--checkpoint pocket"),
        ("edit a.png blue --seed 3",
         "--task image_editing --image=a.png --prompt=blue --seed 3 --checkpoint pocket"),
        ("generate cube --steps=4", "--task image_generation --prompt=cube --steps=4 "
         "--checkpoint pocket"),
        ("depth --help", "--help"),
    ],
)  # fmt: skip
def test_a_task_is_a_command(started, typed, asked):
    assert exit_code(cli.main, typed.split()) == 0
    assert started == [asked.split()]
    if asked != "--help":
        sample.parser().parse_args(asked.split())


@pytest.mark.parametrize(
    ("typed", "says"),
    [
        ("dpeth photo.jpg", "there is no command 'dpeth'; did you mean depth"),
        ("trian", "did you mean train"),
        ("depth", "write `vision-banana depth IMAGE`, options behind; got 0"),
        ("edit photo.jpg", "write `vision-banana edit IMAGE PROMPT`, options behind; got 1"),
        ("depth a.jpg b.jpg", "got 2"),
    ],
)
def test_a_mistake_is_one_sentence(started, capsys, typed, says):
    assert exit_code(cli.main, typed.split()) == 2
    error = capsys.readouterr().err
    assert says in error and error.count("\n") == 1
    assert started == []


def test_help_names_everything(capsys):
    assert exit_code(cli.main, []) == 0
    text = capsys.readouterr().out
    for name in (*cli.COMMANDS, *cli.SHORTCUTS):
        assert name in text
    assert exit_code(cli.main, ["--version"]) == 0


def test_ctrl_c_is_no_traceback(monkeypatch, capsys):
    def stop(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(cli.runpy, "run_module", stop)
    assert cli.main(["train"]) == 130
    assert capsys.readouterr().err == "\nvision-banana train: interrupted\n"


@pytest.mark.parametrize(
    "typed", ["depth photo.jpg --check nosuch", "generate cube --step 1", "generate cube --text 9"]
)
def test_an_abbreviated_option_is_refused(capsys, typed):
    assert exit_code(cli.main, typed.split()) == 2
    error = capsys.readouterr().err
    assert f"unrecognized arguments: {' '.join(typed.split()[-2:])}" in error
    assert error.count("\n") == 1


def test_a_missing_packaged_checkpoint_says_what_to_do(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr("vision_banana.training.pretrained.FOLDER", tmp_path)
    assert exit_code(cli.main, ["generate", "a red cube"]) == 2
    error = capsys.readouterr().err
    assert str(tmp_path / "pocket" / "config.json") in error and "vision_banana.export" in error
