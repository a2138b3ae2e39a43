import jax
import numpy as np
import pytest

from vision_banana.tasks import depth
from vision_banana.tasks.task import Example

CORNERS_M = (0.801, 1.832, 3.229, 5.275, 8.708, 16.458)

# f = 1 - (1 + d / 10)^-2, worked out by hand; 7 f is the position on the path.
CUBE_8_BIT = {
    0: (0, 0, 0),
    0.5: (166, 0, 0),  # 7 f = 0.65079
    1: (255, 55, 0),  # 1.21488
    2.5: (122, 255, 0),  # f = 0.36, 2.52
    5: (0, 255, 227),  # 3.88889
    7: (0, 108, 255),  # 4.57786
    10: (64, 0, 255),  # f = 0.75, 5.25
    30: (255, 143, 255),  # f = 0.9375, 6.5625
    90: (255, 237, 255),  # f = 0.99, 6.93
    np.inf: (255, 255, 255),
}


def _u8(rgb: np.ndarray) -> np.ndarray:
    return np.rint(np.asarray(rgb, np.float64) * 255).astype(np.uint8)


def _sweep(low: float, high: float, count: int = 20_001) -> np.ndarray:
    return np.geomspace(low, high, count).astype(np.float32)[None]


def _example(label=((1.0, 2.0), (3.0, np.inf)), valid=True, **words) -> Example:
    label = np.array(label, np.float32)
    valid = np.broadcast_to(np.array(valid), label.shape)
    return Example("depth", "test/0", (np.zeros((2, 2, 3)),), label, valid, words)


def test_curve_by_hand():
    metres = np.array([0, 2.5, 10, 30, 90, np.inf])
    np.testing.assert_allclose(depth.curve(metres), [0, 0.36, 0.75, 0.9375, 0.99, 1], atol=1e-15)
    np.testing.assert_allclose(depth.uncurve(depth.curve(metres)), metres, rtol=1e-12)
    # Barron's transform in its own terms: lambda = -3, c = 10 / 3.
    f = 1 - (1 - metres[:-1] / (-3 * (10 / 3))) ** (-3 + 1)
    np.testing.assert_allclose(depth.curve(metres[:-1]), f, atol=1e-15)


def test_curve_of_jax_arrays():
    metres = jax.numpy.array([0.0, 2.5, 10, np.inf])
    f = jax.jit(depth.curve)(metres)
    np.testing.assert_allclose(f, [0, 0.36, 0.75, 1], atol=1e-6)
    np.testing.assert_allclose(jax.jit(depth.uncurve)(f), metres, rtol=1e-5)


def test_cube_corners_are_the_published_metres():
    corners = np.array(depth.CUBE_PATH[1:-1], np.float32)[None]
    metres, _ = depth.decode(corners)
    np.testing.assert_allclose(metres[0], CORNERS_M, atol=5e-4)


def test_cube_is_pinned_bit_for_bit():
    metres = np.array([list(CUBE_8_BIT)])
    np.testing.assert_array_equal(_u8(depth.encode(metres))[0], list(CUBE_8_BIT.values()))


@pytest.mark.parametrize(
    ("colormap", "low", "middle", "high"),
    [
        (
            "plasma",
            (0.050383, 0.029803, 0.527975),
            (0.798216, 0.280197, 0.469538),
            (0.940015, 0.975158, 0.131326),
        ),
        (
            "inferno",
            (0.001462, 0.000466, 0.013866),
            (0.735683, 0.215906, 0.330245),
            (0.988362, 0.998364, 0.644924),
        ),
        (
            "viridis",
            (0.267004, 0.004874, 0.329415),
            (0.127568, 0.566949, 0.550556),
            (0.993248, 0.906157, 0.143936),
        ),
    ],
)
def test_published_tables(colormap, low, middle, high):
    assert depth.PATHS[colormap].shape == (256, 3)
    metres = np.array([[0, depth.uncurve(128 / 255), np.inf]])
    rgb = depth.encode(metres, colormap)
    np.testing.assert_allclose(rgb[0], [low, middle, high], atol=1e-6)


def test_colormaps_are_pinned_bit_for_bit():
    metres = np.array([[0, 10, np.inf]])  # f = 0, 0.75, 1: entry 191.25 of 255
    assert _u8(depth.encode(metres, "grayscale"))[0].tolist() == [[0] * 3, [191] * 3, [255] * 3]
    expected = {
        "plasma": [[13, 8, 135], [248, 148, 65], [240, 249, 33]],
        "inferno": [[0, 0, 4], [249, 141, 10], [252, 255, 164]],
        "viridis": [[68, 1, 84], [93, 201, 99], [253, 231, 37]],
    }
    for colormap, rgb in expected.items():
        np.testing.assert_array_equal(_u8(depth.encode(metres, colormap))[0], rgb, colormap)


