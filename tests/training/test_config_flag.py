import subprocess
import sys

import commands
import pytest
from absl import flags
from exit_codes import exit_code
from ml_collections import config_flags

from vision_banana.training import config_flag


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (
            ["--config", "configs/pokcet.py", "--workdir=x"],
            "--config configs/pokcet.py: there is no such file; did you mean configs/pocket.py",
        ),
        (["--config=nope/nope.py:a", "--workdir=x"], "nope.py: there is no such file; write conf"),
        (
            ["--config=configs/pocket.py", "--config.step=3", "--workdir=x"],
            "config has no key 'step'; did you mean steps",
        ),
        (
            ["--config=configs/pocket.py", "--config.data.mixture.pictures.tasks.dpth=1.0"],
            "config.data.mixture.pictures.tasks has no key 'dpth'; did you mean depth",
        ),
        (
            ["--config=configs/pocket.py", "--config.model.size.x=3"],
            "config.model.size is 'pocket', which has no keys",
        ),
        (["--config=configs/pocket.py", "--workdir=x", "more"], "unexpected arguments: more"),
        (["--config=configs/quickstart.py:foo", "--workdir=x"], "phase is 'foo'; write"),
        (["--config=configs/pocket.py"], "missing: --workdir FOLDER"),
        ([], "missing: --config FILE --workdir FOLDER"),
        (
            ["--config=configs/pocket.py:x", "--workdir=x"],
            "--config configs/pocket.py:x: this config takes nothing behind a colon",
        ),
    ],
)
def test_a_mistake_on_the_command_line_is_one_line(monkeypatch, capsys, arguments, says):
    values = flags.FlagValues()  # those of the tests' own process stay as they are
    config = config_flags.DEFINE_config_file("config", None, "", flag_values=values)
    flags.DEFINE_string("workdir", None, "", flag_values=values)
    flags.mark_flags_as_required(["config", "workdir"], values)
    monkeypatch.setattr(flags, "FLAGS", values)
    monkeypatch.setattr(config_flag, "CONFIG", config)
    monkeypatch.setattr(sys, "argv", ["train", *arguments])  # where the config's flag looks
    monkeypatch.chdir(commands.ROOT)
    assert exit_code(config_flag.parse, sys.argv) == 2
    error = capsys.readouterr().err
    assert error.startswith("train: ") and says in error
    assert len(error.strip().splitlines()) == 1


def test_a_mistake_ends_a_restart_loop():
    done = subprocess.run(
        [sys.executable, "-m", "vision_banana.train", "--config=configs/pocket.py"],
        cwd=commands.ROOT, env=commands.environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.endswith("train.py: missing: --workdir FOLDER\n")
    assert len(done.stderr.splitlines()) == 1
