"""The verdict on two runs sees each way in which they can differ."""

import json

import numpy as np
import orbax.checkpoint as ocp
import pytest
from exit_codes import exit_code

from experiments.restarts import __main__ as restarts
from experiments.restarts import report

STEP = 2


def state():
    """A checkpoint's items with their arrays."""
    weights = {"ends": {"out": np.float32([0, 1])}, "table": np.float32([2])}
    return {"params": weights, "ema": {"table": np.float32([3])}, "train": {"step": np.int32(STEP)}}


def write(folder, tree, records=("a", "b")):
    """A run of two steps, each on one record."""
    place = folder / "checkpoints" / str(STEP)
    with ocp.StandardCheckpointer() as writer:
        for name, item in tree.items():
            writer.save(place / name, item)
    told = dict.fromkeys(
        ("processor", "device", "device_count", "process_count", "python", "revision"), "x"
    )
    told |= {"versions": {"jax": "1"}, "config": {"model": {"size": "nano"}, "mesh": {}}}
    (place / "description").mkdir()
    (place / "description" / "metadata").write_text(json.dumps(told))
    (folder / "records").mkdir()
    lines = [{"step": i, "rows": [0], "records": [key]} for i, key in enumerate(records, 1)]
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (folder / "records" / "00000-of-00001.jsonl").write_text(text)


def one_bit(tree):
    tree["params"]["ends"]["out"][0] = -0.0  # a number that equals the other run's


def missing(tree):
    del tree["params"]["table"]


def another_type(tree):
    tree["ema"]["table"] = tree["ema"]["table"].view(np.int32)


def another_shape(tree):
    tree["ema"]["table"] = tree["ema"]["table"][None]


@pytest.mark.parametrize(
    ("change", "records", "different"),
    [
        (lambda tree: None, "ab", []),
        (one_bit, "ab", ["params/ends/out"]),
        (missing, "ab", ["params/table"]),
        (another_type, "ab", ["ema/table"]),
        (another_shape, "ab", ["ema/table"]),
        (lambda tree: None, "ba", ["sequence of record ids"]),
        (lambda tree: None, "a", ["sequence of record ids"]),
    ],
)
def test_every_difference_is_named(tmp_path, change, records, different):
    write(tmp_path / "whole", state())
    tree = state()
    change(tree)
    write(tmp_path / "broken", tree, records)
    found = report.compare(tmp_path / "whole", tmp_path / "broken", STEP)
    assert found == {"arrays": 4, "bytes": 20, "record_ids": 2, "different": different}


def test_records_that_both_runs_lack_are_a_difference(tmp_path):
    for name in ("whole", "broken"):
        write(tmp_path / name, state(), "a")
    found = report.compare(tmp_path / "whole", tmp_path / "broken", STEP)
    assert found["different"] == ["sequence of record ids"]


@pytest.mark.parametrize(
    ("change", "killed", "code", "verdict"),
    [
        (lambda tree: None, True, 0, "# 1 kills: the same bits"),
        (one_bit, True, 1, "# 1 kills: DIFFERENT: params/ends/out"),
        (lambda tree: None, False, 1, "# 0 kills: the same bits"),  # shows nothing
    ],
)
def test_the_command_fails_where_bits_differ_or_a_kill_came_too_late(
    tmp_path, monkeypatch, capsys, change, killed, code, verdict
):
    def finish(run, workers):
        tree = state()
        if run.folder.name == "broken":
            change(tree)
        write(run.folder, tree)

    kill = restarts.Kill("any", 1.0, 1, 1, False, 0) if killed else None
    monkeypatch.setattr(restarts, "STEPS_PER_KILL", STEP // 2)
    monkeypatch.setattr(restarts.Run, "finish", finish)
    monkeypatch.setattr(restarts, "kill", lambda *_: kill)
    assert exit_code(restarts.main, ["--kills=1", f"--folder={tmp_path}"]) == code
    assert (tmp_path / "report.md").read_text().startswith(verdict + "\n")
    assert verdict in capsys.readouterr().out
