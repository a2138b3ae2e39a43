"""The confidence of answers: its scores by hand, its calibration stored and found again."""

import json

import numpy as np
import pytest

from vision_banana.evaluation import benchmarks, confidence
from vision_banana.evaluation.records import Entry, Records
from vision_banana.metrics import calibration
from vision_banana.metrics.calibration import Curve
from vision_banana.tasks import TASKS
from vision_banana.tasks.task import Example

WAY = {"benchmark": "scenes", "steps": 1, "votes": 4}
CURVE = Curve(np.array([0.0, 1.0]), np.array([0.25, 0.75]))


def example(task, label, valid=None):
    shape = np.shape(label)[:2]
    valid = np.ones(shape, bool) if valid is None else valid
    return Example(task, "x", (), np.asarray(label), valid, {})


def score(task, answer, given):
    metric = confidence.scored_too(TASKS[task])
    state = metric.update(metric.init(), answer, [given])
    return metric.compute(state), state


def test_depth_is_right_within_delta1():
    truth = np.array([[4.0, 4.0, 4.0, np.inf]], np.float32)
    drawn = np.array([[[4.99, 5.01, 4.0, 1.0]]], np.float32)
    sure = np.array([[[1.0, 0.5, 1.0, 1.0]]], np.float32)
    scores, state = score("depth", {"depth": drawn, "confidence": sure}, example("depth", truth))
    assert state[1].pixels.sum() == 3 and state[1].right.sum() == 2  # the sky counts nowhere
    assert scores["ECE"] == pytest.approx(0.5 / 3)
    assert scores["delta1"] == pytest.approx(2 / 3)


def test_an_error_of_the_bound_is_wrong():
    task = TASKS["depth"]._replace(
        error=lambda answer, i, example: np.array([[0.125, 0.25, 0.5]]), right_below=0.25
    )
    metric = confidence.scored_too(task)
    answer = {"depth": np.ones((1, 1, 3), np.float32), "confidence": np.ones((1, 1, 3))}
    _, sure = metric.update(metric.init(), answer, [example("depth", np.ones((1, 3)))])
    assert (sure.pixels.sum(), sure.right.sum()) == (3, 1)


def test_depth_is_right_by_the_rules_of_the_benchmark():
    """Right in the calibration is what delta1 counts: clamped to 80 m, truth between 0 and 80 m."""
    task = benchmarks.scored_task(benchmarks.BENCHMARKS["nuscenes_depth"], "depth")
    truth = np.array([[70.0, 60.0, 79.0, 90.0, 5.0, 0.0011]], np.float32)
    drawn = np.array([[[np.inf, np.inf, 200.0, 90.0, np.nan, np.nan]]], np.float32)
    # 80 / 70 = 1.14 is right, 80 / 60 = 1.33 is not, 80 / 79 is, 90 m is not scored, nothing
    # drawn is 0.001 m, which is wrong for 5 m and right for 0.0011 m.
    metric = confidence.scored_too(task)
    answer = {"depth": drawn, "confidence": np.ones_like(drawn)}
    state = metric.update(metric.init(), answer, [example("depth", truth)])
    assert (state[1].pixels.sum(), state[1].right.sum()) == (5, 3)
    assert metric.compute(state)["delta1"] == pytest.approx(3 / 5)
    scenes = benchmarks.scored_task(benchmarks.BENCHMARKS["scenes"], "depth")
    metric = confidence.scored_too(scenes)
    state = metric.update(metric.init(), answer, [example("depth", truth)])
    assert metric.compute(state)["delta1"] == state[1].right.sum() / state[1].pixels.sum()


def test_a_benchmark_that_aligns_has_no_right_pixels():
    with pytest.raises(ValueError, match="align is 'median'"):
        benchmarks.depth_error(0.0, 10.0, align="median")


def test_normals_are_right_below_11_25_degrees():
    angles = np.radians([11.0, 11.5])
    drawn = np.stack([np.sin(angles), 0 * angles, np.cos(angles)], -1)[None, None]
    truth = np.broadcast_to([0.0, 0.0, 1.0], (1, 2, 3)).astype(np.float32)
    answer = {"normals": drawn.astype(np.float32), "confidence": np.ones((1, 1, 2), np.float32)}
    _, state = score("surface_normals", answer, example("surface_normals", truth))
    assert (state[1].pixels.sum(), state[1].right.sum()) == (2, 1)


def test_a_generation_has_no_confidence():
    metric = confidence.scored_too(TASKS["image_editing"])
    assert "ECE" not in metric.compute(metric.init())
    assert confidence.fit({"image_editing": metric.init()}) == {}


