"""What the notebooks draw, read back from the figures."""

import html
import json
import re

import jax
import jax.numpy as jnp
import matplotlib
import nano_run
import numpy as np
import pytest

import vision_banana as vb
from vision_banana.evaluation.paper_tables import Cell, Line, Table
from vision_banana.metrics import calibration
from vision_banana.plots import pictures, pod, profiles, runs, scores


@pytest.fixture(autouse=True)
def closed():
    yield
    matplotlib.pyplot.close("all")


def test_a_row_has_the_pictures_and_a_bar_for_numbers():
    red = np.zeros((4, 6, 3))
    red[..., 0] = 1
    figure = pictures.row({"a title of many words that is too long": red, "b": red[..., 0] / 2},
                          side=1.0, unit="share")  # fmt: skip
    first, second, bar = figure.axes
    assert "\n" in first.get_title() and bar.get_ylabel() == "share"
    np.testing.assert_array_equal(first.images[0].get_array(), red)
    assert second.images[0].get_clim() == (0, 1)
    with pytest.raises(ValueError, match="no picture"):
        pictures.row({})


def test_the_ramp_has_metres_at_the_corners():
    axis = matplotlib.pyplot.figure().add_subplot()
    pictures.ramp(axis)
    # 10 ((1 - f)^(-1/2) - 1) at f = k / 7; labels are rounded to a tenth of a metre.
    labels = [tick.get_text() for tick in axis.get_xticklabels()]
    assert labels == ["0", "0.8", "1.8", "3.2", "5.3", "8.7", "16.5", "∞"]
    np.testing.assert_allclose(axis.get_xticks(), np.arange(8) / 7, atol=0.005)


def test_a_cloud_holds_its_points():
    levels = np.random.default_rng(0).integers(0, 256, (4, 5, 3), np.uint8)
    answer = vb.Model(nano_run.model()).perceive(levels, "depth")
    frame = pictures.turnable(answer, 90.0)._repr_html_()
    page = html.unescape(re.search(r'srcdoc="([^"]*)"', frame)[1])
    (cloud,) = json.loads(re.search(r'id="cloud-data">(.*?)</script>', page, re.DOTALL)[1])
    near = np.isfinite(answer.depth_m) & (answer.depth_m > 0) & (answer.depth_m < 60)
    assert len(cloud["points"]) == 3 * near.sum() and cloud["fov"] == 90.0
    assert "requestAnimationFrame" in page and "http" not in page


