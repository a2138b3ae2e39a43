import numpy as np

from vision_banana.evaluation import resize


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
