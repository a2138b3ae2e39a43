"""Scores of single records: written as they come, read back, shared, never counted twice."""

import json
import tracemalloc

import numpy as np
import pytest
import summed

from vision_banana.data.source import BadRecord
from vision_banana.evaluation import ask, confidence, records, score
from vision_banana.evaluation.records import Entry, Records
from vision_banana.metrics import depth as depth_metric
from vision_banana.metrics import segmentation, surface_normals
from vision_banana.tasks import TASKS, depth
from vision_banana.tasks.task import Example

LENGTH = 96
TASK = {"depth": TASKS["depth"]}
METRICS = confidence.metrics_of(TASK)


class Steps:
    """Record i is i + 1 metres away; record 3 cannot be used, or so many others."""

    name, tasks = "steps", ("depth",)

    def __init__(self, bad=(3,), reason="made so"):
        self.bad, self.reason = bad, reason

    def __len__(self):
        return 7

    def example(self, index, task):
        if index in self.bad:
            raise BadRecord(f"steps/{index}", self.reason)
        label = np.full((4, 4), index + 1.0, np.float32)
        picture = np.full((4, 4, 3), index / 10, np.float32)
        return Example(task, f"steps/{index}", (picture,), label, np.ones((4, 4), bool), {})


def evaluate(kept, shard=(0, 1), stop_after=None, source=Steps()):  # noqa: B008
    """Answers 2 m to everything, and notes which pictures were looked at."""
    seen = []

    def asks(groups, key):
        if stop_after is not None and len(seen) >= stop_after:
            raise KeyboardInterrupt
        seen.extend(round(float(g.references[0][0, 0, 0]) * 10) for g in groups)
        return [np.stack([depth.encode(np.full((4, 4), 2.0))] * len(g.prompts)) for g in groups]

    chosen = {"depth": TASKS["depth"]._replace(prompt=lambda example, rng: "depth map")}
    scored = summed.run(
        source, None, chosen, {1: score.Asker(asks, asks)}, count=7, text_length=LENGTH, seed=0,
        records=kept, shard=shard,
    )["depth"]  # fmt: skip
    return scored, seen


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch):
    monkeypatch.setattr(score, "READ", 2)


# |i - 2| / i over 1, 2, 3, 5, 6, 7 metres
ABSREL = np.mean([1, 0, 1 / 3, 3 / 5, 4 / 6, 5 / 7])


def test_an_interrupted_evaluation_goes_on_and_counts_each_record_once(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        evaluate(Records(METRICS, tmp_path, {"a": 1}), stop_after=3)
    scored, seen = evaluate(Records(METRICS, tmp_path, {"a": 1}))
    assert seen == [4, 5, 6]  # 0 to 3 stand
    assert (scored.asked, scored.skipped) == (6, 1)
    assert scored.bad == (("steps/3", "made so"),)
    assert scored.values[1]["AbsRel"] == pytest.approx(ABSREL, rel=1e-4)
    again, seen = evaluate(Records(METRICS, tmp_path, {"a": 1}))
    assert seen == [] and again.values == scored.values
    rows = [json.loads(x) for x in next(tmp_path.iterdir()).read_text().splitlines()]
    assert rows[0] == {"settings": {"a": 1}}
    assert [r["record"] for r in rows[1:]] == [0, 1, 2, 3, 4, 5, 6]
    assert rows[1]["scores"]["1"]["AbsRel"] == pytest.approx(1, rel=1e-4)


def test_a_line_that_was_cut_off_is_scored_again(tmp_path):
    whole, _ = evaluate(Records(METRICS, tmp_path))
    (path,) = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[:-30])
    scored, seen = evaluate(Records(METRICS, tmp_path))
    assert seen == [6] and scored.values == whole.values
    lines = path.read_text().splitlines()
    assert len(lines) == 8 and all(json.loads(line) for line in lines)


