import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vision_banana.tasks import colors
from vision_banana.tasks import semantic_segmentation as task
from vision_banana.tasks.task import Example

CLASSES = ("floor", "a wall", "sky", "cube", "sphere", "traffic light", "man in pink t shirt")
NAN = np.nan


def _example(labels, classes=CLASSES, ids=None, valid=None, num_classes=30) -> Example:
    labels = np.asarray(labels, np.int32)
    valid = np.ones(labels.shape, bool) if valid is None else np.asarray(valid, bool)
    words = {
        "classes": classes,
        "class_ids": tuple(ids or range(1, len(classes) + 1)),
        "num_classes": num_classes,
    }
    return Example(task.TASK.name, "test/0", (), labels, valid, words)


def test_a_legend_drawn_by_hand() -> None:
    example = _example([[0, 1], [2, 255]], ("road", "sky", "the cat"))
    text = '{"cat": #80C000, "road": (128, 64, 128), "sky": "light purple", background: white}'
    rgb, weight = task.draw(example, text, np.random.default_rng(0))
    by_hand = [[[128, 64, 128], [192, 128, 192]], [[128, 192, 0], [255, 255, 255]]]
    assert np.array_equal(np.rint(rgb * 255).astype(np.uint8), by_hand)
    assert rgb.dtype == weight.dtype == np.float32
    assert np.array_equal(weight, np.full((2, 2), 2.0))  # each class fills a quarter
    answer = task.read(rgb[None], [text])
    assert answer["names"] == [("cat", "road", "sky")]  # the prompt's order
    assert np.array_equal(answer["labels"][0], [[1, 2], [0, 255]])


def test_unknown_and_unasked_pixels_are_grey_and_weigh_nothing() -> None:
    example = _example([[0, 1, 255]], ("road", "sky"), valid=[[True, False, True]])
    rgb, weight = task.draw(example, "road: red, sky: blue", np.random.default_rng(0))
    assert np.array_equal(rgb, [[[1, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0.5]]])
    assert np.array_equal(weight, [[1, 0, 0]])
    rgb, weight = task.draw(
        example, "road: red, sky: blue, background: black", np.random.default_rng(0)
    )
    assert np.array_equal(rgb, [[[1, 0, 0], [0.5, 0.5, 0.5], [0, 0, 0]]])
    assert np.allclose(weight, [[2**0.5, 0, 2**0.5]])


def test_classes_weigh_by_the_root_of_their_area_down_to_the_smallest() -> None:
    labels = np.zeros((100, 100), int)
    labels[0, :4] = 1  # less than the least share
    labels[1:10] = 2
    example = _example(labels, ("wall", "cone", "floor"))
    weight = task.draw(example, "wall: red, cone: blue, floor: lime", np.random.default_rng(0))[1]
    assert np.allclose(weight[0, :4], (1 / 0.002) ** 0.5)
    assert np.allclose(weight[1:10], (1 / 0.09) ** 0.5)
    assert np.allclose(weight[10:], (1 / 0.9096) ** 0.5)


def test_draw_refuses_a_prompt_that_misses_a_class() -> None:
    with pytest.raises(ValueError, match="gives 'sky' no colour"):
        task.draw(_example([[0, 1]], ("road", "sky")), "road: red", np.random.default_rng(0))


@pytest.mark.parametrize(
    "classes", [(), ("cat", "The Cat"), ("cat", "everything else"), tuple(map(str, range(256)))]
)
def test_prompt_refuses_classes_it_cannot_tell_apart(classes: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match=r"words\['classes'\]"):
        task.prompt(_example([[0]], classes), np.random.default_rng(0))


def test_a_background_alone_asks_for_no_class() -> None:
    text, rng = "The background is black.", np.random.default_rng(0)
    for ask in (
        lambda: task.read(np.zeros((1, 2, 2, 3)), [text]),
        lambda: task.again(text, rng),
        lambda: task.in_parts(text, 1),
    ):
        with pytest.raises(ValueError, match=r"'The background is black\.' gives only the bac"):
            ask()


def test_encode_refuses_labels_without_a_colour() -> None:
    palette = np.array([[1, 0, 0], [NAN, NAN, NAN]], np.float32)
    with pytest.raises(ValueError, match=r"labels holds 2, and the palette has colours for 0\.\.1"):
        task.encode(np.array([[0, 2]]), palette)
    with pytest.raises(ValueError, match="NaN"):
        task.encode(np.array([[0, 1]]), palette)
    with pytest.raises(ValueError, match="-1"):
        task.encode(np.array([[-1]]), palette)


