"""Both studies: their sweeps fit their configs, and their verdicts are what the numbers say."""

import json
import pathlib
import xml.etree.ElementTree as ET

import pytest

from experiments import points
from experiments.mix_keeps_drawing import sweep as mix
from experiments.mix_keeps_drawing import verdict as mix_verdict
from experiments.pretraining_helps import config
from experiments.pretraining_helps import sweep as pretraining
from experiments.pretraining_helps import verdict as pretraining_verdict
from vision_banana.data import mixture, pipeline
from vision_banana.tasks import TASKS
from vision_banana.training import optimizer

SEEING = ("depth", "surface_normals", "semantic_segmentation", "instance_segmentation",
          "referring_segmentation")  # fmt: skip
DRAWING = ("image_generation", "image_editing")


@pytest.mark.parametrize(("study", "count"), [(pretraining, 6 + 36), (mix, 1 + 12)])
def test_every_run_has_its_start_and_at_least_three_seeds(study, count):
    runs = points.plan(study.stages("runs/x"), "runs/x")
    assert len(runs) == count
    at = {run.workdir: i for i, run in enumerate(runs)}
    for i, run in enumerate(runs):
        start = run.point.get("init_from")
        if start:
            earlier = runs[at[start]]
            assert at[start] < i and earlier.point["seed"] == run.point["seed"]
    for run in runs:
        if run.stage.name == "start":
            continue  # the weights that all seeds begin with
        assert run.point["seed"] in (0, 1, 2)
        others = {k: v for k, v in run.point.items() if k not in ("seed", "init_from")}
        like = [r for r in runs if r.stage is run.stage and others.items() <= r.point.items()]
        assert {r.point["seed"] for r in like} == {0, 1, 2}


def test_starts_are_equal_in_compute():
    patches = {p: config.patches_of_a_step(config.get_config(p)) for p in ("generative", "masked")}
    # 8 pictures of 64 patches, 8 targets of which a quarter is kept: 8 * 64 * 1.25.
    assert patches == {"generative": 640, "masked": 640}
    # 4 pictures, 24 targets of which a quarter is kept: 64 * (4 + 6).
    tune = config.patches_of_a_step(config.get_config("tune"))
    assert tune == 640
    spent = {
        start: pretraining.steps_of(start) * tune
        + (not start.startswith("random")) * pretraining.PRETRAIN * 640
        for start in pretraining.STARTS
    }
    assert spent["random"] == pytest.approx(spent["masked"], rel=1e-3) == spent["generative"]
    assert spent["random_short"] == pretraining.TUNE * tune
    tuned = pretraining.stages("f")[-1].points
    assert {pretraining.start_of(p) for p in tuned} == set(pretraining.STARTS)


@pytest.mark.parametrize(
    ("phase", "asked"),
    [("generative", set(DRAWING)), ("masked", {"image_editing"}), ("tune", set(SEEING))],
)
def test_the_data_of_each_phase(phase, asked):
    c = config.get_config(phase)
    if phase == "tune":
        points.change(c, {pretraining.RECORDS: 2})
    names, keys = set(), set()
    with pipeline.open_run(c.to_dict()) as batches:
        for _ in range(2):
            batch = next(batches)
            names |= {list(TASKS)[i] for i in batch["task"].ravel()}
            keys |= set(batches.records)
    assert names == asked
    if phase == "tune":
        assert keys <= {"scenes/train/0", "scenes/train/1"}
    with pytest.raises(ValueError, match="phase is 'x'"):
        config.get_config("x")


def test_every_share_of_seeing_can_be_reached():
    for point in mix.stages("f")[1].points:
        c = points.load_config(mix.CONFIG)
        points.change(c, point)
        [row] = mixture.with_vision_share(
            list(c.to_dict()["data"]["mixture"].values()), c.data.vision_share
        )
        seeing = sum(row["tasks"][task] for task in SEEING)
        assert seeing / sum(row["tasks"].values()) == pytest.approx(point[mix.SHARE], abs=1e-5)


