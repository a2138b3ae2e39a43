"""The console command: what it starts, and what it says to a mistake."""

import pathlib
import shlex
import signal
import sys
import time

import commands
import pytest
from exit_codes import exit_code

from vision_banana import cli, sample
from vision_banana.evaluation import own_pictures, questions


@pytest.fixture
def started(monkeypatch):
    """The arguments of commands that would have run."""
    seen = []

    def run_module(name, run_name, alter_sys):
        assert run_name == "__main__" and alter_sys
        seen.append([name, *sys.argv])

    monkeypatch.setattr(cli.runpy, "run_module", run_module)
    monkeypatch.setattr(sample, "main", lambda argv, reader: seen.append(argv) or 0)
    return seen


def test_every_command_is_there(started):
    assert set(cli.COMMANDS) == {
        "train", "evaluate", "sample", "report", "export", "quickstart", "compile", "bench",
        "demo", "prefer",
    }  # fmt: skip
    before = list(sys.argv)
    assert exit_code(cli.main, ["train", "--config", "c.py", "--config.steps=2"]) == 0
    assert started == [
        ["vision_banana.train", "vision-banana train", "--config", "c.py", "--config.steps=2"]
    ]
    assert sys.argv == before
    for name in cli.COMMANDS:
        path = pathlib.Path(cli.__file__).parent / name
        text = (path / "__main__.py" if path.is_dir() else path.with_suffix(".py")).read_text()
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


@pytest.mark.parametrize("name", cli.SHORTCUTS)
def test_a_task_has_a_help_and_an_example_of_its_own(capsys, name):
    assert exit_code(cli.main, [name, "--help"]) == 0
    text = capsys.readouterr().out
    example = f"vision-banana {name} {cli.SHORTCUTS[name].example}"
    assert text.startswith(f"usage: vision-banana {name} ") and f"example: {example}" in text
    asked = sample.parser().parse_args(cli.sample_arguments(name, shlex.split(example)[2:]))
    question = questions.choose(asked.prompt, len(asked.image), asked.task)
    assert question.task == cli.SHORTCUTS[name].task
    own_pictures.check([question], 64, (16, 16))


def test_errors_of_a_task_begin_with_its_name(capsys, tmp_path):
    assert exit_code(cli.main, ["depth", str(tmp_path / "absent.png")]) == 2
    assert capsys.readouterr().err.startswith("vision-banana depth: there is no picture file ")


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


def test_ctrl_c_ends_a_command_that_works(tmp_path):
    log, output = tmp_path / "log", tmp_path / "out"
    process = commands.start(
        [
            "-m",
            "vision_banana.sample",
            "--checkpoint=pocket",
            "--prompt=a cube",
            "--output",
            output,
        ],
        log,
        env=commands.environment(),
    )
    try:
        while "weights of step" not in log.read_text():
            assert process.poll() is None, log.read_text()
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        assert process.wait(120) == 130
    finally:
        process.kill()
    assert log.read_text().endswith("\npython -m vision_banana.sample: interrupted\n")
    assert "Traceback" not in log.read_text() and not list(output.iterdir())


def test_ctrl_c_is_no_traceback(monkeypatch, capsys):
    def stop(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(cli.runpy, "run_module", stop)
    assert cli.main(["train"]) == 130
    assert capsys.readouterr().err == "\nvision-banana train: interrupted\n"


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("depth photo.jpg --check nosuch", "did you mean --checkpoint"),
        ("depth photo.jpg --votse 2", "did you mean --votes"),
        ("generate cube --step 1", "did you mean --steps"),
        ("generate cube --text 9", "did you mean"),
        ("generate cube --wxyz 9", "see --help"),
    ],
)
def test_an_abbreviated_option_is_refused(capsys, typed, meant):
    assert exit_code(cli.main, typed.split()) == 2
    error = capsys.readouterr().err
    assert f"unrecognized arguments: {' '.join(typed.split()[-2:])}; {meant}" in error
    assert error.count("\n") == 1


def test_a_missing_packaged_checkpoint_says_what_to_do(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr("vision_banana.training.pretrained.FOLDER", tmp_path)
    assert exit_code(cli.main, ["generate", "a red cube"]) == 2
    error = capsys.readouterr().err
    assert str(tmp_path / "pocket" / "config.json") in error and "vision_banana.export" in error
