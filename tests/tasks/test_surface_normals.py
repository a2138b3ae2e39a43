import jax
import numpy as np
import pytest

from vision_banana.tasks import confidence, surface_normals
from vision_banana.tasks.task import Example

# x right, y up, z to the camera -> R = (1 - x) / 2, G = (1 + y) / 2, B = (1 + z) / 2, by hand.
BY_HAND = {
    (-1, 0, 0): (255, 128, 128),  # facing left: pinkish red
    (1, 0, 0): (0, 128, 128),
    (0, 1, 0): (128, 255, 128),  # up: light green
    (0, -1, 0): (128, 0, 128),
    (0, 0, 1): (128, 128, 255),  # the camera: light blue
    (0, 0, -1): (128, 128, 0),
    (0.28, 0, 0.96): (92, 128, 250),  # 0.36 and 0.98 of 255 are 91.8 and 249.9
    (0, 0.28, -0.96): (128, 163, 5),  # 0.64 and 0.02 of 255 are 163.2 and 5.1
}


def _u8(rgb: np.ndarray) -> np.ndarray:
    return np.rint(np.asarray(rgb, np.float64) * 255).astype(np.uint8)


def _random_normals(*shape: int) -> np.ndarray:
    vectors = np.random.default_rng(0).normal(size=(*shape, 3))
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def _angles(a, b) -> np.ndarray:
    cross = np.linalg.norm(np.cross(a, b), axis=-1)
    return np.degrees(np.arctan2(cross, (np.asarray(a) * b).sum(-1)))


def _example(*vectors, valid=True) -> Example:
    label = np.array([vectors], np.float32)
    valid = np.broadcast_to(np.array(valid), label.shape[:2])
    return Example("surface_normals", "test/0", (), label, valid, {})


def test_code_is_pinned_bit_for_bit():
    vectors = np.array([list(BY_HAND)])
    np.testing.assert_array_equal(_u8(surface_normals.encode(vectors))[0], list(BY_HAND.values()))


def test_floor_left_wall_and_frontal_wall_are_read():
    colours = np.array([[[128, 255, 128], [0, 128, 128], [128, 128, 255]]]) / 255
    normals, _ = surface_normals.decode(colours)
    # The left wall of a room faces right.
    np.testing.assert_allclose(normals[0], [[0, 1, 0], [1, 0, 0], [0, 0, 1]], atol=0.006)


def test_round_trips():
    normals = _random_normals(3, 50, 40)
    rgb = surface_normals.encode(normals)
    assert rgb.dtype == np.float32
    read, sure = surface_normals.decode(rgb)
    assert _angles(read, normals).max() < 1e-4
    assert sure.min() > 0.999
    read, sure = surface_normals.decode(_u8(rgb) / 255)
    assert _angles(read, normals).max() < 0.5
    assert sure.min() >= 0.95
    np.testing.assert_allclose(np.linalg.norm(read, axis=-1), 1, atol=1e-6)


def test_horizontal_flip_mirrors_red():
    normals = _random_normals(4, 6)
    flipped = normals[:, ::-1] * np.array([-1, 1, 1])
    mirrored = surface_normals.encode(normals)[:, ::-1].copy()
    mirrored[..., 0] = 1 - mirrored[..., 0]
    np.testing.assert_allclose(surface_normals.encode(flipped), mirrored, atol=1e-6)


def test_any_colour_is_read_and_grey_is_safe():
    grid = np.stack(np.meshgrid(*[np.linspace(0, 1, 9)] * 3), -1).reshape(1, -1, 3)
    normals, sure = surface_normals.decode(grid)
    np.testing.assert_allclose(np.linalg.norm(normals, axis=-1), 1, atol=1e-6)
    grey = (grid == 0.5).all(-1)
    np.testing.assert_array_equal(normals[grey], [[0, 0, 1]])
    # RGB distance to the sphere of radius 1/2 about grey, by hand.
    off = np.abs(np.linalg.norm(grid - 0.5, axis=-1) - 0.5)
    np.testing.assert_allclose(sure, confidence.from_distance(off), atol=1e-5)
    assert (np.asarray(sure)[off > 0.25] < 0.5).all()


