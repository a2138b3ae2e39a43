import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vision_banana.tasks import color_names, colors
from vision_banana.tasks import referring_segmentation as task
from vision_banana.tasks.task import Example

EXPRESSIONS = (
    "the man in pink t shirt",
    "The other man",
    "red cube left of the blue ball",
    "a cone, behind the large yellow torus",
)


def _example(masks, expressions, valid=None) -> Example:
    masks = np.asarray(masks, bool)
    valid = np.ones(masks.shape[1:], bool) if valid is None else np.asarray(valid, bool)
    return Example(task.TASK.name, "test/0", (), masks, valid, {"expressions": expressions})


def test_the_paper_s_prompt_drawn_and_read_by_hand() -> None:
    text = (
        "A segmentation map image. The area that corresponds to the man in pink t shirt is "
        "rendered solid white; the other man is rendered in green."
    )
    example = _example([[[0, 1, 0, 0]], [[1, 0, 0, 0]]], ("the other man", "man in pink t shirt"))
    rgb, weight = task.draw(example, text, np.random.default_rng(0))
    by_hand = [[[255, 255, 255], [0, 128, 0], [0, 0, 0], [0, 0, 0]]]
    assert np.array_equal(np.rint(rgb * 255).astype(np.uint8), by_hand)
    assert np.array_equal(weight, [[10, 10, 1, 1]])  # regions count more than background
    answer = task.read(rgb[None], [text])
    assert answer["names"] == [("man in pink t shirt", "other man")]
    assert np.array_equal(answer["masks"][0, :2], [[[1, 0, 0, 0]], [[0, 1, 0, 0]]])
    assert not answer["masks"][0, 2:].any()
    assert task.error(answer, 0, example).sum() == 0
    np.testing.assert_allclose(task.picture(answer, 0), rgb, atol=1e-6)


def test_decode_by_hand() -> None:
    palette = np.array([[255, 0, 0], [0, 0, 255], [np.nan] * 3]) / 255
    rgb = np.array([[[200, 30, 30], [100, 0, 0], [0, 40, 220], [130, 0, 0]]]) / 255
    masks, confidence = task.decode(rgb, palette)
    # 100 of red is nearer to the black background, 130 nearer to red (127.5 is the middle)
    assert np.array_equal(masks, [[[1, 0, 0, 1]], [[0, 0, 1, 0]], [[0, 0, 0, 0]]])
    assert masks.dtype == bool
    # distances 69.46, 100, 53.15, 125 of 255
    np.testing.assert_allclose(confidence, [[0.23267, 0.12763, 0.34122, 0.085621]], rtol=1e-4)
    masks, _ = task.decode(rgb, palette, background=(1.0, 1.0, 1.0))
    assert np.array_equal(masks[:2], [[[1, 1, 0, 1]], [[0, 0, 1, 0]]])


def test_a_region_of_the_background_s_colour_wins() -> None:
    masks, _ = task.decode(np.zeros((1, 1, 3)), np.zeros((2, 3)), (0, 0, 0))
    assert np.array_equal(masks, [[[True]], [[False]]])


def test_decode_takes_leading_dimensions_and_a_background_for_each() -> None:
    rgb = np.zeros((2, 1, 3, 3))
    palette = np.array([[[1, 0, 0]], [[0.2, 0, 0]]])
    masks, confidence = task.decode(rgb, palette, np.array([[0, 0, 0], [1, 1, 1]]))
    assert masks.shape == (2, 1, 1, 3) and confidence.shape == (2, 1, 3)
    assert not masks[0].any() and masks[1].all()


def test_a_palette_of_padding_draws_no_region() -> None:
    nothing = np.full((2, 3), np.nan)
    masks, _ = task.decode(np.ones((2, 2, 3)), nothing, (np.nan,) * 3)
    assert not masks.any()


def test_a_pixel_of_nan_belongs_to_no_region() -> None:
    rgb = np.array([[[1.0, 0, 0], [np.nan, 0, 0]]])
    masks, confidence = task.decode(rgb, np.array([[1.0, 0, 0], [0, 0, 1]]))
    assert np.array_equal(masks, [[[1, 0]], [[0, 0]]])
    assert np.array_equal(confidence, [[1, 0]])


