import sys
import types

import numpy as np
import pytest

from vision_banana import metrics
from vision_banana.metrics.metric import Metric
from vision_banana.tasks import image_generation
from vision_banana.tasks.task import Example

TASK = image_generation.TASK


def _example(value: float, caption: str = "a red cube", valid=True) -> Example:
    words = {"caption": caption, "objects": ({"class": "cube"},), "relations": ((0, "above", 1),)}
    label = np.full((2, 2, 3), value, np.float32)
    return Example(TASK.name, "test/7", (), label, np.full((2, 2), valid), words)


def test_prompt_holds_the_caption_and_is_often_it_alone():
    rng = np.random.default_rng(0)
    prompts = [TASK.prompt(_example(0, " a red cube "), rng) for _ in range(400)]
    assert set(prompts) == {frame.format("a red cube") for frame in image_generation.FRAMES}
    assert 0.4 < prompts.count("a red cube") / 400 < 0.6


def test_empty_caption_is_an_error():
    with pytest.raises(ValueError, match="caption of test/7 is empty"):
        TASK.prompt(_example(0, "  "), np.random.default_rng(0))


def test_draw_and_read_change_nothing():
    example = _example(0.25)
    example.valid[0, 1] = False
    rgb, weight = TASK.draw(example, "a red cube", np.random.default_rng(0))
    assert rgb.dtype == weight.dtype == np.float32
    np.testing.assert_array_equal(rgb[..., 0], [[0.25, 0.5], [0.25, 0.25]])
    np.testing.assert_array_equal(weight, [[1, 0], [1, 1]])
    answer = TASK.read(rgb[None], ["a red cube"])
    np.testing.assert_array_equal(answer["rgb"][0], rgb)
    np.testing.assert_array_equal(answer["confidence"], np.ones((1, 2, 2)))
    np.testing.assert_array_equal(TASK.picture(answer, 0), rgb)
    assert np.isnan(TASK.error(answer, 0, example)).all()


def test_blind_answers_with_another_captions_picture():
    examples = [_example(v) for v in (0.1, 0.2, 0.3)]
    blind = TASK.blind(iter([_example(0.9)]))
    np.testing.assert_allclose(blind(examples)["rgb"][:, 0, 0, 0], [0.2, 0.3, 0.1])
    np.testing.assert_allclose(blind(examples[:1])["rgb"][:, 0, 0, 0], [0.9])


def test_metric_hands_over_each_picture_with_its_words(monkeypatch):
    def update(state, rgb, objects, relations):
        return [*state, *zip(rgb.mean((1, 2, 3)), objects, relations, strict=True)]

    judge = Metric(list, update, lambda a, b: a + b, lambda state: {"count": len(state)})
    module = types.ModuleType("vision_banana.metrics.text_to_image")
    module.caption_agreement = lambda: judge
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setattr(metrics, "text_to_image", module, raising=False)
    examples = [_example(0.5), _example(0.75)]
    metric = TASK.metric()
    answer = TASK.read(np.stack([x.label for x in examples]), ())
    state = metric.update(metric.init(), answer, examples)
    words = examples[0].words
    assert state == [(v, words["objects"], words["relations"]) for v in (0.5, 0.75)]
