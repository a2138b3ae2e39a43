import numpy as np
import pytest

from vision_banana.evaluation import point_cloud


def test_unproject_by_hand():
    # 90 degrees across 2 pixels: focal length 1 pixel, pixel centres half a pixel off the axis.
    depth_m = np.array([[2.0, 4.0], [6.0, np.inf]])
    points = point_cloud.unproject(depth_m, 90.0)
    expected = [[-1, 1, -2], [2, 2, -4], [-3, -3, -6], [np.nan] * 3]
    np.testing.assert_allclose(points, expected, rtol=1e-6)
    assert points.dtype == np.float32


def test_horizontal_field_of_view_and_square_pixels():
    # 60 degrees across 4 pixels: focal 2 / tan 30 = 3.4641; rows use the same focal length.
    points = point_cloud.unproject(np.full((2, 4), 3.4641016), 60.0).reshape(2, 4, 3)
    np.testing.assert_allclose(points[0, :, 0], [-1.5, -0.5, 0.5, 1.5], rtol=1e-6)
    np.testing.assert_allclose(points[:, 0, 1], [0.5, -0.5], rtol=1e-6)
    assert (points[..., 2] < 0).all()


def test_what_is_no_depth_is_no_point():
    points = point_cloud.unproject(np.array([[0.0, np.nan, -1.0, np.inf, 1.0]]), 60.0)
    assert np.isfinite(points).all(-1).tolist() == [False, False, False, False, True]


@pytest.mark.parametrize("fov", [0.0, 180.0, -5.0, float("nan")])
def test_impossible_field_of_view(fov):
    with pytest.raises(ValueError, match="field of view"):
        point_cloud.unproject(np.ones((2, 2)), fov)


def test_batch_of_depth_maps_is_refused():
    with pytest.raises(ValueError, match=r"\(H, W\)"):
        point_cloud.unproject(np.ones((1, 2, 2)), 60.0)


def test_ply_bytes():
    points = np.array([[1, 2, -3], [np.nan] * 3], np.float32)
    data = point_cloud.ply(points, np.array([[1, 0.5, 0], [1, 1, 1]]))
    header, body = data.split(b"end_header\n")
    assert b"element vertex 1\n" in header
    assert np.frombuffer(body[:12], "<f4").tolist() == [1, 2, -3]
    assert list(body[12:]) == [255, 128, 0]
