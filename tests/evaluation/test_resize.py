import numpy as np
import pytest

from vision_banana.evaluation import resize
from vision_banana.tasks.task import Example


def test_two_values_stay_two_values():
    depth = np.array([[1.0, 9.0], [9.0, 1.0]])
    large = resize.nearest(depth, (3, 5))
    assert large.shape == (3, 5) and set(np.unique(large)) == {1.0, 9.0}
    assert resize.nearest(depth, (2, 4)).tolist() == [[1, 1, 9, 9], [9, 9, 1, 1]]


def test_every_part_of_an_answer_takes_the_pictures_size():
    answer = {
        "depth": np.array([[[1.0, 2.0]]]),  # (1, H, W)
        "normals": np.array([[[[1.0, 0, 0], [0, 1.0, 0]]]]),  # (1, H, W, 3)
        "masks": np.array([[[[True, False]], [[False, True]], [[False, False]]]]),  # (1, K, H, W)
        "rgb": np.zeros((1, 1, 2, 3), np.float32),
        "names": [("a", "b", "c")],
    }
    own = resize.answer(answer, (1, 2), (2, 4))
    assert own["depth"].tolist() == [[[1, 1, 2, 2]] * 2]
    assert own["normals"].shape == (1, 2, 4, 3) and own["normals"][0, 1, 3].tolist() == [0, 1, 0]
    assert own["masks"].shape == (1, 3, 2, 4)
    assert own["masks"][0, 1].tolist() == [[False, False, True, True]] * 2
    assert own["rgb"].shape == (1, 2, 4, 3) and own["names"] == answer["names"]


def test_masks_as_many_as_rows_are_no_picture():
    masks = np.array([[[[True, False], [False, False]], [[False, False], [False, True]]]])
    own = resize.answer({"masks": masks}, (2, 2), (2, 4))["masks"]
    assert own[0, 0].tolist() == [[True, True, False, False], [False] * 4]
    assert own[0, 1].tolist() == [[False] * 4, [False, False, True, True]]


def test_pictures_are_interpolated_and_antialiased():
    """Larger: between pixel centres. Half as large: a triangle, 3, 3 and 1 parts at the edge."""
    for row, size, wanted in (
        ([0, 1], 4, [0, 0.25, 0.75, 1]),
        ([0, 0, 1, 1], 2, [1 / 7, 6 / 7]),
    ):
        picture = np.repeat(np.array(row, np.float32)[None, :, None], 3, axis=2)
        resized = resize.smooth(picture, (1, size))
        assert resized.shape == (1, size, 3)
        for channel in range(3):
            assert resized[0, :, channel].tolist() == pytest.approx(wanted, abs=1e-6)


def test_labels_take_the_nearest_pixels_value():
    """Between class 0 and class 8 lies no class 4."""
    label = np.array([[0, 8], [8, 0]], np.int32)
    picture = np.zeros((2, 2, 3), np.float32)
    shown = Example("semantic_segmentation", "x", (picture,), label, label == 8, {})
    large = resize.example(shown, (2, 4))
    assert large.label.tolist() == [[0, 0, 8, 8], [8, 8, 0, 0]]
    assert large.valid.tolist() == (large.label == 8).tolist()
    assert large.references[0].shape == (2, 4, 3)
