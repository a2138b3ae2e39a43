import numpy as np
import pytest

from vision_banana.tasks import image_editing
from vision_banana.tasks.task import Example

TASK = image_editing.TASK


def _example(
    target=(1.0, 0.5), reference=(0.0, 0.5), instruction="make it white", references=1
) -> Example:
    label, first = (
        np.repeat(np.array([row], np.float32)[..., None], 3, -1) for row in (target, reference)
    )
    pictures = (first, np.ones_like(first))[:references]
    words = {"instruction": instruction}
    return Example(TASK.name, "test/3", pictures, label, np.ones((1, 2), bool), words)


def test_prompt_holds_the_instruction_and_is_often_it_alone():
    rng = np.random.default_rng(0)
    prompts = [TASK.prompt(_example(instruction="add a cube "), rng) for _ in range(400)]
    assert set(prompts) == {frame.format("add a cube") for frame in image_editing.FRAMES}
    assert 0.4 < prompts.count("add a cube") / 400 < 0.6


def test_empty_instruction_is_an_error():
    with pytest.raises(ValueError, match="instruction of test/3 is empty"):
        TASK.prompt(_example(instruction=""), np.random.default_rng(0))


def test_draw_and_read_change_nothing():
    example = _example((0.25, 0.75))
    example.valid[0, 1] = False
    rgb, weight = TASK.draw(example, "", np.random.default_rng(0))
    np.testing.assert_array_equal(rgb[0, :, 0], [0.25, 0.5])
    np.testing.assert_array_equal(weight, [[1, 0]])
    answer = TASK.read(rgb[None], [""])
    np.testing.assert_array_equal(TASK.picture(answer, 0), rgb)
    np.testing.assert_array_equal(answer["confidence"], np.ones((1, 1, 2)))
    np.testing.assert_array_equal(TASK.error(answer, 0, example), [[0, np.nan]])


def _scores(drawn, examples):
    metric = TASK.metric()
    rgb = np.array(drawn, np.float64)[:, None, :, None].repeat(3, -1)
    return metric.compute(metric.update(metric.init(), {"rgb": rgb}, examples))


def test_edit_error_by_hand():
    # |target - reference| = (1, 0); the drawing is (0.25, 0.25) off.
    scores = _scores([(0.75, 0.25)], [_example()])
    assert scores["edit_error"] == pytest.approx(0.5)
    assert scores["edit_distance"] == pytest.approx(0.25)
    assert _scores([(1.0, 0.5)], [_example()]) == {"edit_error": 0, "edit_distance": 0}


def test_edit_error_is_pooled_over_pictures():
    # The second edit is small (0.1) and badly drawn (0.2 off): ratios 0 and 2, pooled 0.2 / 1.1.
    examples = [_example(), _example((0.1, 0.5))]
    drawn = [(1.0, 0.5), (0.3, 0.5)]
    together = _scores(drawn, examples)
    assert together["edit_error"] == pytest.approx(0.2 / 1.1)
    assert together["edit_distance"] == pytest.approx(0.2 / 4)
    metric = TASK.metric()
    state = metric.init()
    for row, example in zip(drawn, examples, strict=True):
        rgb = np.array([row])[:, None, :, None].repeat(3, -1)
        state = metric.merge(metric.update(metric.init(), {"rgb": rgb}, [example]), state)
    assert metric.compute(state) == pytest.approx(together)


def test_unknown_pixels_do_not_count():
    example = _example()
    example.valid[0, 1] = False
    assert _scores([(1.0, 0.0)], [example])["edit_error"] == 0


def test_blind_is_the_unedited_first_reference():
    examples = [_example(), _example((0.2, 0.5), (0.4, 0.9), references=2)]
    answer = TASK.blind(iter(examples))(examples)
    np.testing.assert_allclose(answer["rgb"][:, 0, :, 0], [(0.0, 0.5), (0.4, 0.9)])
    metric = TASK.metric()
    scores = metric.compute(metric.update(metric.init(), answer, examples))
    assert scores["edit_error"] == pytest.approx(1)
    assert np.isnan(metric.compute(metric.init())["edit_error"])