@pytest.mark.parametrize("colormap", depth.COLORMAPS)
def test_round_trip_in_float32(colormap):
    metres = _sweep(0.05, 300)
    rgb = depth.encode(metres, colormap)
    assert rgb.dtype == np.float32
    read, sure = depth.decode(rgb, colormap)
    bound = 1e-4 if colormap == "cube" else 1e-2
    assert np.abs(np.asarray(read) / metres - 1).max() < bound
    assert sure.min() > 0.999


@pytest.mark.parametrize("colormap", depth.COLORMAPS)
def test_exact_at_zero_and_infinity(colormap):
    ends = np.array([[0, np.inf]])
    np.testing.assert_array_equal(depth.decode(depth.encode(ends, colormap), colormap)[0], ends)


def test_far_depth_keeps_its_digits():
    """Where f is nearly 1, 1 - f in float32 would lose most of them."""
    metres = np.geomspace(300, 3000, 100)
    read = np.asarray(depth.decode(depth.encode(metres))[0])
    assert np.abs(read / metres - 1).max() < 5e-4


@pytest.mark.parametrize(("low", "high", "bound"), [(0.5, 40, 0.005), (0.1, 80, 0.015)])
def test_round_trip_after_8_bits(low, high, bound):
    metres = _sweep(low, high)
    read, sure = depth.decode(_u8(depth.encode(metres)) / np.float32(255))
    assert np.abs(np.asarray(read) / metres - 1).max() < bound
    assert sure.min() >= 0.95


def test_every_8_bit_colour_of_the_cube_path_is_read_as_itself():
    metres = depth.decode(depth.encode(_sweep(1e-3, 1e4)))[0]
    code = np.unique(_u8(depth.encode(metres)).reshape(-1, 3), axis=0)
    assert len(code) > 1700  # of 7 * 255 + 1
    again = depth.encode(depth.decode(code[None] / np.float32(255))[0])
    np.testing.assert_array_equal(_u8(again)[0], code)


@pytest.mark.parametrize("colormap", depth.COLORMAPS)
def test_decode_is_the_nearest_point_of_the_path_for_any_colour(colormap):
    rng = np.random.default_rng(0)
    rgb = rng.random((400, 3))
    rgb[:8] = np.stack(np.meshgrid(*[[0, 1]] * 3), -1).reshape(-1, 3)
    metres, sure = depth.decode(rgb[None], colormap)
    f = np.linspace(0, 1, 255 * 21 + 1)
    on_path = depth.encode(depth.uncurve(f)[None], colormap)[0].astype(np.float64)
    nearest = np.linalg.norm(rgb[:, None] - on_path[None], axis=-1).min(1)
    found = depth.encode(np.asarray(metres), colormap)[0]
    off = np.linalg.norm(rgb - found, axis=-1)
    assert (off <= nearest + 1e-5).all()
    assert (metres >= 0).all()
    assert (np.asarray(sure)[0][off > 0.25] < 0.5).all()
    order = np.argsort(off)
    assert (np.diff(np.asarray(sure)[0][order]) <= 1e-5).all()


def test_decode_is_batched():
    metres = np.random.default_rng(0).uniform(0, 50, (2, 3, 4, 5))
    rgb = depth.encode(metres, "viridis")
    assert rgb.shape == (2, 3, 4, 5, 3)
    read, sure = depth.decode(rgb, colormap="viridis")
    assert read.shape == sure.shape == (2, 3, 4, 5)
    np.testing.assert_array_equal(read[1, 2], depth.decode(rgb[1, 2], "viridis")[0])
    mapped = jax.vmap(lambda x: depth.decode(x, "viridis")[0])(rgb)
    np.testing.assert_allclose(mapped, read, rtol=1e-6)


@pytest.mark.parametrize(("value", "named"), [(np.nan, "nan"), (-0.5, "-0.5"), (-np.inf, "-inf")])
def test_bad_depth_is_an_error(value, named):
    with pytest.raises(ValueError, match=f"1 of 2 values are NaN or negative, the first {named}"):
        depth.encode(np.array([[1.0, value]]))
    with pytest.raises(ValueError, match="NaN or negative"):
        depth.TASK.draw(_example([[1.0, value]]), "depth map", np.random.default_rng(0))


def test_unknown_colormap_is_an_error():
    for call in (
        lambda: depth.encode(np.ones((1, 1)), "jet"),
        lambda: depth.decode(np.ones((1, 1, 3)), "jet"),
        lambda: depth.TASK.prompt(_example(colormap="jet"), np.random.default_rng(0)),
    ):
        with pytest.raises(ValueError, match=r"'jet'.*'cube', 'plasma'"):
            call()


