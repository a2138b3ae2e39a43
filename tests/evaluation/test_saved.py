"""Predictions on disk: every unit, without pickle."""

import numpy as np
import pytest

from vision_banana.data import scenes
from vision_banana.evaluation import saved, score
from vision_banana.tasks import TASKS

NAMES = {
    "depth": "depth", "surface_normals": "normals", "semantic_segmentation": "labels",
    "instance_segmentation": "ids", "referring_segmentation": "masks", "image_editing": "rgb",
}  # fmt: skip


@pytest.mark.parametrize("task", NAMES)
def test_an_answer_is_read_back(tmp_path, task):
    source = scenes.Scenes("heldout", 16)
    (query,) = score.queries(source, {task: TASKS[task]}, [3], 0, 96)[task]
    answer = TASKS[task].read(query.truth()[None], [query.prompt])
    path = saved.save(tmp_path, query, 4, answer)
    assert path == tmp_path / task / "4" / "000003.npz"
    with np.load(path, allow_pickle=False) as file:
        value = file[NAMES[task]]
        np.testing.assert_array_equal(value, np.asarray(answer[NAMES[task]])[0])
        assert str(file["key"]) == "scenes/heldout/3" and str(file["prompt"]) == query.prompt
        np.testing.assert_allclose(file["confidence"], answer["confidence"][0], atol=1e-3)
        if "names" in answer:
            assert tuple(file["names"]) == answer["names"][0]


def test_an_answer_is_held_for_its_own_evaluation(tmp_path):
    source = scenes.Scenes("heldout", 16)
    (query,) = score.queries(source, {"depth": TASKS["depth"]}, [3], 0, 96)["depth"]
    answer = TASKS["depth"].read(query.truth()[None], [query.prompt])
    assert not saved.holds(tmp_path, "abc", "depth", 4, 3)
    saved.save(tmp_path, query, 4, answer, "abc")
    assert saved.holds(tmp_path, "abc", "depth", 4, 3)
    assert not saved.holds(tmp_path, "abd", "depth", 4, 3)
    assert not saved.holds(tmp_path, "abc", "depth", 1, 3)
