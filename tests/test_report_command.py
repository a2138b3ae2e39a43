"""The report command on a generator with random weights."""

import html.parser

import jax
import pytest
from exit_codes import exit_code

from vision_banana import evaluate, report
from vision_banana.evaluation import photographs, results
from vision_banana.models.generator import Generator
from vision_banana.tasks import TASKS
from vision_banana.training.trained import Trained


@pytest.fixture
def model():
    generator = Generator(size="nano", dtype="float32", text_length=64)
    params = jax.jit(generator.init)(jax.random.key(0))
    config = {
        "model": {"size": "nano"},
        "init_from": "runs/tune/",
        "time": {"shift": 1.0},
        "data": {
            "size": 32,
            "groups": 2,
            "queries": 3,
            "mixture": {"pictures": {"source": {"name": "scenes"}}},
        },
    }
    return Trained(generator, params, config, step=7)


def test_the_page_shows_every_task_the_scores_and_the_curves(model, tmp_path, monkeypatch):
    monkeypatch.setattr(report, "DRAWING_STEPS", 1)
    monkeypatch.setattr(report, "GENERATIONS", 2)
    monkeypatch.setattr(report, "SCENES", 1)
    # Neither scenes nor photographs can be asked for a task of somebody's own.
    monkeypatch.setitem(TASKS, "silhouette", TASKS["depth"]._replace(name="silhouette"))
    one = photographs.load()[:1]
    monkeypatch.setattr(photographs, "load", lambda: one)
    (tmp_path / "metrics.jsonl").write_text('{"step": 1, "loss": 0.5}\n{"step": 2, "loss": 0.4}\n')
    page = report.build(model, str(tmp_path))
    for name in (
        "Depth",
        "Surface normals",
        "Semantic segmentation",
        "Instance segmentation",
        "Referring segmentation",
        "Image editing",
        tmp_path.name,  # of the phase in the chart of the loss
    ):
        assert name in page
    assert "Silhouette" not in page
    assert "field of view" in page and one[0].credit.split(";")[0] in page
    assert "Scores" not in page  # nothing has been scored yet
    assert (
        "rendered solids at 32 x 32 pixels" in page
        and "7 steps of 6 queries, from runs/tune<" in page
    )
    html.parser.HTMLParser().feed(page)


def test_the_page_says_what_was_scored(model, tmp_path, monkeypatch):
    monkeypatch.setattr(report, "_generations", lambda *asked: [])
    monkeypatch.setattr(report, "_rows", lambda *asked: ([], []))
    monkeypatch.setattr(report, "_photos", lambda *asked: [])
    row = {
        "run": "x", "checkpoint_step": 7, "benchmark": "scenes", "seed": 0, "task": "depth",
        "metric": "delta1", "steps": 1, "value": 0.875, "blind": 0.5, "truth": 1.0,
        "perfect": 1.0, "skill": 0.75, "count": 64, "skipped": 0,
    }  # fmt: skip
    lines = [row, row | {"benchmark": "nyu_depth", "count": 654}]
    results.write(tmp_path / "results.jsonl", lines)
    page = report.build(model, str(tmp_path))
    assert "Scored on 64 records of scenes, 654 records of nyu_depth" in page


def test_a_folder_without_a_checkpoint_is_one_sentence(tmp_path, capsys):
    with pytest.raises(SystemExit) as stopped:
        report.main(["--workdir", str(tmp_path / "nothing")])
    assert stopped.value.code == 2
    assert "does not exist; give the --workdir of a run that has trained" in capsys.readouterr().err


@pytest.mark.parametrize("before", ["gs://bucket/tune/", "hf://owner/name", "tune//"])
def test_an_address_stays_one(model, before):
    model = model._replace(config=model.config | {"init_from": before})
    assert report._facts(model, "", 0)["trained"].endswith(f", from {before.rstrip('/')}")


def test_a_folder_is_no_page(tmp_path, monkeypatch, capsys):
    (tmp_path / "page").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path))
    assert exit_code(report.main, ["--checkpoint", "absent", "--output=~/page"]) == 2
    assert f"--output {tmp_path}/page is a folder; name the page, " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("command", "arguments", "says"),
    [
        (report.main, ["--fov", "0"], "--fov: '0': write a field of view between 0 and 180"),
        (report.main, ["--seed", "-1"], "--seed: '-1': write a whole number from 0 to 2147483647"),
        (evaluate.main, ["--seed", "99999999999"], "from 0 to 2147483647"),
    ],
)
def test_what_cannot_be_used_is_refused_before_weights_are_loaded(capsys, command, arguments, says):
    assert exit_code(command, ["--checkpoint", "absent", *arguments]) == 2
    assert says in capsys.readouterr().err