@pytest.mark.parametrize("seed", range(3))
def test_masks_are_exact_under_noise_of_sigma_8(seed: int) -> None:
    rng = np.random.default_rng(seed)
    palette = np.array(colors.draw_palette(4, rng, named=False)) / 255
    labels = rng.integers(0, 4, (2, 96, 96))
    noisy = np.clip(palette[labels] + rng.normal(0, 8 / 255, (2, 96, 96, 3)), 0, 1)
    masks, _ = task.decode(noisy, palette[:3], palette[3])
    assert np.array_equal(masks, labels[:, None] == np.arange(3)[:, None, None])


@pytest.mark.parametrize(
    ("text", "background"),
    [
        ("Paint the cat yellow.", (0, 0, 0)),  # one colour: the farther of the two
        ("Paint the cat red.", (255, 255, 255)),
        ("cat: red, dog: blue", (0, 0, 0)),
        ("cat: black, dog: blue", (255, 255, 255)),
        ("cat: (9, 9, 9), dog: blue", (0, 0, 0)),  # 15.6 from black
        ("cat: (8, 8, 8), dog: blue", (255, 255, 255)),  # 13.9 from black
        ("cat: black, dog: blue, background: red", (255, 0, 0)),
    ],
)
def test_the_background(text: str, background: color_names.RGB) -> None:
    assert task.background_of(colors.parse_prompt(text)) == background
    rgb = np.broadcast_to(np.array(background) / 255, (1, 2, 2, 3))
    assert not task.read(rgb, [text])["masks"].any()


def test_the_background_must_be_said_where_black_and_white_are_taken() -> None:
    with pytest.raises(ValueError, match="black and white are taken"):
        task.read(np.zeros((1, 2, 2, 3)), ["cat: black, dog: white"])


@settings(max_examples=60)
@given(
    st.lists(st.sampled_from(EXPRESSIONS), min_size=1, max_size=3, unique=True),
    st.booleans(),
    st.integers(0, 2**32 - 1),
)
def test_what_is_written_is_what_is_drawn_and_read(
    expressions: list[str], hole: bool, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, len(expressions) + 1, (8, 8))
    valid = np.ones((8, 8), bool)
    valid[1] = not hole
    masks = labels == np.arange(len(expressions))[:, None, None]
    example = _example(masks, tuple(expressions), valid)
    text = task.prompt(example, rng)
    rgb, weight = task.draw(example, text, rng)
    assert np.array_equal(weight, valid * np.where(labels < len(expressions), 10, 1))
    assert hole is bool((rgb == 0.5).all(-1).any())
    eight_bits = np.rint(rgb * 255).astype(np.uint8) / np.float32(255)
    answer = task.read(eight_bits[None], [text])
    assert np.nansum(task.error(answer, 0, example)) == 0
    assert np.array_equal(np.isnan(task.error(answer, 0, example)), ~valid)
    metric = task.metric()
    score = metric.compute(metric.update(metric.init(), answer, [example]))
    assert score == pytest.approx({"cIoU": 1.0, "gIoU": 1.0}, abs=1e-4)


def test_a_batch_of_prompts_with_different_numbers_of_regions() -> None:
    texts = [
        "Paint the cat yellow.",
        "a1: red, b: blue, c: lime, d: black, e: white, background: gray",
    ]
    rgb = np.zeros((2, 1, 2, 3))
    rgb[:, :, 1] = (1, 1, 0)
    answer = task.read(rgb, texts)
    assert answer["names"] == [("cat",), ("a1", "b", "c", "d", "e")]
    assert answer["masks"].shape == (2, 8, 1, 2)
    assert np.array_equal(answer["masks"][0, 0], [[False, True]])
    assert np.array_equal(answer["masks"][1, 3], [[True, False]])


