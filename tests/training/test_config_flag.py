import subprocess
import sys

import commands
import pytest


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
def test_a_mistake_on_the_command_line_is_one_line_and_ends_a_restart_loop(arguments, says):
    done = subprocess.run(
        [sys.executable, "-m", "vision_banana.train", *arguments],
        cwd=commands.ROOT, env=commands.environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert says in done.stderr and "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