def test_encode_takes_a_palette_for_each_picture() -> None:
    palettes = np.array([[[1, 0, 0], [0, 1, 0]], [[0, 0, 1], [1, 1, 1]]], np.float32)
    rgb = task.encode(np.array([[[0, 1]], [[1, 0]]]), palettes)
    assert np.array_equal(rgb, [[[[1, 0, 0], [0, 1, 0]]], [[[1, 1, 1], [0, 0, 1]]]])


def test_label_255_is_a_class_of_its_own_in_a_palette_that_long() -> None:
    palette = np.zeros((256, 3), np.float32)
    palette[255] = (1, 0.25, 0)
    assert np.array_equal(task.encode(np.array([[255]]), palette), [[[1, 0.25, 0]]])
    assert np.array_equal(task.encode(np.array([[255]]), palette[:255]), [[[0.5, 0.5, 0.5]]])


def test_decode_by_hand() -> None:
    palette = np.array([[255, 0, 0], [NAN, NAN, NAN], [0, 0, 255], [255, 255, 255]]) / 255
    rgb = np.array([[[200, 40, 40], [10, 10, 200], [129, 127, 255], [254, 255, 255]]]) / 255
    labels, confidence = task.decode(rgb, palette)
    # (129, 127, 255) is sqrt(129^2 + 127^2) = 181.02 from blue, sqrt(126^2 + 128^2) = 179.61 from
    # white; (127, 127, 255) would be 179.61 from blue and 181.02 from white.
    assert np.array_equal(labels, [[0, 2, 3, 3]])
    assert np.array_equal(task.decode(np.array([[[127, 127, 255]]]) / 255, palette)[0], [[2]])
    assert labels.dtype == jnp.int32 and confidence.dtype == jnp.float32
    # distances of 255: 78.90, 56.79, 179.61, 1; confidence 1 / (1 + (d / 0.15)^2)
    np.testing.assert_allclose(confidence, [[0.19030, 0.31206, 0.043383, 0.99932]], rtol=1e-4)


def test_a_tie_goes_to_the_first_class() -> None:
    # Exactly halfway in one channel, for three classes of which two are the same.
    palette = np.array([[0, 0, 0], [1, 0, 0], [1, 0, 0]])
    labels, _ = task.decode(np.array([[[0.5, 0, 0], [1, 0, 0]]]), palette)
    assert np.array_equal(labels, [[0, 1]])
    assert np.array_equal(task.decode(np.array([[[0.5, 0, 0]]]), palette[1::-1])[0], [[0]])


def test_decode_never_chooses_padding_nor_trusts_nan() -> None:
    labels, confidence = task.decode(np.zeros((2, 2, 3)), np.full((3, 3), NAN))
    assert not confidence.any() and not labels.any()
    _, confidence = task.decode(np.full((1, 1, 3), NAN), np.zeros((1, 3)))
    assert confidence[0, 0] == 0


def test_decode_takes_any_leading_dimensions() -> None:
    rng = np.random.default_rng(0)
    rgb = rng.random((2, 1, 4, 5, 3), np.float32)
    palette = rng.random((3, 6, 3), np.float32)
    labels, _ = task.decode(rgb, palette)
    assert labels.shape == (2, 3, 4, 5)
    for i in range(2):
        for j in range(3):
            apart = np.linalg.norm(rgb[i, 0, :, :, None] - palette[j], axis=-1)
            assert np.array_equal(labels[i, j], apart.argmin(-1))


def test_decode_holds_no_array_of_pixels_times_classes() -> None:
    jaxpr = jax.make_jaxpr(task.decode)(np.zeros((2, 64, 64, 3)), np.zeros((2, 37, 3)))
    assert "64,37" not in str(jaxpr) and "37,64" not in str(jaxpr).replace(" ", "")


@pytest.mark.parametrize("seed", range(4))
def test_labels_are_exact_under_noise_of_sigma_8(seed: int) -> None:
    rng = np.random.default_rng(seed)
    palette = np.array(colors.draw_palette(12, rng, named=seed % 2 == 0)) / 255
    labels = rng.integers(0, 12, (4, 128, 128))
    clean = task.encode(labels, palette)
    assert np.array_equal(task.decode(clean, palette)[0], labels)
    noisy = np.clip(clean + rng.normal(0, 8 / 255, clean.shape), 0, 1)
    decoded, confidence = task.decode(noisy, palette)
    assert np.array_equal(decoded, labels)
    # Worse than clean (1), better than anything that is no colour of the legend.
    assert 0.8 < float(jnp.mean(confidence)) < 0.99