def test_prompts_say_the_colormap_and_it_is_read_back():
    for question in depth.QUESTIONS:
        assert depth.read_colormap(question.format("")) == "cube"
        for words in depth.MAP_WORDS:
            for colormap in depth.COLORMAPS[1:]:
                text = question.format(words.format(colormap))
                assert depth.read_colormap(text) == colormap
    assert depth.read_colormap("Depth map in Grey-scale") == "grayscale"
    with pytest.raises(ValueError, match=r"plasma.*viridis"):
        depth.read_colormap("depth in viridis or plasma")


@pytest.mark.parametrize(
    ("prompt", "colormap"),
    [
        ("depth map in gray", "grayscale"),
        ("Depth map in black and white, please", "grayscale"),
        ("depth map in shades of grey", "grayscale"),
        ("depth map of this picture in grey colors", "grayscale"),
        ("depth map not in plasma", "cube"),
        ("depth map in viridis, not in jet", "viridis"),
        ("depth map of the gray cat", "cube"),
        ("depth map of the man in gray", "cube"),
        ("depth of the black and white cat", "cube"),
        ("depth map in metres", "cube"),
        ("depth map in detail.", "cube"),
        ("depth in this room", "cube"),
        ("depth map of this scene in snow", "cube"),
        ("depth map with cubes", "cube"),
        ("depth map in the style of van Gogh", "cube"),
        ("generate a depth color map in color", "cube"),
        ("depth map with the default colormap", "cube"),
        ("depth map in false colors", "cube"),
        ("depth map of the jet", "cube"),
        ("depth of the jet on the runway", "cube"),
        ("depth of a cup with hot tea, please", "cube"),
        ("depth of the volcano, hot lava and all", "cube"),
        ("depth map of a rainbow over the sea", "cube"),
        ("depth of the copper colored pot", "cube"),
        ("depth map of this picture at twilight", "cube"),
        ("depth map, not a heat map", "cube"),
        ("depth map, don't use jet", "cube"),
        ("viridis depth map, no magma", "viridis"),
    ],
)
def test_colormaps_of_prompts(prompt, colormap):
    assert depth.read_colormap(prompt) == colormap


@pytest.mark.parametrize(
    ("prompt", "unknown"),
    [
        ("depth map in jet", "jet"),
        ("depth map in Jet please", "jet"),
        ("depth map in jet or plasma", "jet"),
        ("depth map in turbo colors", "turbo"),
        ("depth map of this image in magma.", "magma"),
        ("depth map with the cividis colormap", "cividis"),
        ("depth map, colored in blurple", "blurple"),
        ("depth map in plazma", "plazma"),
        ("depth map in blue", "blue"),
        ("depth map, colormap: hot", "hot"),
        ("depth map, magma", "magma"),
        ("jet depth map", "jet"),
        ("depth (jet)", "jet"),
        ("depth map jet", "jet"),
        ("Depth map of this scene: rainbow, please", "rainbow"),
        ("rainbow-coloured depth map", "rainbow"),
        ("depth map rendered with magma", "magma"),
        ("cividis for the depth map", "cividis"),
        ("depth map as a heat map", "heatmap"),
        ("a heatmap of the depth", "heatmap"),
    ],
)
def test_a_prompt_for_an_unknown_colormap_is_refused(prompt, unknown):
    with pytest.raises(
        ValueError, match=rf"'{unknown}' is unknown.*'plasma', 'inferno', 'viridis'"
    ):
        depth.read_colormap(prompt)


def test_prompts_draw_every_form_and_the_cube_most_often():
    rng = np.random.default_rng(0)
    prompts = [depth.TASK.prompt(_example(), rng) for _ in range(8000)]
    named = [depth.read_colormap(prompt) for prompt in prompts]
    assert named.count("cube") / len(named) > 0.8
    assert set(named) == set(depth.COLORMAPS)
    assert len(set(prompts)) == len(depth.QUESTIONS) * (1 + 4 * len(depth.MAP_WORDS))
    asked = {
        depth.read_colormap(depth.TASK.prompt(_example(colormap="plasma"), rng)) for _ in range(20)
    }
    assert asked == {"plasma"}


def test_draw_then_read_mixed_prompts():
    example = _example([[0.0, 2.5], [np.inf, np.nan]], [[True, True], [True, False]])
    prompts = ["depth map", "depth map in plasma", "depth map"]
    drawn = [depth.TASK.draw(example, prompt, np.random.default_rng(0)) for prompt in prompts]
    for rgb, weight in drawn:
        np.testing.assert_array_equal(weight, [[1, 1], [1, 0]])
        np.testing.assert_array_equal(rgb[1, 1], [0.5] * 3)
    answer = depth.TASK.read(np.stack([rgb for rgb, _ in drawn]), prompts)
    for metres in answer["depth"]:
        np.testing.assert_allclose(metres[[0, 0, 1], [0, 1, 0]], [0, 2.5, np.inf], rtol=1e-5)
    assert (answer["confidence"][:, 0] > 0.999).all()
    assert (answer["confidence"][:, 1, 1] < 0.5).all()


