import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vision_banana.tasks import (
    color_legends,
    color_names,
    colors,
    confidence,
    referring_segmentation,
    semantic_segmentation,
)

BLACK, RED, BLUE = (0, 0, 0), (255, 0, 0), (0, 0, 255)
GREEN = (0, 128, 0)

ALL_FORMS = semantic_segmentation.FORMS + referring_segmentation.FORMS


@pytest.mark.parametrize(
    ("name", "rgb"),
    [
        ("orange", (255, 165, 0)),
        ("rebeccapurple", (102, 51, 153)),
        ("Sky Blue", (135, 206, 235)),
        ("light-blue", (173, 216, 230)),
        ("light goldenrod yellow", (250, 250, 210)),
        ("dark red", (139, 0, 0)),  # CSS, not the half of red
        ("light red", (255, 128, 128)),
        ("dark purple", (64, 0, 64)),
        ("solid pure red", RED),
        ("pure light green", (144, 238, 144)),
    ],
)
def test_names(name: str, rgb: color_names.RGB) -> None:
    assert color_names.read_name(name) == rgb


@pytest.mark.parametrize("name", ["", "reddish", "light", "pure", "solid solid", "bright red"])
def test_no_names(name: str) -> None:
    assert color_names.read_name(name) is None


def test_css_table_is_whole() -> None:
    assert len(color_names.CSS) == 148
    assert color_names.CSS["gray"] == color_names.CSS["grey"] == (128, 128, 128)


@pytest.mark.parametrize(
    ("notation", "text"),
    [
        ("name", "orange"),
        ("angle", "<255, 165, 0>"),
        ("tuple", "(255, 165, 0)"),
        ("rgb", "RGB(255, 165, 0)"),
        ("hex", "#FFA500"),
        ("both", "pure orange (<255, 165, 0>)"),
    ],
)
def test_notations_are_written_and_read(notation: str, text: str) -> None:
    assert colors.write_color((255, 165, 0), notation) == text
    assert color_names.read_color(text) == (255, 165, 0)


def test_writing_refuses_what_it_cannot_write() -> None:
    with pytest.raises(ValueError, match="has no name"):
        colors.write_color((1, 2, 3), "name")
    with pytest.raises(ValueError, match="notation='hsv'"):
        colors.write_color((1, 2, 3), "hsv")


@pytest.mark.parametrize("notation", ["name", "both", "angle", "tuple", "rgb", "hex"])
@pytest.mark.parametrize("form", range(len(ALL_FORMS)))
@pytest.mark.parametrize("background", [False, True])
def test_every_form_reads_back_as_it_stands(notation: str, form: int, background: bool) -> None:
    legend = {"exit sign": GREEN, "man in pink t shirt": (255, 165, 0), "tongs": BLUE}
    if background:
        legend["background"] = BLACK
    pairs = [(k, colors.write_color(v, notation)) for k, v in legend.items() if k != "background"]
    stated = colors.write_color(BLACK, notation) if background else None
    for seed in range(12):
        text = ALL_FORMS[form](pairs, stated, np.random.default_rng(seed))
        assert colors.parse_prompt(text) == legend, text


_WORDS = (
    "the a cat man in pink red light blue dark-green shirt left of and is on with rendered "
    "background: paint, (old) men's café = 3 orange ; white. 10-speed it's category region"
)
_phrases = st.one_of(
    st.lists(st.sampled_from(re.split(" ", _WORDS)), min_size=1, max_size=6).map(" ".join),
    st.text(st.characters(codec="utf-8", categories=("L", "P", "Zs")), min_size=1, max_size=12),
)


