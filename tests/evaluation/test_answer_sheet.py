"""The sheet of answers: its rows, and what stands in its columns."""

import nano_run
import numpy as np
import pytest

from vision_banana.evaluation import answer_sheet, figure, score
from vision_banana.tasks import TASKS

TOP, TALL = 62, 104 + 2 * 14 + 2 * 6


@pytest.fixture(scope="module")
def drawn():
    """True answers, but for the second scene's, which are black."""
    patch = pytest.MonkeyPatch()
    # Scenes cannot be asked for a task of somebody's own.
    patch.setitem(TASKS, "silhouette", TASKS["depth"]._replace(name="silhouette"))

    def true(asker, asked, key):
        return {name: [q.truth() * (q.record != 1) for q in rows] for name, rows in asked.items()}

    patch.setattr(score, "draw", true)
    patch.setattr(score, "asker_of", lambda trained, steps: None)
    config = nano_run.CONFIG | {"data": nano_run.CONFIG["data"] | {"size": 64}}
    yield answer_sheet.draw(nano_run.model()._replace(config=config))
    patch.undo()


def test_every_seeing_task_answers_about_the_same_scenes(drawn):
    assert list(drawn) == [
        "depth", "surface_normals", "semantic_segmentation", "instance_segmentation",
        "referring_segmentation",
    ]  # fmt: skip
    for rows in drawn.values():
        assert [q.record for q, _ in rows] == [0, 1, 2]


def test_a_row_holds_picture_target_drawn_and_decoded(drawn):
    sheet = answer_sheet.compose(drawn, "title")
    assert sheet.shape == (TOP + 5 * TALL, 118 + 3 * (4 * 106 + 12), 3)

    def cell(row, scene, column):
        left = 118 + scene * (4 * 106 + 12) + column * 106
        return sheet[TOP + row * TALL :, left : left + 104][:104]

    for row, name in enumerate(drawn):
        for scene in range(3):
            target, answer = cell(row, scene, 1), cell(row, scene, 2)
            assert np.array_equal(target, answer) == (scene != 1), (name, scene)
            assert target.std() > 1 and cell(row, scene, 0).std() > 1
    assert (cell(2, 1, 2) == 0).all()
    assert np.array_equal(cell(2, 0, 3), cell(2, 0, 2))  # labels are shown in the legend's colours
    assert not np.array_equal(cell(0, 0, 3), cell(0, 0, 2))  # metres in a map for people


def test_a_sheet_is_named_by_its_step():
    assert figure.of_step("answer_sheet.jpg", 7) == "answer_sheet_7.jpg"
