"""Real kills of the real train command, and a real disk that fails.

maxtext#5260 (a save that was cut off spoils the next start), orbax#605 and keras#23609 (the error
of a save in the background was lost and the run ended well), torchtitan#3907 and #647 (the second
restart was wrong), jax#13672 (bits are promised on CPU, as experiments/restarts/README.md says).
"""

import json
import resource
import subprocess
import sys

import commands


def test_three_kills_and_the_same_bits(tmp_path):
    command = [sys.executable, "-m", "experiments.restarts", "--kills=3", "--folder", str(tmp_path)]
    done = subprocess.run(
        command, cwd=commands.ROOT, env=commands.environment(),
        capture_output=True, text=True, timeout=3000, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    found = json.loads((tmp_path / "report.json").read_text())
    assert found["different"] == [] and found["arrays"] > 100 and found["record_ids"] == 160 * 4
    assert [kill["moment"] for kill in found["kills"]] == ["any", "save", "any"]
    assert found["kills"][1]["torn"]
    assert "# 3 kills: the same bits" in (tmp_path / "report.md").read_text()


def test_a_disk_that_fails_fails_the_run(tmp_path):
    arguments = ["-m", "vision_banana.train", "--config", commands.CONFIG, "--config.steps=10"]
    log = tmp_path / "log"
    process = commands.start(
        [*arguments, "--workdir", tmp_path / "run"], log,
        # A program that is cut short must not lie where others look.
        env=commands.environment(JAX_COMPILATION_CACHE_DIR=str(tmp_path / "compiled")),
    )  # fmt: skip
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (200_000, 200_000))
    assert process.wait(900) not in (0, 2, 75)
    assert "File too large" in log.read_text()