def test_metric_leaves_out_sky_and_the_unknown():
    example = _example([[2.0, 4.0], [np.inf, 1.0]], [[True, True], [True, False]])
    metric = depth.TASK.metric()
    answer = {"depth": np.array([[[2.0, 5.0], [3.0, 70.0]]])}
    scores = metric.compute(metric.update(metric.init(), answer, [example]))
    assert scores["delta1"] == 0.5
    assert scores["AbsRel"] == pytest.approx(0.125)
    assert set(depth.TASK.perfect) <= set(scores)
    # Drawn as sky: clamped to 80 m, not infinite.
    sky = metric.update(metric.init(), {"depth": np.full((1, 2, 2), np.inf)}, [example])
    assert metric.compute(sky)["AbsRel"] == pytest.approx((39 + 19) / 2)


def test_metric_pairs_pictures():
    # In a batch of 1, 2 or 3 each picture is scored with its own answer: AbsRel 0, 1/2 and 1.
    examples = [_example([[metres, 4.0]], [[True, False]]) for metres in (2.0, 4.0, 8.0)]
    answer = {"depth": np.array([[[2.0, 1.0]], [[6.0, 1.0]], [[16.0, 1.0]]])}
    metric = depth.TASK.metric()
    for count, absrel in ((1, 0), (2, 1 / 4), (3, 1 / 2)):
        part = {"depth": answer["depth"][:count]}
        scores = metric.compute(metric.update(metric.init(), part, examples[:count]))
        assert scores["AbsRel"] == pytest.approx(absrel)


def test_distance_from_the_path_in_grey_levels_by_hand():
    # Off the edge from red to yellow by blue alone: 0, 3, 6 and, where unknown, 200 of 255.
    off = np.array([[0, 3], [6, 200]])
    rgb = np.zeros((2, 2, 2, 3), np.float32)
    rgb[..., 0], rgb[..., 1], rgb[0, ..., 2] = 1, 0.5, off / 255
    rgb[1, ..., 2] = 10 / 255
    answer = depth.TASK.read(rgb, ["metric depth"] * 2)
    np.testing.assert_allclose(answer["off_path"][0, 0], [0, 3], atol=0.02)
    known = [[True, True], [True, False]]
    examples = [_example([[2.0, 2.0], [2.0, 2.0]], known) for _ in range(2)]
    metric = depth.TASK.metric()
    state = metric.update(metric.init(), answer, examples)
    # The means of the pictures' medians, 3 and 10; blind answers are not drawn.
    assert metric.compute(state)["off_path"] == pytest.approx(6.5, abs=0.02)
    blind = metric.update(metric.init(), {"depth": np.full((2, 2, 2), 2.0)}, examples)
    assert np.isnan(metric.compute(blind)["off_path"])
    assert metric.compute(metric.merge(state, blind))["off_path"] == pytest.approx(6.5, abs=0.02)


def test_blind_is_the_median_by_position():
    training = [
        _example([[1.0, 5.0], [np.inf, 9.0]], [[True, True], [True, False]]),
        _example([[2.0, 6.0], [np.inf, 9.0]], [[True, True], [True, False]]),
        _example([[9.0, 7.0], [3.0, 9.0]], [[True, False], [True, False]]),
    ]
    answer = depth.TASK.blind(iter(training))(training[:2])
    assert answer["depth"].shape == answer["confidence"].shape == (2, 2, 2)
    # The last position is never known: the median of all, (1, 2, 9, 5, 6, inf, inf, 3), is 5.5.
    np.testing.assert_array_equal(answer["depth"][1], [[2, 5.5], [np.inf, 5.5]])


def test_pictures_for_people():
    example = _example([[1.0, 4.0], [np.inf, 1.0]], [[True, True], [True, False]])
    answer = {"depth": np.array([[[2.0, 4.0 * 2**0.5], [np.inf, 0.0]]])}
    error = depth.TASK.error(answer, 0, example)
    np.testing.assert_allclose(error, [[1, 0.5], [np.nan, np.nan]])
    picture = depth.TASK.picture(answer, 0)
    np.testing.assert_allclose(picture[1, 0], depth.PATHS["inferno"][0], atol=1e-6)
    np.testing.assert_allclose(picture[1, 1], depth.PATHS["inferno"][-1], atol=1e-6)