def test_decode_is_batched_and_traced():
    rgb = surface_normals.encode(_random_normals(2, 3, 4, 5))
    normals, sure = surface_normals.decode(rgb)
    assert normals.shape == (2, 3, 4, 5, 3) and sure.shape == (2, 3, 4, 5)
    np.testing.assert_allclose(
        jax.vmap(lambda x: surface_normals.decode(x)[0])(rgb), normals, atol=1e-6
    )


@pytest.mark.parametrize("vector", [(np.nan, 0, 1), (0, 0, 2), (0, 0.5, 0), (np.inf, 0, 0)])
def test_bad_normals_are_an_error(vector):
    with pytest.raises(ValueError, match="1 of 2 vectors are not unit vectors"):
        surface_normals.encode(np.array([[(0, 0, 1), vector]]))


def test_draw_and_read():
    example = _example((-1, 0, 0), (0, 0, 0), (np.nan, 0, 0), valid=[[True, True, False]])
    rng = np.random.default_rng(0)
    prompt = surface_normals.TASK.prompt(example, rng)
    rgb, weight = surface_normals.TASK.draw(example, prompt, rng)
    np.testing.assert_array_equal(weight, [[1, 0, 0]])
    np.testing.assert_array_equal(rgb, [[[1, 0.5, 0.5], [0.5] * 3, [0.5] * 3]])
    answer = surface_normals.TASK.read(rgb[None], [prompt])
    np.testing.assert_allclose(answer["normals"][0, 0, 0], [-1, 0, 0], atol=1e-6)
    assert answer["confidence"][0, 0, 1] < 0.5 < answer["confidence"][0, 0, 0]


def test_prompts_vary():
    rng = np.random.default_rng(0)
    prompts = {surface_normals.TASK.prompt(_example((0, 0, 1)), rng) for _ in range(200)}
    assert prompts == set(surface_normals.QUESTIONS)


def test_metric_counts_known_normals_only():
    example = _example(
        (0, 0, 1), (0, 1, 0), (0, 0, 0), (1, 0, 0), valid=[[True, True, True, False]]
    )
    answer = {"normals": np.array([[[(0, 0, 1), (0, 0, 1), (1, 0, 0), (0, 1, 0)]]])}
    metric = surface_normals.TASK.metric()
    scores = metric.compute(metric.update(metric.init(), answer, [example]))
    assert scores["mean"] == pytest.approx(45)
    assert scores["within_5"] == 0.5
    assert set(surface_normals.TASK.perfect) <= set(scores)
    error = surface_normals.TASK.error(answer, 0, example)
    np.testing.assert_allclose(error, [[0, 1, np.nan, np.nan]])


def test_metric_pairs_pictures():
    # Each picture is scored with its own answer: 0, 90 and 0 degrees.
    examples = [_example((0, 0, 1)), _example((0, 1, 0)), _example((1, 0, 0))]
    normals = np.array([[[(0, 0, 1)]], [[(0, 0, 1)]], [[(1, 0, 0)]]])
    metric = surface_normals.TASK.metric()
    for count, mean in ((1, 0), (2, 45), (3, 30)):
        part = {"normals": normals[:count]}
        scores = metric.compute(metric.update(metric.init(), part, examples[:count]))
        assert scores["mean"] == pytest.approx(mean)


def test_blind_is_the_mean_normal_by_position():
    training = [
        _example((1, 0, 0), (0, 0, 0), (0, 1, 0), valid=[[True, True, True]]),
        _example((0, 0, 1), (0, 0, 0), (0, -1, 0), valid=[[True, True, False]]),
    ]
    answer = surface_normals.TASK.blind(iter(training))(training)
    half = 0.5**0.5
    expected = [[[half, 0, half], [0, 0, 1], [0, 1, 0]]]
    np.testing.assert_allclose(answer["normals"], [expected, expected], atol=1e-6)
    assert answer["confidence"].shape == (2, 1, 3)
    assert surface_normals.TASK.picture(answer, 0).shape == (1, 3, 3)