def write(workdir, skills):
    """A run's result lines: each task's skill, over two metrics whose mean it is."""
    folder = pathlib.Path(workdir)
    folder.mkdir(parents=True)
    lines = [
        {"run": "r", "checkpoint_step": 9, "benchmark": "scenes", "task": task, "metric": metric,
         "steps": 1, "seed": 0, "count": 4, "value": 0.5, "low": None, "high": None, "blind": 0.1,
         "perfect": 1.0, "skill": skill + off}
        for task, skill in skills.items()
        for metric, off in (("a", 0.1), ("b", -0.1))
    ]  # fmt: skip
    (folder / "results.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def rows(text):
    cells = [
        [c.strip() for c in line.split("|")[1:-1]] for line in text.splitlines() if "|" in line
    ]
    return {row[0]: row for row in cells}


def test_the_verdict_on_pretraining(tmp_path):
    folder, output = tmp_path / "runs", tmp_path / "out"
    output.mkdir()
    for run in points.plan(pretraining.stages(str(folder)), str(folder))[6:]:
        start, seed = pretraining.start_of(run.point), run.point["seed"]
        # Seeds differ by as much as starts, but every seed gains the same: pairing tells.
        skill = (
            0.3 * seed
            + {
                "generative": 0.2,
                "masked": 0.1,
                "random": 0.2 - 0.3 * (seed - 1),
                "random_short": 0.0,
            }[start]
        )
        write(run.workdir, dict.fromkeys(SEEING, skill))
    pretraining_verdict.main(["--folder", str(folder), "--output", str(output)])
    text = (output / "table.md").read_text()
    row = rows(text)["1024"]
    # 0.2, 0.5, 0.8: 0.5 +- 4.30265 * 0.3 / sqrt(3).
    assert row[1] == "0.500 (-0.245 to 1.245)" and row[2].startswith("0.400 ")
    assert row[5] == "0.100 (0.100 to 0.100)" and row[6] == "0.000 (-0.745 to 0.745)"
    assert "against masked: 0.100 (0.100 to 0.100): **better**" in text
    assert "against random: 0.000 (-0.745 to 0.745): **undecided**" in text
    assert len(ET.fromstring((output / "curve.svg").read_text()).findall(".//{*}circle")) == 12


def test_the_verdict_on_the_mix(tmp_path):
    folder, output = tmp_path / "runs", tmp_path / "out"
    output.mkdir()
    for run in points.plan(mix.stages(str(folder)), str(folder)):
        share = run.point.get(mix.SHARE)
        if share is None:
            write(run.workdir, dict.fromkeys(SEEING, 0.3) | dict.fromkeys(DRAWING, 0.4))
        else:
            drawn = 0.4 + 0.01 * run.point["seed"] - (share > 0.6) * 0.2
            write(run.workdir, dict.fromkeys(SEEING, share) | dict.fromkeys(DRAWING, drawn))
    mix_verdict.main(["--folder", str(folder), "--output", str(output)])
    text = (output / "table.md").read_text()
    assert rows(text)["before tuning"][1:] == ["0.300", "-", "0.400", "-", "-"]
    # Changes of 0.00, 0.01, 0.02 up to a share of 0.5: 0.01 +- 4.30265 * 0.01 / sqrt(3).
    assert rows(text)["0.5"][4:] == ["0.010 (-0.015 to 0.035)", "undecided"]
    assert rows(text)["0.9"][4:] == ["-0.190 (-0.215 to -0.165)", "worse"]
    assert rows(text)["0.9"][1].startswith("0.900") and rows(text)["0.9"][2].startswith("0.600")
    assert "than before: **0.5**" in text and "best mean of seeing: **0.99**" in text
    ET.fromstring((output / "curve.svg").read_text())


def test_the_start_of_the_mix_is_left_as_it_is():
    [start] = mix.stages("f")[0].points
    c = points.load_config(mix.CONFIG)
    points.change(c, start)
    rate = optimizer.Optimizer(**c.optimizer.to_dict()).schedule(c.steps)
    assert c.steps == 1 and rate.share(0) == 0


def test_too_little_gives_no_verdict(tmp_path, capsys):
    for verdict in (mix_verdict, pretraining_verdict):
        with pytest.raises(SystemExit):
            verdict.main(["--folder", str(tmp_path), "--output", str(tmp_path)])
        assert "nothing is scored" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
    runs = points.plan(mix.stages(str(tmp_path)), str(tmp_path))
    write(runs[0].workdir, dict.fromkeys(DRAWING, 0.4))
    write(runs[1].workdir, dict.fromkeys(DRAWING, 0.4))
    mix_verdict.main(["--folder", str(tmp_path), "--output", str(tmp_path)])
    text = (tmp_path / "table.md").read_text()
    assert "not known" in text and "too few seeds (1 of at least 3)" in text
    assert "Seeing is not scored yet" in text
