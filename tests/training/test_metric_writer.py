"""Weights & Biases by a stub that notes how it is called; the files are seen by the other tests."""

import importlib
import sys

import numpy as np
import pytest

from vision_banana.training import metric_writer
from vision_banana.training.metric_writer import MetricWriter

STUB = """
calls = []

class Image:
    def __init__(self, pixels):
        self.pixels = pixels

class Run:
    def log(self, values, step):
        calls.append((step, values))

    def finish(self):
        calls.append("finish")

def init(**arguments):
    calls.append(arguments)
    return Run()
"""


@pytest.fixture
def wandb(tmp_path, monkeypatch):
    (tmp_path / "stub").mkdir()
    (tmp_path / "stub" / "wandb.py").write_text(STUB)
    monkeypatch.syspath_prepend(str(tmp_path / "stub"))
    monkeypatch.delitem(sys.modules, "wandb", raising=False)
    yield importlib.import_module("wandb")
    sys.modules.pop("wandb")


def write(folder, start, project="fruit"):
    config = {"wandb_project": project, "seed": 3}
    writer = MetricWriter(str(folder), start, config)
    writer.scalars(start + 2, {"loss": 0.5, "mfu": float("nan")})
    writer.picture(start + 2, "depth", np.array([[[0, 128, 255]]], np.uint8))
    writer.close()


def test_everything_goes_to_the_project_and_a_restart_goes_on_in_its_run(wandb, tmp_path):
    metric_writer.check_wandb("fruit")
    write(tmp_path / "run", 0)
    write(tmp_path / "run", 2)
    first, scalars, (step, picture), end = wandb.calls[:4]
    assert {k: first[k] for k in ("project", "name", "resume", "config")} == {
        "project": "fruit", "name": "run", "resume": "allow",
        "config": {"wandb_project": "fruit", "seed": 3},
    }  # fmt: skip
    assert scalars == (2, {"loss": 0.5}) and step == 2 and end == "finish"
    assert picture["depth"].pixels.tolist() == [[[0, 128, 255]]]
    assert picture["depth"].pixels.dtype == np.uint8
    assert first["id"] == wandb.calls[4]["id"]
    write(tmp_path / "other", 0)
    assert wandb.calls[8]["id"] != first["id"]


def test_it_is_used_only_where_it_is_asked_for(wandb, tmp_path):
    write(tmp_path / "run", 0, project="")
    assert wandb.calls == [] and not (tmp_path / "run" / "wandb_run.txt").exists()


def test_what_is_asked_for_and_not_installed_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    monkeypatch.delitem(sys.modules, "wandb", raising=False)
    (tmp_path / "wandb").mkdir()  # what runs without a folder of their own leave behind
    importlib.invalidate_caches()
    with pytest.raises(ValueError, match=r"wandb_project is 'fruit'.*vision-banana\[wandb\]"):
        metric_writer.check_wandb("fruit")
    metric_writer.check_wandb("")
