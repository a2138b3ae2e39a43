"""Sweeps of runs that train nothing: each point's command is a few lines of Python."""

import contextlib
import json
import os
import pathlib
import shlex
import signal
import subprocess
import sys
import time

import commands
import pytest
from etils import epath
from exit_codes import exit_code

from experiments import points, sweep
from vision_banana.evaluation import results
from vision_banana.training import folders

FILE = """
from experiments import points

def stages(folder):
    return [points.Stage("a", "configs/quickstart.py:tune", points.values("seed", [0, 1, 2]))]
"""
# Notes that it ran, then does what a file of its number says: fails with it, or waits.
SCRIPT = """
import pathlib, sys, time
work, root = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
with (root / "ran").open("a") as ran: ran.write(work.name)
wish = root / ("wish" + work.name)
if wish.exists():
    if wish.read_text() == "wait": time.sleep(20)
    sys.exit(int(wish.read_text()))
"""


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Runs the sweep; returns its exit code and which points ran."""
    (tmp_path / "sweep.py").write_text(FILE)
    (tmp_path / "script.py").write_text(SCRIPT)
    monkeypatch.setattr(
        points, "commands", lambda one: [[str(tmp_path / "script.py"), one.workdir, str(tmp_path)]]
    )

    def once():
        (tmp_path / "ran").write_text("")
        asked = [str(tmp_path / "sweep.py"), "--folder", str(tmp_path / "runs")]
        code = exit_code(sweep.main, asked)
        return code, (tmp_path / "ran").read_text()

    return once


def test_a_failed_point_does_not_stop_the_rest_and_is_tried_again(run, tmp_path, capsys):
    (tmp_path / "wish1").write_text("3")
    assert run() == (1, "012")
    table = (tmp_path / "runs" / "progress.md").read_text().splitlines()
    assert [line.split(" | ")[2].split(":")[0] for line in table[2:]] == ["done", "failed", "done"]
    assert "ended with code 3, see" in table[3] and "sweep.log" in table[3]
    assert "ended with code 3" in capsys.readouterr().out
    assert "failed" in (tmp_path / "runs" / "results.md").read_text()
    (tmp_path / "wish1").unlink()
    assert run() == (0, "1")
    assert run() == (0, "")


def test_scores_that_are_added_are_computed_and_nothing_else(run, tmp_path, monkeypatch, capsys):
    file, script = tmp_path / "sweep.py", str(tmp_path / "script.py")

    def commands(one):  # a part notes its place: training is 0
        return [[script, str(place), str(tmp_path)] for place in range(len(one.parts))]

    monkeypatch.setattr(points, "commands", commands)
    file.write_text(FILE.replace("[0, 1, 2])", "[0, 1]), ['--steps 1']"))
    assert run() == (0, "0101")
    file.write_text(FILE.replace("[0, 1, 2])", "[0, 1]), ['--steps 1', '--steps 4']"))
    assert exit_code(sweep.main, [str(file), "--folder", str(tmp_path / "runs"), "--table"]) == 0
    assert (tmp_path / "runs" / "results.md").read_text().count(sweep.UNSCORED) == 2
    (tmp_path / "wish2").write_text("3")
    assert run() == (1, "22")
    (tmp_path / "wish2").unlink()
    assert run() == (0, "22")  # a part that has ended well is not done again
    assert run() == (0, "")
    note = tmp_path / "runs" / "a" / "1" / "sweep.json"
    note.write_text('{"state": "done", "seconds": 1}')  # of an older version
    assert run() == (0, "")


@pytest.mark.parametrize("name", ["sweep.json", "progress.md", "results.csv"])
def test_a_kill_while_writing_leaves_the_old_file(run, tmp_path, monkeypatch, name):
    assert run()[0] == 0
    path, whole = tmp_path / "runs" / name, folders.write_whole
    before = path.read_text()

    def killed(self, content):
        self.open("wb").write(content[:9])
        raise KeyboardInterrupt

    def write_whole(file, content):
        with monkeypatch.context() as patch:
            if file.name == name:
                patch.setattr(type(epath.Path(file)), "write_bytes", killed)
            return whole(file, content)

    with monkeypatch.context() as patch:
        patch.setattr(folders, "write_whole", write_whole)
        assert run()[0] == 130
    assert path.read_text() == before
    assert run() == (0, "")


def test_a_point_that_was_asked_to_stop_stops_the_sweep(run, tmp_path):
    (tmp_path / "wish1").write_text("75")
    assert run() == (75, "01")
    (tmp_path / "wish1").unlink()
    assert run() == (0, "12")


def test_a_folder_keeps_its_points(run, tmp_path, capsys):
    assert run()[0] == 0
    file = tmp_path / "sweep.py"
    file.write_text(FILE.replace("[0, 1, 2]", "[0, 5]"))
    assert run() == (2, "")
    assert "holds the point" in capsys.readouterr().err
    for folder in ("runs", "runs/", "./runs"):  # however it is written
        arguments = [str(file), "--folder", f"{tmp_path}/{folder}", "--table"]
        assert exit_code(sweep.main, arguments) == 2
        assert "/a/1 holds the point" in capsys.readouterr().err
    file.write_text(FILE.replace("[0, 1, 2]", "[0, 1, 2, 3]"))
    assert run() == (0, "3")
    file.write_text(FILE.replace('"seed"', '"sede"'))
    assert run() == (2, "")
    assert "no field 'sede'" in capsys.readouterr().err


def wait_for(condition):
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_a_sweep_that_is_killed_goes_on(run, tmp_path, how, capsys):
    (tmp_path / "wish1").write_text("wait")
    (tmp_path / "ran").write_text("")
    lines = [
        "import sys; from experiments import points, sweep",
        f"points.commands = lambda r: [[{str(tmp_path / 'script.py')!r}, r.workdir, "
        f"{str(tmp_path)!r}]]",
        f"sys.exit(sweep.main([{str(tmp_path / 'sweep.py')!r}, '--folder', "
        f"{str(tmp_path / 'runs')!r}]))",
    ]
    process = subprocess.Popen(
        [sys.executable, "-c", "\n".join(lines)], cwd=commands.ROOT, stdout=subprocess.DEVNULL,
        env=os.environ | {"PYTHONPATH": str(commands.ROOT)}, start_new_session=True,
    )  # fmt: skip
    try:
        wait_for(lambda: (tmp_path / "ran").read_text() == "01")
        process.send_signal(how)
        code = process.wait(60)
        if how == signal.SIGKILL:  # its training lives on and keeps the folder
            assert run() == (2, "")
            assert "still runs in" in capsys.readouterr().err
        else:
            assert code == 75
    finally:
        with contextlib.suppress(ProcessLookupError):  # all of them have ended
            os.killpg(process.pid, signal.SIGKILL)
    wait_for(lambda: unlocked(tmp_path / "runs"))
    (tmp_path / "wish1").unlink()
    assert run() == (0, "12")


def unlocked(folder):
    try:
        with (folder / "lock").open("w") as lock:
            sweep._take(lock, folder)
    except ValueError:
        return False
    return True


def test_a_bucket_takes_emitted_launches_alone(run, tmp_path, capsys):
    file = str(tmp_path / "sweep.py")
    assert exit_code(sweep.main, [file, "--folder", "gs://b/x"]) == 2
    assert "--emit" in capsys.readouterr().err


def test_emitted_lines_are_words_that_a_shell_takes_apart(tmp_path, capsys):
    file = tmp_path / "sweep.py"
    text = FILE.replace("[0, 1, 2])", "[0, 1]), ['--steps 1 --tasks depth']")
    file.write_text(text)
    prefix = "launch --name 'p {number}' --"
    assert exit_code(sweep.main, [str(file), "--folder", "gs://b/my runs", "--emit", prefix]) == 0
    comment, first, second = capsys.readouterr().out.splitlines()
    assert comment.startswith("# a:")
    assert shlex.split(first)[:4] == ["launch", "--name", "p 0", "--"]
    assert shlex.split(second)[2] == "p 1"
    shell, flag, both = shlex.split(second)[4:]
    train, evaluate = both.split(" && ")
    assert (shell, flag) == ("sh", "-c")
    assert shlex.split(train) == [
        "python", "-m", "vision_banana.train", "--config", "configs/quickstart.py:tune",
        "--workdir", "gs://b/my runs/a/1", "--config.seed=1",
    ]  # fmt: skip
    assert shlex.split(evaluate)[3:] == [
        "--workdir", "gs://b/my runs/a/1", "--steps", "1", "--tasks", "depth",
    ]  # fmt: skip
    assert not pathlib.Path("gs:").exists()


def test_points_that_name_their_folder_are_known_however_it_is_written(tmp_path, capsys):
    file, runs = tmp_path / "sweep.py", tmp_path / "runs"
    file.write_text(
        "from experiments import points\n"
        "def stages(folder):\n"
        "    config = 'configs/quickstart.py:tune'\n"
        "    return [points.Stage('a', config, [{'seed': 1}]),\n"
        "            points.Stage('b', config, [{'init_from': f'{folder}/a/0'}])]\n"
    )
    plan = lambda folder: points.plan(points.load_module(str(file)).stages(folder), folder)  # noqa: E731
    runs.mkdir()
    ledger = sweep.check(plan(str(runs)), str(runs))
    (runs / "sweep.json").write_text(json.dumps(ledger))
    runs.rename(tmp_path / "moved")
    for folder in (f"{tmp_path}/moved/", f"{tmp_path}/./moved"):
        assert exit_code(sweep.main, [str(file), "--folder", folder, "--table"]) == 0
    runs = tmp_path / "moved"
    old = {f"/old/runs/{name}": point for name, point in ledger.items()}
    old["/old/runs/b/0"] = ["configs/quickstart.py:tune", {"init_from": "/old/runs/a/0"}]
    (runs / "sweep.json").write_text(json.dumps(old))  # as an earlier version noted it
    assert exit_code(sweep.main, [str(file), "--folder", str(runs), "--table"]) == 0
    (runs / "sweep.json").write_text(json.dumps(ledger))
    text = file.read_text()
    for other in ("{folder}/c/0", "/another/sweep/a/0"):
        file.write_text(text.replace("{folder}/a/0", other))
        assert exit_code(sweep.main, [str(file), "--folder", str(runs), "--table"]) == 2
        assert "holds the point" in capsys.readouterr().err


def test_the_ledger_of_points(run, tmp_path):
    run()
    ledger = json.loads((tmp_path / "runs" / "sweep.json").read_text())
    assert ledger["a/2"] == ["configs/quickstart.py:tune", {"seed": 2}]
    older = {f"{tmp_path}/runs/{name}": point for name, point in ledger.items()}
    (tmp_path / "runs" / "sweep.json").write_text(json.dumps(older))
    assert run() == (0, "")


def test_a_point_is_done_where_all_its_scores_are_told():
    one = {"steps": 1, "benchmark": "scenes", "seed": 0, "count": 250, "skipped": 6, "whole": True}
    rows = [one | {"task": task} for task in ("depth", "image_editing")]
    assert sweep._told("--tasks depth,image_editing --steps 1", rows)
    assert not sweep._told("--steps 1", [])
    assert not sweep._told("--tasks depth --steps 1,20", rows)
    assert not sweep._told("--tasks image_generation --steps 1", rows)
    assert not sweep._told("--tasks depth --steps 1 --votes 4", rows)
    assert sweep._told("--tasks depth --steps 1 --votes 4", [rows[0] | {"votes": 4}])
    assert not sweep._told("--steps 1 --seed 1", rows)
    other = one | {"task": "surface_normals", "benchmark": "nyu_normals"}
    assert sweep._told("--steps 1", [*rows, other]) and not sweep._told("--steps 1", [other])
    assert sweep._told("--benchmark nyu_normals --data D --steps 1", [*rows, other])


def test_a_score_of_other_records_or_guidance_is_not_the_one_that_is_asked_for():
    row = {"task": "image_generation", "steps": 1, "benchmark": "scenes", "seed": 0}
    row |= {"count": 60, "skipped": 4, "whole": False, "text_guidance": 4.0}
    assert sweep._told("--steps 1 --count 64 --text_guidance 4", [row])
    assert not sweep._told("--steps 1 --count 64 --text_guidance 3", [row])
    assert not sweep._told("--steps 1 --count 256 --text_guidance 4", [row])
    assert not sweep._told("--steps 1 --text_guidance 4", [row])  # all that there are
    assert sweep._told("--steps 1 --text_guidance 4", [row | {"whole": True}])
    seeing = row | {"task": "depth", "text_guidance": 1.0}  # whatever the text's weight is
    assert sweep._told("--steps 1 --count 64 --text_guidance 4", [row, seeing])
    del row["text_guidance"]  # as earlier versions wrote it
    assert sweep._told("--steps 1 --count 64", [row])


def test_a_table_knows_how_far_emitted_points_are(tmp_path, capsys):
    file, folder = tmp_path / "sweep.py", tmp_path / "runs"
    file.write_text(FILE.replace('"seed", [0, 1, 2])', '"steps", [5, 6, 7, 8, 9]), ["--steps 1"]'))
    # Finished checkpoints as Orbax leaves them, and an unfinished one.
    for point, steps in enumerate([(), (2, 4), (7,), (8,)]):
        for step in steps:
            (folder / "a" / str(point) / "checkpoints" / str(step)).mkdir(parents=True)
    (folder / "a" / "0" / "checkpoints" / "5.orbax-checkpoint-tmp-1").mkdir(parents=True)
    for point, step in ((2, 7), (3, 6)):
        row = dict.fromkeys(results.IDENTITY, 1) | {
            "checkpoint_step": step, "perfect": None, "benchmark": "scenes", "seed": 0,
            "whole": True,
        }  # fmt: skip
        results.write(str(folder / "a" / str(point) / "results.jsonl"), [row])
    (folder / "a" / "4").mkdir()
    (folder / "a" / "4" / "sweep.json").write_text('{"state": "failed: x", "seconds": 1}')
    assert exit_code(sweep.main, [str(file), "--folder", str(folder), "--table"]) == 0
    rows = [row.split("|") for row in (folder / "results.md").read_text().splitlines()[2:]]
    assert [row[3].strip() for row in rows] == [
        "waiting", "at step 4 of 6", "done", "trained, not scored", "failed: x",
    ]  # fmt: skip