def test_confidence_within_one_rounding_and_at_a_quarter() -> None:
    palette = np.array([[0.3, 0.4, 0.5]])
    rounded = np.rint(palette * 255) / 255
    assert task.decode(rounded[None], palette)[1].min() >= 0.95
    assert task.decode(palette[None] + [0.25, 0, 0], palette)[1].max() < 0.5


@settings(max_examples=60)
@given(
    st.lists(st.sampled_from(CLASSES), min_size=1, unique=True),
    st.booleans(),
    st.booleans(),
    st.integers(0, 2**32 - 1),
)
def test_what_is_written_is_what_is_drawn_and_read(
    classes: list[str], none: bool, hole: bool, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, len(classes), (8, 8))
    labels[0] = 255 if none else labels[0]
    valid = np.ones((8, 8), bool)
    valid[1] = not hole
    example = _example(labels, tuple(classes), valid=valid)
    text = task.prompt(example, rng)
    rgb, weight = task.draw(example, text, rng)
    assert np.array_equal(weight > 0, valid), "a pixel of no class needs a stated background"
    eight_bits = np.rint(rgb * 255).astype(np.uint8) / np.float32(255)
    answer = task.read(eight_bits[None], [text])
    assert set(answer["names"][0]) == {colors.normalise(name) for name in classes}
    assert np.nansum(task.error(answer, 0, example)) == 0
    assert np.array_equal(np.isnan(task.error(answer, 0, example)), ~valid)
    assert answer["confidence"][0][valid].min() >= 0.95
    np.testing.assert_allclose(task.picture(answer, 0)[valid], rgb[valid], atol=1e-6)
    metric = task.metric()
    assert metric.compute(metric.update(metric.init(), answer, [example])) == {"mIoU": 1.0}


def test_prompts_are_reproducible_and_vary() -> None:
    example = _example([[0, 1, 2]], ("road", "sky", "cat"))
    texts = [task.prompt(example, np.random.default_rng((0, i))) for i in range(200)]
    assert texts == [task.prompt(example, np.random.default_rng((0, i))) for i in range(200)]
    assert len(set(texts)) > 190
    named = np.mean([not any(c.isdigit() for c in text) for text in texts])
    assert 0.6 <= named <= 0.9
    stated = np.mean(["background" in colors.parse_prompt(text) for text in texts])
    assert 0.2 < stated < 0.4
    orders = {next(iter(colors.parse_prompt(text))) for text in texts}
    assert {"road", "sky", "cat"} <= orders


def test_nineteen_classes_fit_and_read_back() -> None:
    classes = (
        *("road", "sidewalk", "building", "wall", "fence", "pole", "traffic light"),
        *("traffic sign", "vegetation", "terrain", "sky", "person", "rider", "car", "truck"),
        *("bus", "train", "motorcycle", "bicycle"),
    )
    example = _example(np.arange(19)[None], classes)
    for seed in range(5):
        text = task.prompt(example, np.random.default_rng(seed))
        rgb, _ = task.draw(example, text, np.random.default_rng(0))
        answer = task.read(rgb[None], [text])
        assert task.error(answer, 0, example).sum() == 0


def test_metric_maps_to_the_data_set_by_name() -> None:
    # Ids 7, 24, 33 of a table of 34. Truth: road road sky cat, none; the answer, in another order,
    # takes one road for cat and draws the last pixel as background.
    example = _example([[0, 0, 1, 2, 255]], ("road", "sky", "cat"), (7, 24, 33), None, 34)
    answer = {"labels": np.array([[[1, 0, 2, 0, 255]]]), "names": [("cat", "road", "sky")]}
    metric = task.metric()
    state = metric.update(metric.init(), answer, [example])
    # road 1/2, sky 1/1, cat 1/2, none (id 0) 1/1
    assert metric.compute(state)["mIoU"] == pytest.approx(0.75)
    assert metric.compute(metric.merge(state, metric.init()))["mIoU"] == pytest.approx(0.75)
    # Pooled with a picture that is all road and all right: road 6/7, the others as before.
    more = _example([[0] * 5], ("road", "sky", "cat"), (7, 24, 33), None, 34)
    right = {"labels": np.zeros((1, 1, 5), int), "names": [("road",)]}
    both = metric.merge(state, metric.update(metric.init(), right, [more]))
    assert metric.compute(both)["mIoU"] == pytest.approx((6 / 7 + 1 + 0.5 + 1) / 4)
    assert np.isnan(metric.compute(metric.init())["mIoU"])


