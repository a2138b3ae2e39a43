import numpy as np

from vision_banana.data import normal_maps


def test_unit_length_and_zero_where_not_valid():
    vectors = np.array([[[0, 3, 4], [0, 0, -2e-7]], [[0, 0, 0], [np.nan, 1, 2]]])
    valid = np.array([[True, True], [False, False]])
    found = normal_maps.normalise(vectors, valid)
    assert found.dtype == np.float32
    expected = [[[0, 0.6, 0.8], [0, 0, -1]], [[0, 0, 0], [0, 0, 0]]]
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert not normal_maps.normalise(vectors, np.zeros((2, 2), bool)).any()
