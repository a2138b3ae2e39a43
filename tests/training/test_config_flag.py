import subprocess
import sys

import commands
import pytest


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (
            ["--config=configs/nope.py", "--workdir=x"],
            "No such file or directory: 'configs/nope.py'",
        ),
        (["--config=configs/pocket.py", "--config.step=3", "--workdir=x"], 'Did you mean "steps"'),
        (["--config=configs/quickstart.py:foo", "--workdir=x"], "phase is 'foo'; write"),
        (["--config=configs/pocket.py"], "--workdir must have a value"),
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
