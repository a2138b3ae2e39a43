"""The console command: what it starts, and what it says to a mistake."""

import os
import pathlib
import shlex
import signal
import subprocess
import sys
import time

import commands
import documents
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
    monkeypatch.setattr(sample, "start", lambda asked, command: seen.append(asked))
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
    ("typed", "task", "each", "more"),
    [
        ("depth photo.jpg --at 1,2", "depth", "photo.jpg", {"at": "1,2"}),
        ("depth a.jpg b.jpg", "depth", "a.jpg b.jpg", {}),
        ("depth --steps 2 a.jpg", "depth", "a.jpg", {"steps": 2}),
        ("segment a.jfif b.jp2", "semantic_segmentation", "a.jfif b.jp2", {"prompt": None}),
        ("normals a.png --votes 2 b.png c.gif", "surface_normals", "a.png b.png c.gif",
         {"votes": 2}),
        ("normals a.png --workdir runs/x", "surface_normals", "a.png",
         {"workdir": "runs/x", "checkpoint": None}),
        ("segment a.png b.PNG", "semantic_segmentation", "a.png b.PNG", {"prompt": None}),
        ("instances a.png --checkpoint=w", "instance_segmentation", "a.png", {"checkpoint": "w"}),
        ("regions a.png b.png cube:red", "referring_segmentation", "a.png b.png",
         {"prompt": "cube:red"}),
        ("regions a.png --prompt cube:red", "referring_segmentation", "a.png",
         {"prompt": "cube:red"}),
        ("edit a.png blue --seed 3", "image_editing", "a.png", {"prompt": "blue", "seed": 3}),
        ("edit a.png blue --image b.png", "image_editing", "a.png",
         {"prompt": "blue", "image": ["b.png"]}),
        ("edit blue --image b.png", "image_editing", "", {"prompt": "blue", "image": ["b.png"]}),
        ("depth --image b.png", "depth", "", {"image": ["b.png"]}),
        ("depth tests a.png", "depth", "tests a.png", {}),
        ("generate --steps=4 cube", "image_generation", "", {"prompt": "cube", "steps": 4}),
    ],
)  # fmt: skip
def test_a_task_is_a_command(started, typed, task, each, more):
    assert exit_code(cli.main, typed.split()) == 0
    (asked,) = started
    assert (asked.task, asked.each) == (task, each.split())
    for name, value in ({"checkpoint": "pocket"} | more).items():
        assert getattr(asked, name) == value, name


def test_a_prompt_may_be_longer_than_a_name_of_a_file(started):
    prompt = "a cube, " * 1000
    assert exit_code(cli.main, ["edit", "a.png", prompt]) == 0
    assert (started[0].each, started[0].prompt) == (["a.png"], prompt)


@pytest.mark.parametrize("name", cli.SHORTCUTS)
def test_a_task_has_a_help_and_an_example_of_its_own(capsys, name):
    assert exit_code(cli.main, [name, "--help"]) == 0
    text = capsys.readouterr().out
    example = f"vision-banana {name} {cli.SHORTCUTS[name].example}"
    assert text.startswith(f"usage: vision-banana {name} ") and f"example: {example}" in text
    asked = cli.sample_arguments(name, shlex.split(example)[2:])
    question = questions.choose(asked.prompt, len(asked.each), asked.task)
    assert question.task == cli.SHORTCUTS[name].task
    own_pictures.check([question], 64, (16, 16))


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_the_help_of_a_command_names_it_and_succeeds(name):
    done = subprocess.run(
        [sys.executable, "-m", "vision_banana.cli", name, "--help"], capture_output=True,
        text=True, check=False, env=commands.environment(), cwd=commands.ROOT,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    if name in ("train", "compile"):  # absl's help begins with the docstring
        assert f"python -m vision_banana.{name} --config" in done.stdout
    else:
        assert done.stdout.startswith(f"usage: vision-banana {name} ")


def test_errors_of_a_task_begin_with_its_name(capsys, tmp_path):
    assert exit_code(cli.main, ["depth", str(tmp_path / "absent.png")]) == 2
    assert capsys.readouterr().err.startswith("vision-banana depth: there is no picture file ")


@pytest.mark.parametrize(
    ("typed", "says"),
    [
        ("dpeth photo.jpg", "there is no command 'dpeth'; did you mean depth"),
        ("trian", "did you mean train"),
        ("depth", "write `vision-banana depth IMAGE ...`; got 0"),
        ("depth photo", "'photo' names no picture: write `vision"),
        ("edit a.jpg make the cube blue", "'make' names no picture: write"),
        ("edit make blue --image b.png", "'make' names no picture: write"),
        ("edit a.png --image b.png", "a prompt in quotes or behind --prompt; got 1"),
        ("segment cubes", "'cubes' names no picture"),
        (
            "edit photo.jpg",
            "write `vision-banana edit IMAGE ... PROMPT`, a prompt in quotes or behind --prompt; "
            "got 1",
        ),
        ("edit a.jpg b.jpg", "got 2"),
        (
            "generate a red cube",
            "write `vision-banana generate PROMPT`, a prompt in quotes or behind --prompt; got 3",
        ),
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


def test_the_version_and_the_address_are_the_same_everywhere(capsys):
    assert exit_code(cli.main, ["--version"]) == 0
    assert capsys.readouterr().out.strip() == documents.PROJECT["version"]
    cited = (commands.ROOT / "CITATION.cff").read_text().splitlines()
    assert f"version: {documents.PROJECT['version']}" in cited
    assert f"repository-code: {documents.PROJECT['urls']['Repository']}" in cited


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


@pytest.mark.parametrize("words", [["depth", "photo.jpg"], ["train"], ["evaluate"]])
def test_ctrl_c_while_libraries_are_imported_ends_the_command_at_once(tmp_path, words):
    slow = tmp_path / "jax"  # an import that takes long, and swallows Ctrl-C
    slow.mkdir()
    (slow / "__init__.py").write_text(
        "import time\nprint('importing', flush=True)\n"
        "try: time.sleep(60)\nexcept BaseException: time.sleep(60)\n"
    )
    log, environment = tmp_path / "log", commands.environment()
    environment["PYTHONPATH"] = f"{tmp_path}{os.pathsep}{commands.ROOT}"
    process = commands.start(["-m", "vision_banana.cli", *words], log, env=environment)
    try:
        while "importing" not in log.read_text():
            assert process.poll() is None, log.read_text()
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == -signal.SIGINT  # a shell says 130
    finally:
        process.kill()
    assert log.read_text() == "importing\n"


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