def test_metric_leaves_unknown_pixels_out() -> None:
    example = _example([[0, 1]], ("road", "sky"), valid=[[True, False]])
    answer = {"labels": np.array([[[0, 0]]]), "names": [("road", "sky")]}
    metric = task.metric()
    assert metric.compute(metric.update(metric.init(), answer, [example]))["mIoU"] == 1.0


def test_metric_pairs_pictures() -> None:
    # Each picture is scored with its own answer: the first all right, the second all wrong.
    examples = [_example([[0, 1]], ("road", "sky")), _example([[1, 0]], ("road", "sky"))]
    right = {"labels": np.array([[[0, 1]], [[1, 0]]]), "names": [("road", "sky")] * 2}
    wrong = {"labels": np.array([[[0, 1]], [[0, 1]]]), "names": [("road", "sky")] * 2}
    metric = task.metric()
    assert metric.compute(metric.update(metric.init(), right, examples))["mIoU"] == 1
    # road and sky: 1 of 3 each.
    scores = metric.compute(metric.update(metric.init(), wrong, examples))
    assert scores["mIoU"] == pytest.approx(1 / 3)


def test_resize_takes_the_pixel_under_the_centre() -> None:
    # Of 6 to 3 centres lie at 1, 3, 5; of 2 to 3 at 1/3, 1 and 5/3; of 4 to 2 at 1 and 3.
    row = np.arange(6)[None]
    assert task.resize_nearest(row, (1, 3)).tolist() == [[1, 3, 5]]
    assert task.resize_nearest(row[:, :2], (1, 3)).tolist() == [[0, 1, 1]]
    assert task.resize_nearest(row.T[:4], (2, 1)).tolist() == [[1], [3]]


def test_blind_is_the_majority_of_each_position_among_the_listed() -> None:
    # The first column shows id 5 twice and id 9 once; the second id 9 twice, unlisted once.
    training = [
        _example([[0, 1]], ("sky", "cat"), (5, 9)),
        _example([[1, 0]], ("cat", "sky"), (9, 5), valid=[[True, False]]),
        _example([[0, 0]], ("cat",), (9,)),
        _example([[255, 255]], ("cat",), (9,)),
    ]
    # column 0: id 5, id 5, id 9, none; column 1: id 9, (unknown), id 9, none
    guess = task.blind(iter(training))
    asked = [
        _example([[0, 0]], ("dog", "cat", "sky"), (2, 9, 5)),
        _example([[0, 0]], ("dog", "cat"), (2, 9)),
    ]
    answer = guess(asked)
    assert np.array_equal(answer["labels"], [[[2, 1]], [[1, 1]]])
    assert answer["names"] == [("dog", "cat", "sky"), ("dog", "cat")]
    np.testing.assert_allclose(answer["confidence"], [[[2 / 4, 2 / 3]], [[1 / 2, 2 / 3]]])
    assert task.picture(answer, 0).shape == (1, 2, 3)
    assert np.array_equal(guess([_example([[0]], ("dog",), (2,))])["labels"], [[[255]]])


def test_blind_resizes_to_the_asked_picture() -> None:
    guess = task.blind([_example([[0, 1]], ("sky", "cat"))])
    answer = guess([_example(np.zeros((2, 4)), ("sky", "cat"))])
    assert np.array_equal(answer["labels"][0], [[0, 0, 1, 1]] * 2)


def test_blind_needs_examples() -> None:
    with pytest.raises(ValueError, match="no training examples"):
        task.blind([])


def test_classes_fall_into_even_parts():
    names = ("cat", "dog", "car", "sky", "road", "tree", "wall")
    prompt = task.ask_part(names, np.random.default_rng(0))
    assert colors.BACKGROUND in colors.parse_prompt(prompt)
    ordered = tuple(name for name in colors.parse_prompt(prompt) if name != colors.BACKGROUND)
    assert set(ordered) == set(names)
    assert task.in_parts(prompt, 3) == [ordered[:3], ordered[3:5], ordered[5:]]
    assert task.in_parts(prompt, 7) == [ordered]