@settings(max_examples=150)
@given(st.lists(_phrases, min_size=1, max_size=4), st.booleans(), st.integers(0, 2**32 - 1))
def test_any_phrases_written_are_read(phrases: list[str], stated: bool, seed: int) -> None:
    rng = np.random.default_rng(seed)
    keys = {colors.normalise(phrase) for phrase in phrases} - {"", "background"}
    names = [*sorted(keys), *(["background"] if stated else [])]
    if not keys:
        return
    text = color_legends.compose(names, ALL_FORMS, rng, named_share=0.6)
    legend = colors.parse_prompt(text)
    # One phrase alone brings its background along.
    assert set(legend) == set(names) | ({"background"} if len(names) == 1 else set()), text


def test_writing_falls_back_to_a_quoted_map() -> None:
    legend = {'say "hi", {man}: red': RED, "dog": BLUE}
    lists = semantic_segmentation.FORMS[1:2]
    text = color_legends.write(legend, lists, np.random.default_rng(0))
    assert text.startswith("{")
    assert colors.parse_prompt(text) == legend


@pytest.mark.parametrize("phrase", ["dog is not", "sign that says no"])
def test_a_phrase_that_ends_in_a_not_is_written_as_a_map(phrase: str) -> None:
    legend = {phrase: RED, "dog": BLUE}
    for seed in range(8):
        text = color_legends.write(legend, ALL_FORMS, np.random.default_rng(seed))
        assert text.endswith("}")
        assert colors.parse_prompt(text) == legend


def test_writing_refuses_one_phrase_twice() -> None:
    with pytest.raises(ValueError, match="name each once"):
        color_legends.write({"cat": RED, "The Cat": BLUE}, ALL_FORMS, np.random.default_rng(0))


def test_long_legends_fall_back_to_names() -> None:
    names = [f"class {c}" for c in "abcdefgh"]
    for seed in range(20):
        rng = np.random.default_rng(seed)
        text = color_legends.compose(names, semantic_segmentation.FORMS, rng, named_share=0.0)
        assert color_legends.token_estimate(text) <= 60, text
        assert len(colors.parse_prompt(text)) == 8


def test_token_estimate_by_hand() -> None:
    # road : # 8 0 4 0 8 0 , the sky is ( 7 0 , 1 3 0 , 1 8 0 ) .
    assert color_legends.token_estimate("road: #804080, the sky is (70, 130, 180).") == 26


@pytest.mark.parametrize(("count", "named"), [(1, True), (12, True), (4, False), (20, False)])
def test_palettes_lie_96_apart(count: int, named: bool) -> None:
    for seed in range(10):
        palette = colors.draw_palette(count, np.random.default_rng(seed), named)
        table = np.array([*palette, (999, 999, 999)], float)
        apart = np.linalg.norm(table[:, None] - table, axis=-1) + 1e6 * np.eye(count + 1)
        assert len(palette) == count and apart.min() >= 96
        assert not named or all(colors.name_of(color) in colors.COMMON for color in palette)


def test_palettes_keep_away_and_are_random_and_reproducible() -> None:
    draws = [
        tuple(colors.draw_palette(5, np.random.default_rng(seed), avoid=[BLACK]))
        for seed in [*range(10), 0]
    ]
    assert draws[0] == draws[-1] and len(set(draws)) == 10
    for palette in draws:
        assert min(np.linalg.norm(color) for color in palette) >= 96


def test_large_palettes_shrink_the_distance_and_too_large_ones_are_refused() -> None:
    palette = colors.draw_palette(60, np.random.default_rng(0))
    assert len(set(palette)) == 60
    assert len(colors.draw_palette(150, np.random.default_rng(0), named=False)) == 150
    with pytest.raises(ValueError, match="count=149"):
        colors.draw_palette(149, np.random.default_rng(0))


def test_confidence_by_hand() -> None:
    rounding = np.sqrt(3) * 0.5 / 255
    values = np.asarray(
        confidence.from_distance(np.array([0.0, rounding, 0.15, 0.25, 1.7, np.inf, np.nan]))
    )
    np.testing.assert_allclose(values[[0, 2]], [1, 0.5], atol=1e-6)
    assert values[1] >= 0.95 and values[3] < 0.5
    assert np.all(np.diff(values[:5]) < 0) and values[5] == values[6] == 0
