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
        value, whole = file[NAMES[task]], np.asarray(answer[NAMES[task]])[0]
        if task == "referring_segmentation":  # a batch is filled up with empty masks
            assert len(value) == len(file["names"]) < len(whole)
            whole = whole[: len(value)]
        np.testing.assert_array_equal(value, whole)
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


def test_a_picture_may_hold_more_instances_than_a_byte_counts(tmp_path):
    source, task = scenes.Scenes("heldout", 16), "instance_segmentation"
    (query,) = score.queries(source, {task: TASKS[task]}, [3], 0, 96)[task]
    ids = np.arange(300, dtype=np.int32).reshape(1, 15, 20)
    path = saved.save(tmp_path, query, 4, {"ids": ids, "confidence": np.ones((1, 15, 20))})
    with np.load(path) as file:
        assert file["ids"].max() == 299


def test_a_folder_says_whose_answers_it_holds(tmp_path):
    with pytest.raises(ValueError, match="draw them with evaluate --save_predictions"):
        saved.origin(tmp_path)
    said = {"run": "x", "checkpoint_step": 5, "benchmark": "genai_bench", "seed": 0,
            "text_guidance": 2.0}  # fmt: skip
    saved.write_origin(tmp_path / "new", said)
    assert saved.origin(tmp_path / "new") == said
    saved.write_origin(tmp_path / "new", said | {"weights": "a1"})
    assert saved.origin(tmp_path / "new") == said | {"weights": "a1"}
    assert [file.name for file in (tmp_path / "new").iterdir()] == ["origin.json"]
    (tmp_path / "new" / "origin.json").write_text('{"run": "x"}')
    with pytest.raises(ValueError, match="checkpoint_step"):
        saved.origin(tmp_path / "new")
