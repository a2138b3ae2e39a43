"""The evaluate command: its arguments, and a small run from weights to table."""

import json

import jax
import jax.numpy as jnp
import pytest

from vision_banana import evaluate
from vision_banana.evaluation import results, score
from vision_banana.models.generator import Generator
from vision_banana.tasks import TASKS
from vision_banana.training.trained import Trained


def test_defaults():
    arguments = evaluate.parse(["--workdir", "runs/x"])
    assert vars(arguments) == {
        "workdir": "runs/x",
        "benchmark": "scenes",
        "count": 0,
        "steps": (1, 4, 20),
        "tasks": (),
        "seed": 0,
        "text_guidance": 2.0,
        "output": None,
    }


def test_lists():
    arguments = evaluate.parse(
        ["--workdir=x", "--steps=2,8", "--tasks=depth,image_editing,depth", "--count=64"]
    )
    assert arguments.steps == (2, 8)
    assert arguments.tasks == ("depth", "image_editing")
    assert arguments.count == 64


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("--steps=1,x", "write numbers"),
        ("--steps=", "write numbers"),
        ("--steps=0,4", "1 or more"),
        ("--steps=4,4", "differ"),
        ("--tasks=depht", "'depht' is no task: use "),
        ("--count=0", "1 or more"),
        ("--count=-3", "1 or more"),
        ("--benchmark=imagenet", "scenes"),
        ("--step=1", "unrecognized"),
    ],
)
def test_bad_arguments_are_refused(capsys, argument, message):
    with pytest.raises(SystemExit) as stopped:
        evaluate.parse(["--workdir=x", argument])
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err


def test_a_workdir_without_weights_is_a_clear_error(tmp_path, capsys):
    with pytest.raises(SystemExit) as stopped:
        evaluate.main(["--workdir", str(tmp_path / "none")])
    assert stopped.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith("evaluate: ")
    assert "none" in error


def test_a_task_without_its_judge_is_skipped_with_a_reason(monkeypatch, capsys):
    def missing():
        raise ImportError("no judge here")

    monkeypatch.setitem(TASKS, "depth", TASKS["depth"]._replace(metric=missing))
    row = evaluate.benchmarks.BENCHMARKS["scenes"]
    assert set(evaluate._scorable(["depth", "surface_normals"], row)) == {"surface_normals"}
    assert "depth is not scored: no judge here" in capsys.readouterr().err


def test_a_task_that_the_benchmark_lacks_is_an_error():
    row = evaluate.benchmarks.BENCHMARKS["scenes_two_references"]
    with pytest.raises(ValueError, match="no task 'depth'"):
        evaluate._scorable(["depth"], row)


def test_from_weights_to_lines_and_table(monkeypatch, tmp_path, capsys):
    model = Generator(size="tiny", dtype="float32", text_length=16)
    shapes = jax.eval_shape(model.init, jax.random.key(0))
    params = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
    trained = Trained(model, params, {"data": {"size": 16}}, 5)
    monkeypatch.setattr(evaluate.trained_lib, "load", lambda workdir, language: trained)
    monkeypatch.setattr(score, "BLIND_RECORDS", 4)
    work = tmp_path / "pocket"
    evaluate.main(
        ["--workdir", f"{work}/", "--count=3", "--steps=1", "--tasks=depth,surface_normals"]
    )
    lines = results.read(work / "results.jsonl")
    assert {line["task"] for line in lines} == {"depth", "surface_normals"}
    for line in lines:
        assert (line["run"], line["checkpoint_step"], line["benchmark"]) == ("pocket", 5, "scenes")
        assert (line["steps"], line["count"], line["skipped"], line["seed"]) == (1, 3, 0, 0)
    assert json.loads((work / "results.jsonl").read_text().splitlines()[0])["metric"] == "delta1"
    # Zero weights predict mid-grey, which says nothing about where things are.
    first = next(line for line in lines if line["metric"] == "delta1")
    assert 0 <= first["value"] < 0.5
    assert "| depth " in capsys.readouterr().out