def test_a_calibration_is_found_again(tmp_path):
    assert confidence.load(tmp_path, "a1", WAY) == {}
    confidence.save(tmp_path, "a1", WAY, {"depth": CURVE}, range(3, 6))
    confidence.save(tmp_path, "a1", {**WAY, "votes": 1}, {"depth": CURVE}, range(3, 6))
    confidence.save(tmp_path, "a1", WAY, {"surface_normals": CURVE}, range(8, 16))
    found = confidence.load(tmp_path, "a1", WAY)
    # Each task keeps its own records, whatever another was fitted on later.
    assert {task: fitted.records for task, fitted in found.items()} == {
        "depth": range(3, 6), "surface_normals": range(8, 16),
    }  # fmt: skip
    np.testing.assert_array_equal(found["depth"].curve.probability, CURVE.probability)
    assert set(confidence.load(tmp_path, "a1", {**WAY, "votes": 1})) == {"depth"}
    assert confidence.load(tmp_path, "a1", {**WAY, "votes": 2}) == {}
    assert confidence.load(tmp_path, "b2", WAY) == {}  # other weights
    confidence.save(tmp_path, "b2", WAY, {"depth": CURVE}, range(3))
    assert confidence.load(tmp_path, "a1", WAY) == {}


def test_curves_of_unknown_weights_are_not_used(tmp_path):
    file = confidence.save(tmp_path, "a1", WAY, {"depth": CURVE}, range(3, 6))
    table = json.loads(file.read_text())
    del table["weights"]
    file.write_text(json.dumps({**table, "checkpoint_step": 5}))  # as it was written before
    assert confidence.load(tmp_path, "a1", WAY) == {}
    confidence.save(tmp_path, "a1", WAY, {"surface_normals": CURVE}, range(3, 6))
    assert set(confidence.load(tmp_path, "a1", WAY)) == {"surface_normals"}


def test_a_damaged_file_is_named(tmp_path):
    (tmp_path / confidence.FILE).write_text("{")
    with pytest.raises(ValueError, match="no JSON"):
        confidence.load(tmp_path, "a1", WAY)
    (tmp_path / confidence.FILE).write_text(json.dumps({"weights": "a1", "ways": 3}))
    with pytest.raises(ValueError, match="delete it and fit again"):
        confidence.load(tmp_path, "a1", WAY)


def test_confidences_become_probabilities():
    answer = {"depth": 1, "confidence": np.array([[[0.0, 0.5, 1.0]]])}
    told = confidence.calibrated(answer, CURVE)["confidence"]
    np.testing.assert_allclose(told, [[[0.25, 0.5, 0.75]]])
    state = calibration.calibration().init()
    assert confidence.fit({"other": (state,)}) == {}


def test_confidences_are_read_from_records(tmp_path):
    tasks = {"depth": TASKS["depth"], "image_editing": TASKS["image_editing"]}
    metrics = confidence.metrics_of(tasks)
    kept = Records(metrics, tmp_path, {"a": 1})
    for record, pixels in enumerate((3, 5)):
        own, sure = metrics["depth"].init()
        sure = calibration.calibration().update(sure, np.full(pixels, 0.5), np.ones(pixels, bool))
        kept.add([Entry(record, "depth", f"r{record}", "", {"1": (own, sure)})])
    kept.add([Entry(2, "depth", "r2", "broken", {})])
    found = confidence.counted(tmp_path, tasks, 1)
    assert list(found) == ["depth"]
    assert found["depth"].pixels.sum() == 8 and found["depth"].right.sum() == 8
    with pytest.raises(ValueError, match="holds no record"):
        confidence.counted(tmp_path / "nothing", tasks, 1)


def test_records_of_two_evaluations_are_told_apart(tmp_path):
    tasks = {"depth": TASKS["depth"]}
    metrics = confidence.metrics_of(tasks)
    digests = []
    for pixels in (3, 5):
        kept = Records(metrics, tmp_path, {"pixels": pixels})
        own, sure = metrics["depth"].init()
        sure = calibration.calibration().update(sure, np.full(pixels, 0.5), np.ones(pixels, bool))
        kept.add([Entry(0, "depth", "r", "", {"1": (own, sure)})])
        digests.append(kept.digest)
    with pytest.raises(ValueError, match="records of 2 evaluations"):
        confidence.counted(tmp_path, tasks, 1)
    assert confidence.counted(tmp_path, tasks, 1, digests[1])["depth"].pixels.sum() == 5