@pytest.mark.parametrize("cut", [1, 9])
def test_a_first_line_without_its_end_is_written_once(tmp_path, cut):
    Records(METRICS, tmp_path).close()
    (path,) = tmp_path.iterdir()
    first = path.read_bytes()
    path.write_bytes(first[:-cut])
    Records(METRICS, tmp_path).close()
    assert path.read_bytes() == first


def test_other_settings_are_another_evaluation(tmp_path):
    evaluate(Records(METRICS, tmp_path, {"votes": 1}))
    _, seen = evaluate(Records(METRICS, tmp_path, {"votes": 4}))
    assert len(seen) == 6


def test_processes_share_a_benchmark(tmp_path):
    whole, _ = evaluate(None)
    first, seen = evaluate(Records(METRICS, tmp_path, {}, 0), shard=(0, 2))
    assert seen == [0, 1, 4, 5] and first.asked == 4
    kept = Records(METRICS, tmp_path, {}, 1)
    assert kept.missing(range(7), ["depth"]) == [2, 3, 6]
    second, seen = evaluate(kept, shard=(1, 2))
    assert seen == [2, 6] and (second.asked, second.skipped) == (6, 1)
    assert second.values[1]["AbsRel"] == pytest.approx(whole.values[1]["AbsRel"], rel=1e-12)
    assert len(list(tmp_path.iterdir())) == 2


def test_a_padded_batch_counts_what_was_asked():
    def predict(params, key, batch):
        assert batch["tokens"].shape[0] == 4  # three groups and one that fills up
        return depth.encode(np.full((*batch["tokens"].shape[:2], 4, 4), 2.0))

    asks = ask.build(predict, None, LENGTH, groups=4)
    chosen = {"depth": TASKS["depth"]._replace(prompt=lambda example, rng: "depth map")}
    scored = summed.run(
        Steps(), Steps(), chosen, {1: score.Asker(asks, asks)}, count=7, text_length=LENGTH, seed=0
    )["depth"]
    assert scored.asked == 6
    assert scored.states[1][0].errors.pictures == 6
    assert scored.values[1]["AbsRel"] == pytest.approx(ABSREL, rel=1e-4)


def test_a_foreign_line_is_named(tmp_path):
    evaluate(Records(METRICS, tmp_path))
    (path,) = tmp_path.iterdir()
    path.write_text(path.read_text() + '{"record": 9}\n')
    with pytest.raises(ValueError, match="line 9 is no record of this evaluation"):
        Records(METRICS, tmp_path)


@pytest.mark.parametrize("metric", [
    segmentation.mean_iou(3), depth_metric.depth_errors(0.1, 10.0),
    surface_normals.angular_errors(), segmentation.open_mean_iou(),
])  # fmt: skip
def test_states_survive_as_text(metric):
    state = metric.init()
    rng = np.random.default_rng(0)
    leaves = [rng.integers(0, 9, np.shape(x)).astype(np.asarray(x).dtype) for x in state]
    state = type(state)(*leaves)
    text = json.dumps(records.encode(state))
    back = records.decode(metric.init(), json.loads(text))
    assert type(back) is type(state)
    for a, b in zip(state, back, strict=True):
        np.testing.assert_array_equal(a, b)
        assert a.dtype == b.dtype


def test_the_first_of_two_scores_of_a_record_stands():
    kept = Records(METRICS)
    kept.add([Entry(0, "depth", "a", "", {}), Entry(0, "depth", "b", "", {})])
    kept.add([Entry(0, "depth", "c", "", {})])
    assert [e.key for e in kept.of("depth")] == ["a"]


