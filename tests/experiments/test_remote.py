"""What hosts are told, in a real shell whose home is an empty folder."""

import os
import subprocess
import time

from experiments.launch import remote

COMMAND = ["python", "-m", "vision_banana.train", "--workdir", "gs://b/it's mine $HOME"]


def host(tmp_path, text):
    return subprocess.run(
        ["sh", "-c", text], env={"HOME": str(tmp_path), "PATH": os.environ["PATH"]},
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip


def test_a_host_runs_the_command_word_by_word_and_keeps_its_exit_code(tmp_path):
    assert host(tmp_path, remote.FOLLOW).returncode == 1
    (tmp_path / "vision_banana").mkdir()
    (tmp_path / "venv" / "bin").mkdir(parents=True)
    python = tmp_path / "venv" / "bin" / "python"
    python.write_text(
        '#!/bin/sh\npwd > ~/where\nprintf "%s\\n" "$@" > ~/words\n'
        "while [ ! -e ~/go ]; do sleep 0.05; done\necho the end\nexit 5\n"
    )
    python.chmod(0o755)
    started = host(tmp_path, remote.start(COMMAND))
    assert started.returncode == 0, started.stderr
    deadline = time.monotonic() + 30
    while not (tmp_path / "words").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    again = host(tmp_path, remote.start(COMMAND))
    assert again.returncode == 1 and "still under way" in again.stderr
    installed = host(tmp_path, remote.INSTALL)
    assert installed.returncode == 1 and "still under way" in installed.stderr
    (tmp_path / "go").write_text("")
    followed = host(tmp_path, remote.FOLLOW)
    assert followed.returncode == 5 and "the end" in followed.stdout
    assert (tmp_path / "words").read_text().splitlines() == COMMAND[1:]
    assert (tmp_path / "where").read_text().strip() == str(tmp_path / "vision_banana")
    assert host(tmp_path, remote.start(COMMAND)).returncode == 0  # the former has ended
    assert host(tmp_path, remote.FOLLOW).returncode == 5
    assert host(tmp_path, remote.LOG).stdout.count("the end") == 2