def test_overlapping_regions_weigh_nothing() -> None:
    example = _example([[[1, 1, 0]], [[0, 1, 1]]], ("cat", "dog"))
    rgb, weight = task.draw(example, "cat: red, dog: blue", np.random.default_rng(0))
    assert np.array_equal(weight, [[10, 0, 10]])
    assert np.array_equal(rgb, [[[1, 0, 0], [0.5, 0.5, 0.5], [0, 0, 1]]])


@pytest.mark.parametrize("expressions", [(), ("cat",), ("cat", "The  cat"), ("cat", "the rest")])
def test_expressions_that_cannot_be_told_apart_are_refused(expressions: tuple[str, ...]) -> None:
    example = _example(np.zeros((2, 2, 2)), expressions)
    with pytest.raises(ValueError, match=r"words\['expressions'\]"):
        task.prompt(example, np.random.default_rng(0))


def test_draw_refuses_a_prompt_that_misses_a_region() -> None:
    with pytest.raises(ValueError, match="gives 'dog' no colour"):
        task.draw(
            _example(np.zeros((2, 1, 1)), ("cat", "dog")), "cat: red", np.random.default_rng(0)
        )


def test_a_background_alone_asks_for_no_region() -> None:
    text, rng = "The background is black.", np.random.default_rng(0)
    for ask in (
        lambda: task.read(np.zeros((1, 2, 2, 3)), [text]),
        lambda: task.again(text, rng),
        lambda: task.apart(text, rng),
    ):
        with pytest.raises(ValueError, match=r"'The background is black\.' gives only the bac"):
            ask()


def test_prompts_vary_and_prefer_names() -> None:
    example = _example(np.zeros((2, 2, 2)), EXPRESSIONS[1:3])
    texts = [task.prompt(example, np.random.default_rng((0, i))) for i in range(200)]
    assert len(set(texts)) > 190
    assert 0.6 <= np.mean([not any(c.isdigit() for c in text) for text in texts]) <= 0.9
    stated = np.mean(["background" in colors.parse_prompt(text) for text in texts])
    assert 0.4 < stated < 0.6
    for text in texts:
        legend = colors.parse_prompt(text)
        rest = np.array(task.background_of(legend))
        apart = [np.linalg.norm(rest - c) for k, c in legend.items() if k != "background"]
        assert min(apart) >= 96, "noise must not carry a region into the background"


def test_metric_pairs_regions_by_name() -> None:
    # cat: 1 of 2 pixels found; dog: right; the third pixel is unknown.
    example = _example(
        [[[1, 1, 1, 0, 0]], [[0, 0, 0, 1, 0]]], ("cat", "dog"), valid=[[1, 1, 0, 1, 1]]
    )
    masks = np.array([[[[0, 0, 0, 1, 0]], [[1, 0, 0, 0, 0]], [[0, 0, 0, 0, 0]]]], bool)
    answer = {"masks": masks, "names": [("dog", "cat")]}
    metric = task.metric()
    score = metric.compute(metric.update(metric.init(), answer, [example]))
    assert score["gIoU"] == pytest.approx((1 / 2 + 1) / 2, abs=1e-4)
    assert score["cIoU"] == pytest.approx(2 / 3, abs=1e-4)
    # A region that the prompt did not name is an empty answer.
    missing = metric.update(metric.init(), {"masks": masks, "names": [("dog",)]}, [example])
    assert metric.compute(missing)["gIoU"] == pytest.approx(1 / 2, abs=1e-4)


def test_metric_pairs_pictures() -> None:
    # Each picture is scored with its own answer: 1 of 1 pixel, then 1 of 2.
    examples = [_example([[[1, 0]]], ("cat",)), _example([[[0, 1]]], ("cat",))]
    masks = np.array([[[[1, 0]]], [[[1, 1]]]], bool)
    answer = {"masks": masks, "names": [("cat",), ("cat",)]}
    metric = task.metric()
    score = metric.compute(metric.update(metric.init(), answer, examples))
    assert score["gIoU"] == pytest.approx(3 / 4, abs=1e-4)
    assert score["cIoU"] == pytest.approx(2 / 3)


