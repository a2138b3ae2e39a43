import csv
import json
import math
import xml.etree.ElementTree as ET

import pytest

from experiments import chart, points, sweep_results

LINE = {
    "run": "0", "benchmark": "scenes", "seed": 0, "count": 4, "low": 0.1, "high": 0.9,
    "blind": 0.2, "truth": 1.0,
}  # fmt: skip


def line(step, task, metric, skill, value=0.5, perfect=1.0, steps=1):
    return LINE | {
        "checkpoint_step": step, "task": task, "metric": metric, "skill": skill, "value": value,
        "perfect": perfect, "steps": steps,
    }  # fmt: skip


@pytest.fixture
def runs(tmp_path):
    part = points.product(
        points.values("data.vision_share", [0.5, 0.75]), [{"seed": 0}, {"seed": 1}]
    )
    made = points.plan([points.Stage("a", "configs/quickstart.py:tune", part)], str(tmp_path))
    for number, skills in enumerate([(0.1, 0.3), (0.3, 0.5), (0.6, 0.8)]):
        folder = tmp_path / "a" / str(number)
        folder.mkdir(parents=True)
        rows = [
            line(3, "depth", "delta1", 0.99),  # of an older checkpoint
            line(7, "depth", "delta1", skills[0]),
            line(7, "depth", "AbsRel", skills[1], perfect=0.0),
            line(7, "depth", "extra", None, perfect=None),
        ]
        (folder / "results.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
        (folder / "metrics.jsonl").write_text('{"step": 1, "loss": 9}\n{"step": 2, "loss": 0.25}\n')
    return made


def test_skills_are_means_of_the_newest_checkpoint(runs):
    found = sweep_results.read(runs)
    assert [m.skill("depth") for m in found[:3]] == pytest.approx([0.2, 0.4, 0.7])
    assert math.isnan(found[3].skill("depth")) and math.isnan(found[3].loss)
    assert math.isnan(found[0].mean_skill(["depth", "surface_normals"]))
    assert found[0].loss == 0.25


def test_table_and_chart(runs, tmp_path):
    sweep_results.write(runs, str(tmp_path))
    body = [row.split("|") for row in (tmp_path / "results.md").read_text().splitlines()]
    assert [cell.strip() for cell in body[0][1:-1]] == [
        "run", "data.vision_share", "seed", "state", "loss", "depth skill",
    ]  # fmt: skip
    assert [cell.strip() for cell in body[4][1:-1]] == [
        "a/2",
        "0.75",
        "0",
        "waiting",
        "0.250",
        "0.700",
    ]
    assert body[5][-2].strip() == "-"
    with (tmp_path / "results.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 3 * 3 and rows[1]["metric"] == "delta1" and rows[1]["skill"] == "0.1"
    picture = ET.fromstring((tmp_path / "results.svg").read_text())
    circles = picture.findall(".//{*}circle")
    assert len(circles) == 2  # 0.3 over two seeds at 0.5, and 0.7 at 0.75
    x = [float(c.get("cx")) for c in circles]
    y = [float(c.get("cy")) for c in circles]
    assert x[0] < x[1] and y[0] > y[1]
    assert "data.vision_share" in [t.text for t in picture.findall(".//{*}text")]


def test_nothing_measured_makes_a_table_and_no_chart(tmp_path):
    made = points.plan([points.Stage("a", "configs/quickstart.py:tune", [{}])], str(tmp_path))
    sweep_results.write(made, str(tmp_path))
    assert "a/0" in (tmp_path / "results.md").read_text()
    assert not (tmp_path / "results.svg").exists()


def test_a_logarithmic_axis_puts_factors_at_equal_distances():
    one = chart.Line("a < b", [64, 256, 1024], [0, 0.5, math.nan], [0, 0.4, 0], [0, 0.6, 0])
    picture = ET.fromstring(chart.draw([one], "pictures", "skill", log_x=True))
    texts = {t.text: t for t in picture.findall(".//{*}text")}
    places = [float(texts[name].get("x")) for name in ("64", "256", "1024")]
    assert places[1] - places[0] == pytest.approx(places[2] - places[1], abs=0.2)
    assert len(picture.findall(".//{*}circle")) == 2 and "a < b" in texts
    with pytest.raises(ValueError, match="above 0"):
        chart.draw([chart.Line("a", [0], [1], [1], [1])], "x", "y", log_x=True)
    with pytest.raises(ValueError, match="no values"):
        chart.draw([], "x", "y")
