"""Questions about what is not in the picture: true of the picture, and answered by background."""

import numpy as np
import pytest
import summed

from vision_banana.data import scene_render, scenes
from vision_banana.evaluation import benchmarks, released_metrics, score
from vision_banana.tasks import TASKS

ALL = scenes.Scenes("heldout", 32, absent=1.0)
NONE = scenes.Scenes("heldout", 32)
RECORDS = range(12)


def test_named_classes_show_no_pixel():
    asked = 0
    for index in RECORDS:
        example = ALL.example(index, "instance_segmentation")
        shown = {scene_render.CLASSES[i] for i in np.unique(NONE.scene(index).classes)}
        if example.words["phrase"] in shown:  # every class is there: then one that is
            continue
        asked += 1
        assert not example.label.any() and example.valid.all()
        rgb, weight = TASKS[example.task].draw(example, "Segment each cone.", None)
        assert not rgb.any() and weight.all()
    assert asked > len(RECORDS) // 2


def test_named_objects_are_not_there():
    kinds = 0
    for index in RECORDS:
        example = ALL.example(index, "referring_segmentation")
        (expression,) = example.words["expressions"]
        words = expression.removeprefix("the ").split()
        solids = [s for s in NONE.scene(index).solids if s.area]
        assert not [s for s in solids if s.kind == words[-1] and words[0] in (s.kind, s.color)]
        kinds += len(words) == 1
        prompt = TASKS[example.task].prompt(example, np.random.default_rng(index))
        rgb, _ = TASKS[example.task].draw(example, prompt, None)
        assert len(np.unique(rgb.reshape(-1, 3), axis=0)) == 1
        answer = TASKS[example.task].read(rgb[None], [prompt])
        assert not np.asarray(answer["masks"]).any()
    assert 0 < kinds < len(RECORDS)  # classes that are absent, and colours of those that are not


def test_a_share_of_the_questions_and_no_other():
    some = scenes.Scenes("heldout", 16, absent=0.3)
    small = scenes.Scenes("heldout", 16)
    differ = 0
    for index in range(40):
        a, b = (s.example(index, "referring_segmentation") for s in (some, small))
        same = a.words == b.words
        differ += not same
        assert a.label.any() == same
    assert 5 <= differ <= 20
    np.testing.assert_array_equal(some.example(3, "depth").label, small.example(3, "depth").label)
    with pytest.raises(ValueError, match="share"):
        scenes.Scenes("train", 16, absent=1.5)


def test_presence_is_scored_from_the_answer():
    metric = released_metrics.presence()
    ids = np.zeros((2, 40, 100), np.int32)
    ids[0, 0, 0] = 1  # one pixel of 4,000 counts, 2e-4 is 0.8
    examples = [ALL.example(0, "instance_segmentation") for _ in range(2)]
    object.__setattr__(examples[0], "label", np.ones((40, 100), int))
    object.__setattr__(examples[1], "label", np.ones((40, 100), int))
    state = metric.update(metric.init(), {"ids": ids}, examples)
    assert state.counts.tolist() == [1, 0, 0, 1]
    masks = np.zeros((1, 4, 100, 100), bool)
    masks[0, 0, 0, 0] = True  # one of 10,000 does not
    object.__setattr__(examples[0], "label", np.zeros((2, 100, 100), bool))
    object.__setattr__(examples[0], "words", {"expressions": ("a", "b")})
    state = metric.update(metric.init(), {"masks": masks, "names": [("a", "b")]}, examples[:1])
    assert state.counts.tolist() == [0, 0, 2, 0]


def test_the_true_answer_has_full_marks_and_the_blind_one_none(monkeypatch):
    monkeypatch.setattr(score.blind, "RECORDS", 8)
    monkeypatch.setattr(score, "READ", 1)  # one shape to compile, that of other tests
    row = benchmarks.BENCHMARKS["scenes_presence"]
    asked = {name: benchmarks.scored_task(row, name) for name in row.tasks}
    opened = [benchmarks.open_source(spec, 32) for spec in (row.source, row.training)]

    def asks(groups, key):
        return [np.zeros((len(g.prompts), *g.shape, 3), np.float32) for g in groups]

    found = summed.run(
        *opened, asked, {1: score.Asker(asks, asks)}, count=10, text_length=96, seed=0
    )
    # At 32 pixels the instance decoder takes a thin instance for a halo.
    for scored, least in zip(found.values(), (0.9, 1.0), strict=True):
        assert scored.values["truth"]["accuracy"] >= least
        assert scored.values["truth"]["MCC"] >= 0.8 * least
        assert 0 < scored.values["blind"]["accuracy"] < 1
    # One mask for every region says that everything is there.
    assert found["referring_segmentation"].values["blind"]["MCC"] == 0
