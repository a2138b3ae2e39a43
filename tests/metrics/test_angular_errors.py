import numpy as np
import pytest

from vision_banana.metrics import surface_normals


def _tilted(*degrees: float) -> np.ndarray:
    """Unit vectors that many degrees off the z axis, (1, N, 3)."""
    angle = np.radians(np.array([degrees]))
    return np.stack([np.sin(angle), np.zeros_like(angle), np.cos(angle)], axis=-1)


def _towards_camera(*shape: int) -> np.ndarray:
    return np.broadcast_to(np.array([0.0, 0.0, 1.0]), (*shape, 3))


def _state(*pictures: tuple[float, ...]):
    metric = surface_normals.angular_errors()
    state = metric.init()
    for degrees in pictures:
        state = metric.update(state, _tilted(*degrees), _towards_camera(1, len(degrees)))
    return state


compute = surface_normals.angular_errors().compute


def test_pooled_over_pixels():
    scores = compute(_state((2, 4, 30), (10,)))
    assert scores["mean"] == pytest.approx(11.5)  # mean of pictures: 11.0
    assert scores["median"] == pytest.approx(7.0, abs=1e-5)
    assert scores["within_11.25"] == 0.75
    assert scores["within_30"] == 0.75  # strict
    assert scores["within_22.5"] == 0.75
    assert scores["within_5"] == scores["within_7.5"] == 0.5
    assert scores["rmse"] == pytest.approx(np.sqrt((4 + 16 + 900 + 100) / 4))


@pytest.mark.parametrize("threshold", surface_normals.WITHIN_DEG)
def test_thresholds_are_strict(threshold):
    scores = compute(_state((threshold, threshold - 0.001)))
    assert scores[f"within_{threshold:g}"] == 0.5


def test_median_of_an_odd_count_and_of_equal_values():
    assert compute(_state((50, 3, 8)))["median"] == pytest.approx(8)
    assert compute(_state((3, 3, 3, 90)))["median"] == pytest.approx(3)


def test_median_is_within_a_hundredth_of_a_degree():
    degrees = np.random.default_rng(0).gamma(2, 8, 10_000).clip(0, 180)
    assert compute(_state(tuple(degrees)))["median"] == pytest.approx(np.median(degrees), abs=0.01)


def test_a_thousand_pictures_by_the_formula():
    # Truths have any length (DIODE's are not of length 1 exactly), predictions too.
    rng = np.random.default_rng(3)
    label = rng.normal(size=(1000, 3, 4, 3)).astype(np.float32)
    drawn = (label + rng.gamma(1, 0.4, (1000, 3, 4, 1)) * rng.normal(size=label.shape)).astype("f4")
    valid = rng.random((1000, 3, 4)) < 0.6
    a, b = drawn[valid].astype(np.float64), label[valid].astype(np.float64)
    cosine = (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
    angle = np.degrees(np.arccos(np.clip(cosine, -1, 1)))
    metric = surface_normals.angular_errors()
    scores = metric.compute(metric.update(metric.init(), drawn, label, valid=valid))
    assert scores["mean"] == pytest.approx(angle.mean(), abs=1e-6)
    assert scores["rmse"] == pytest.approx(np.sqrt((angle**2).mean()), abs=1e-6)
    assert scores["median"] == pytest.approx(np.median(angle), abs=0.01)
    for threshold in (5, 7.5, 11.25, 22.5, 30):
        share = (angle < threshold).mean()
        assert scores[f"within_{threshold:g}"] == pytest.approx(share, abs=1e-6)


def test_median_of_an_even_count_is_the_mean_of_the_two_middle_values():
    # In different bins, in one bin, and with an odd count between them.
    assert compute(_state((1, 10, 20, 90)))["median"] == pytest.approx(15, abs=1e-5)
    assert compute(_state((10.001, 10.003)))["median"] == pytest.approx(10.002, abs=1e-5)
    assert compute(_state((1, 10, 20, 80, 90)))["median"] == pytest.approx(20, abs=1e-5)


def test_whole_circle():
    vectors = np.array([[[0, 0, 1], [1, 0, 0], [0, 0, -1], [0, 0, 0], [np.nan, 0, 1]]])
    angles = surface_normals.angle_deg(vectors, _towards_camera(1, 5))
    np.testing.assert_allclose(angles, [[0, 90, 180, 90, 180]])


def test_small_angles_keep_their_digits():
    tiny = np.array([1e-7, 0, 1])
    angle = surface_normals.angle_deg(tiny, np.array([0.0, 0, 1]))
    assert angle == pytest.approx(np.degrees(1e-7), rel=1e-6)


def test_floor_of_the_8_bit_code():
    drawn = np.array([128, 128, 255]) / 255 * 2 - 1
    angle = surface_normals.angle_deg(drawn, np.array([0.0, 0, 1]))
    assert angle == pytest.approx(0.318, abs=5e-4)


def test_lengths_do_not_matter_and_zero_labels_are_none():
    label = np.array([[[0, 0, 7.0], [0, 0, 0], [np.nan, 0, 1], [0, np.inf, 1]]])
    prediction = np.array([[[0, 0, 0.2], [1, 0, 0], [0, 0, 1], [0, 0, 1]]])
    metric = surface_normals.angular_errors()
    state = metric.update(metric.init(), prediction, label)
    assert state.pixels.sum() == 1
    assert metric.compute(state)["mean"] == 0


def test_valid_batching_merging_and_padding():
    rng = np.random.default_rng(1)
    prediction, label = rng.normal(size=(2, 5, 3, 4, 3))
    valid = rng.random((5, 3, 4)) < 0.7
    metric = surface_normals.angular_errors()
    whole = metric.update(metric.init(), prediction, label, valid=valid)
    assert whole.pixels.sum() == valid.sum()
    state = metric.init()
    for part in (slice(0, 1), slice(1, 3), slice(3, 5)):
        one = metric.update(metric.init(), prediction[part], label[part], valid=valid[part])
        state = metric.merge(one, state)
    assert metric.compute(state) == pytest.approx(metric.compute(whole))
    wide = [np.pad(x, ((0, 2), (1, 0), (0, 3), (0, 0))) for x in (prediction, label)]
    padded = metric.update(metric.init(), *wide, valid=np.pad(valid, ((0, 2), (1, 0), (0, 3))))
    assert metric.compute(padded) == pytest.approx(metric.compute(whole))


def test_nothing_and_wrong_shapes():
    metric = surface_normals.angular_errors()
    assert np.isnan(metric.compute(metric.init())["median"])
    with pytest.raises(ValueError, match=r"\(1, 2, 3\).*\(1, 3, 3\)"):
        metric.update(metric.init(), np.ones((1, 2, 3)), np.ones((1, 3, 3)))