def test_runs_are_read_and_compared(tmp_path):
    folders = [str(tmp_path / x / "same") for x in ("a", "b")] + [str(tmp_path / "other")]
    for i, folder in enumerate(map(type(tmp_path), folders)):
        folder.mkdir(parents=True)
        rows = [{"step": s, "loss": i + s} for s in range(1, 21)] + [{"step": 21, "rate": 1.0}]
        (folder / "metrics.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    logs = runs.read(folders)
    assert list(logs) == [*folders[:2], "other"]
    steps, values = runs.series(logs["other"], "loss")
    assert len(steps) == 20 and values[0] == 3.0
    np.testing.assert_allclose(runs.smooth(values), [5, 10, 15, 20])  # means of five each
    assert runs.last(logs["other"], "loss") == 21.5  # of the last two: 21 and 22
    assert np.isnan(runs.last(logs["other"], "nothing"))
    axis = runs.compare(logs, ["loss", "rate"]).axes[0]
    np.testing.assert_allclose(axis.lines[-1].get_ydata(), [5, 10, 15, 20])
    with pytest.raises(FileNotFoundError, match=r"none holds no metrics\.jsonl: give the work"):
        runs.read([*folders, str(tmp_path / "none")])


def test_panels_stand_in_rows():
    logs = {"a": [{"step": 1, "loss": 1.0, "loss/b": 2.0}], "c": [{"step": 1, "loss/a": 3.0}]}
    assert runs.names(logs, "loss/") == ["loss/a", "loss/b"]
    assert runs.names(logs, "step", "loss/b") == ["loss/b", "step"]
    for count, shape in ((1, (1, 1)), (4, (1, 4)), (5, (2, 4))):
        drawn = runs.compare(logs, ["loss"] * count)
        titles = [axis.get_title() for axis in drawn.axes]
        assert titles == ["loss"] * count + [""] * (shape[0] * shape[1] - count)
        assert drawn.axes[0].get_gridspec().get_geometry() == shape
        (legend,) = drawn.legends  # "c" has no "loss"
        assert [text.get_text() for text in legend.get_texts()] == ["a", "c"]
    with pytest.raises(ValueError, match="names is empty"):
        runs.compare(logs, [])


def test_a_table_has_a_dot_for_each_number():
    lines = (
        Line("theirs", "", "paper", False, (Cell("1.0", 1.0), None)),
        Line("ours", "1 step", "this code", True, (Cell("2.0", 2.0, 1.5, 2.5), None)),
    )
    table = Table("x", "title", ("mIoU", "gIoU"), ("higher", "higher"), lines)
    first, second = scores.published(table).axes
    assert [line.get_xdata()[0] for line in first.lines] == [1.0, 2.0, 1.5]
    assert first.lines[1].get_color() == scores.OURS and not second.lines
    assert [t.get_text() for t in first.get_yticklabels()] == ["theirs", "ours (1 step)"]


def test_confidence_by_hand():
    metric = calibration.calibration()
    sure = np.array([0.9] * 4 + [0.1] * 4)
    right = np.array([True] * 3 + [False] + [False] * 4)
    state = metric.update(metric.init(), sure, right)
    above, below = scores.confidence({"as drawn": {"depth": state}}).axes
    np.testing.assert_allclose(above.lines[0].get_xydata(), [[0.1, 0.0], [0.9, 0.75]])
    np.testing.assert_allclose(below.lines[0].get_xydata(), [[0.5, 0.25], [1.0, 5 / 8]])


def test_bars():
    (axis,) = scores.bars({"a": 0.5, "b": -0.25}).axes
    assert [bar.get_width() for bar in axis.patches] == [0.5, -0.25]


def report(chips, moved, activations):
    held = dict.fromkeys(pod.HELD, 0) | {"weights": 2 * 2**30}
    held |= {"activations_and_temporaries": activations * 2**30, "headroom": 3 * 2**30}
    seconds = {"compute": 0.2, "hbm": 0.1, "ici": 0.05, "dcn": 0.0, "step": 0.2}
    program = {"memory_bytes": held, "roofline_seconds": seconds, "mfu_bound": 0.625}
    program |= {"collective_bytes_total": moved, "share": 0.9}
    other = {"share": 0.1}
    return {
        "topology": f"2 x v5e:{chips // 4}x2", "chips": chips, "model": {"size": "B"},
        "train": [other, program],
    }  # fmt: skip


def test_compile_reports_are_read_and_drawn(tmp_path):
    with pytest.raises(FileNotFoundError, match="no compile report"):
        pod.read(tmp_path)
    for name, made in (("b", report(8, 3e9, 4)), ("a", report(16, 3.5e9, 5))):
        (tmp_path / f"{name}.json").write_text(json.dumps(made))
    reports = pod.read(str(tmp_path))
    assert list(reports) == ["a", "b"]
    (axis,) = pod.memory(reports).axes
    widths = {round(bar.get_width(), 3) for bar in axis.patches if bar.get_y() > 0.5}
    # The report with 8 chips: weights, activations, and all with the 3 that are free.
    assert widths == {0, 2, 4, 9}
    (axis,) = pod.times(reports).axes
    assert [bar.get_width() for bar in axis.patches[:2]] == [200, 200]
    assert "62%" in axis.texts[0].get_text()
    (axis,) = pod.scaling(reports).axes
    (line,) = axis.lines
    assert line.get_label() == "B on v5e"
    np.testing.assert_allclose(line.get_xydata(), [(8, 3), (16, 3.5)])


def test_a_profile_says_which_operations_took_the_time(tmp_path):
    with pytest.raises(FileNotFoundError, match="profile_steps"):
        profiles.operations(str(tmp_path))
    run = jax.jit(lambda x: jnp.cumsum(jnp.sort(x), axis=1))
    x = jnp.ones((64, 512))
    jax.block_until_ready(run(x))
    with jax.profiler.trace(str(tmp_path / "profile")):
        jax.block_until_ready(run(x))
    found = profiles.operations(str(tmp_path))
    assert "sort" in found and abs(sum(found.values()) - 1) < 1e-9
    assert not any(name[-1].isdigit() for name in found)
    (axis,) = profiles.bars(found, most=1).axes
    assert [tick.get_text() for tick in axis.get_yticklabels()] == [next(iter(found)), "the rest"]