def test_blind_takes_the_level_that_scores_best() -> None:
    # Frequency 1, 1, 1/3, 0. Level 1 gives {0, 1}: IoU 1, 1, 2/3, mean 0.889;
    # level 1/3 gives {0, 1, 2}: 2/3, 2/3, 1, mean 0.778; level 0 gives 1/2, 1/2, 3/4.
    training = [
        _example([[[1, 1, 0, 0]], [[1, 1, 0, 0]]], ("cat", "dog")),
        _example([[[1, 1, 1, 0]]], ("cat",)),
    ]
    guess = task.blind(iter(training))
    asked = [_example(np.zeros((1, 1, 4)), ("cube",)), _example(np.zeros((2, 1, 4)), ("a1", "b"))]
    answer = guess(asked)
    assert np.array_equal(answer["masks"][0], [[[1, 1, 0, 0]], [[0, 0, 0, 0]]])
    assert np.array_equal(answer["masks"][1], [[[1, 1, 0, 0]]] * 2)
    assert answer["names"] == [("cube",), ("a1", "b")]
    np.testing.assert_allclose(answer["confidence"][0], [[1, 1, 2 / 3, 1]])
    metric = task.metric()
    score = metric.compute(metric.update(metric.init(), guess(training), training))
    assert score["gIoU"] == pytest.approx(8 / 9, abs=1e-4)
    assert task.picture(answer, 1).shape == (1, 4, 3)


def test_blind_draws_nothing_where_half_of_the_regions_are_absent() -> None:
    # Frequency 1/4, 1/4, 0. Nothing is right about the two empty ones: 2/4. Level 1/4 gives
    # {0, 1}: IoU 1/2, 1/2, 0, 0, mean 1/4; level 0 gives 1/3, 1/3, 0, 0, mean 1/6.
    there = _example([[[1, 0, 0]], [[0, 1, 0]]], ("cat", "dog"))
    absent = _example(np.zeros((2, 1, 3)), ("cube", "ball"))
    guess = task.blind([there, absent])
    answer = guess([there, absent])
    assert not answer["masks"].any()
    np.testing.assert_allclose(answer["confidence"][0], [[3 / 4, 3 / 4, 1]])
    metric = task.metric()
    score = metric.compute(metric.update(metric.init(), answer, [there, absent]))
    assert score["gIoU"] == pytest.approx(1 / 2, abs=1e-4)
    # With one absent of three, {0, 1} has (1/2 + 1/2 + 0) / 3 and so has nothing: draw.
    one = _example(np.zeros((1, 1, 3)), ("cube",))
    assert task.blind([there, one])([one])["masks"].any()


def test_blind_resizes_and_needs_examples() -> None:
    half, whole = _example([[[1, 0]]], ("cat",)), _example(np.ones((1, 2, 4)), ("cat",))
    guess = task.blind([half, half, whole])
    answer = guess([_example(np.zeros((1, 2, 4)), ("cat",))])
    assert np.array_equal(answer["masks"][0, 0], [[1, 1, 0, 0]] * 2)
    with pytest.raises(ValueError, match="no training examples"):
        task.blind([])


def test_regions_that_a_prompt_leaves_out_are_background_where_it_may() -> None:
    example = _example([[[0, 1, 0, 0]], [[1, 0, 0, 0]], [[0, 0, 0, 1]]], ("a", "b", "c"))
    with pytest.raises(ValueError, match="gives 'a' no colour"):
        task.draw(example, "Segment this image: b: red, c: blue", np.random.default_rng(0))
    some = dataclasses.replace(example, words={**example.words, "asked_at_most": 2})
    rgb, weight = task.draw(some, "Segment this image: c: red, b: blue", np.random.default_rng(0))
    by_hand = [[[0, 0, 255], [0, 0, 0], [0, 0, 0], [255, 0, 0]]]
    assert np.array_equal(np.rint(rgb * 255).astype(np.uint8), by_hand)
    assert np.array_equal(weight, [[10, 1, 1, 10]])
    asked = [task.region_names(task.prompt(some, np.random.default_rng(i))) for i in range(40)]
    assert {len(names) for names in asked} == {1, 2}
    assert {name for names in asked for name in names} == {"a", "b", "c"}