def test_a_record_that_failed_is_tried_again_and_counted_once(tmp_path):
    whole, _ = evaluate(None, source=Steps(bad=()))
    evaluate(Records(METRICS, tmp_path))
    scored, seen = evaluate(Records(METRICS, tmp_path), source=Steps(reason="another"))
    assert seen == [] and scored.bad == (("steps/3", "another"),)
    assert (scored.asked, scored.skipped) == (6, 1)
    evaluate(Records(METRICS, tmp_path), source=Steps(reason="another"))
    scored, seen = evaluate(Records(METRICS, tmp_path), source=Steps(bad=()))
    assert seen == [3] and (scored.asked, scored.skipped) == (7, 0)
    assert scored.values[1]["AbsRel"] == pytest.approx(whole.values[1]["AbsRel"], rel=1e-12)
    kept = Records(METRICS, tmp_path)
    scored, seen = evaluate(kept, source=Steps(bad=(3, 4)))
    assert seen == [] and (scored.asked, scored.skipped) == (7, 0)  # a score stays
    (path,) = tmp_path.iterdir()
    rows = [json.loads(line) for line in path.read_text().splitlines()[1:]]
    assert [r["reason"] for r in rows if r["record"] == 3] == ["made so", "another", ""]
    assert len(rows) == 9


def test_the_states_of_many_records_fit_the_memory():
    """Their confidences are 36 KB each as arrays."""
    metric, kept = METRICS["depth"], Records(METRICS)
    answer = {"depth": np.ones((1, 4, 4)), "confidence": np.full((1, 4, 4), 0.25)}
    state = metric.update(metric.init(), answer, [Steps().example(0, "depth")])
    tracemalloc.start()
    kept.add(Entry(i, "depth", "", "", {"1": metric.merge(metric.init(), state)})
             for i in range(100))  # fmt: skip
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held < 100 * 4000
    (first, *_) = kept.of("depth")
    assert metric.compute(first.states["1"]) == metric.compute(state)


def test_of_a_record_only_the_task_that_failed_is_asked_again(tmp_path):
    class Two(Steps):
        tasks = ("depth", "surface_normals")

        def example(self, index, task):
            if task == "depth":
                return super().example(index, task)
            there, normals = np.ones((4, 4), bool), np.ones((4, 4, 3), np.float32)
            return Example(task, f"steps/{index}", (normals,), normals / 3**0.5, there, {})

    chosen = {name: TASKS[name] for name in Two.tasks}
    metrics = confidence.metrics_of(chosen)

    def asks(groups, key):
        return [np.zeros((len(g.prompts), 4, 4, 3), np.float32) for g in groups]

    kept = []
    for source in (Two(), Two(bad=())):
        kept.append([])
        scored = summed.run(
            source, None, chosen, {1: score.Asker(asks, asks)}, count=7, text_length=LENGTH, seed=0,
            records=Records(metrics, tmp_path), is_kept=lambda task, steps, record: True,
            keep=lambda q, steps, answer: kept[-1].append((q.example.task, q.record)),
        )  # fmt: skip
    assert len(kept[0]) == 6 + 7 and kept[1] == [("depth", 3)]
    assert {name: x.asked for name, x in scored.items()} == dict.fromkeys(Two.tasks, 7)


def test_processes_at_once_see_each_other_s_records(tmp_path):
    first, second = (Records(METRICS, tmp_path, {}, part) for part in (0, 1))
    evaluate(first, shard=(0, 2))
    evaluate(second, shard=(1, 2))
    assert second.missing(range(7), ["depth"]) == [0, 1, 4, 5]
    second.read_all()
    assert second.missing(range(7), ["depth"]) == []
    assert [e.record for e in second.of("depth")] == list(range(7))


def test_pictures_are_told_apart_and_lines_without_are_read(tmp_path):
    one, other = np.zeros((2, 3, 3), np.float32), np.ones((2, 3, 3), np.float32)
    keys = [records.picture_key(x) for x in ((one,), (other,), (one, other), (one.copy(),))]
    assert keys[0] == keys[3] and len(set(keys)) == 3 and records.picture_key(()) == ""
    kept = Records(METRICS, tmp_path)
    state = METRICS["depth"].init()
    kept.add([Entry(i, "depth", f"r{i}", "", {"1": state}, keys[0]) for i in range(2)])
    kept.close()
    (path,) = tmp_path.glob("*.jsonl")
    path.write_text(path.read_text().replace(f', "picture": "{keys[0]}"', "", 1))
    assert [e.picture for e in Records(METRICS, tmp_path).of("depth")] == ["", keys[0]]
