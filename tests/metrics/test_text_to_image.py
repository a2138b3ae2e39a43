import numpy as np
import pytest
from scipy import ndimage

from vision_banana.data import scene_language, scene_settings, scene_solids, scenes
from vision_banana.metrics import solid_blobs, solid_detector, solid_views, text_to_image
from vision_banana.metrics.text_to_image import NAMES

SIDE = 64
ROWS, COLUMNS = np.mgrid[:SIDE, :SIDE]
WALL = (0.56, 0.67, 0.55)


def thing(color, kind, count=1):
    return {"color": color, "class": kind, "count": count}


def blank(color=WALL):
    return np.broadcast_to(np.float32(color), (SIDE, SIDE, 3)).copy()


def ball(picture, color, row, column, radius=8):
    """Lit from the upper left, as a sphere is."""
    x, y = (COLUMNS - column) / radius, (row - ROWS) / radius
    inside = x * x + y * y < 1
    z = np.sqrt(np.maximum(1 - x * x - y * y, 0))
    light = 0.6 + 0.4 * np.clip((z - x + y) / 3**0.5, 0, 1)
    paint(picture, color, inside, light)


def box(picture, color, row, column, half=8):
    """A cube seen from the front and a little above."""
    inside = (abs(ROWS - row) <= half) & (abs(COLUMNS - column) <= half)
    paint(picture, color, inside, np.where(row - half + 2 > ROWS, 1.0, 0.7))


def tip(picture, color, row, column, half=9):
    inside = (abs(ROWS - row) <= half) & (abs(COLUMNS - column) <= (ROWS - row + half) / 2)
    paint(picture, color, inside, np.full((SIDE, SIDE), 0.9))


def paint(picture, color, inside, light):
    shade = np.float32(solid_blobs.COLORS[color]) * light[..., None]
    picture[inside] = shade[inside]


def score(pictures, objects, relations):
    metric = text_to_image.caption_agreement()
    return metric.compute(metric.update(metric.init(), np.stack(pictures), objects, relations))


@pytest.fixture(scope="module")
def red_ball_and_blue_box():
    picture = blank()
    ball(picture, "red", 40, 16)
    box(picture, "blue", 40, 48)
    return picture


def test_the_judge_knows_the_scenes_words():
    assert solid_blobs.COLORS == scene_settings.COLORS
    assert set(solid_views.CLASSES) == set(scene_solids.KINDS)
    assert text_to_image.RELATIONS == scene_language.RELATIONS
    families = [name for names in solid_views.FAMILIES.values() for name in names]
    assert sorted(families) == sorted(scene_solids.KINDS)


def test_a_true_caption_is_right_in_every_statement(red_ball_and_blue_box):
    objects = [thing("red", "sphere"), thing("blue", "cube")]
    for relation in ((0, "left of", 1), (1, "right of", 0)):
        scores = score([red_ball_and_blue_box], [objects], [[relation]])
        assert scores == dict.fromkeys(NAMES, 1.0), relation


@pytest.mark.parametrize(
    ("objects", "relations", "wrong"),
    [
        # One of two colours is not there: half of the statements on colour, shape and count.
        (
            [thing("red", "sphere"), thing("green", "cube")],
            [],
            dict.fromkeys(("color_present", "color_on_shape", "color_on_family", "count"), 0.5),
        ),
        # Of the same family or not; one of two shapes is wrong, and so is its number.
        (
            [thing("red", "egg"), thing("blue", "cube")],
            [],
            {"color_on_shape": 0.5, "count": 0.5},
        ),
        (
            [thing("red", "sphere"), thing("blue", "cone")],
            [],
            {"color_on_shape": 0.5, "color_on_family": 0.5, "count": 0.5},
        ),
        ([thing("red", "sphere", 2), thing("blue", "cube")], [], {"count": 0.5}),
        (
            [thing("red", "sphere"), thing("blue", "cube")],
            [(0, "right of", 1), (0, "left of", 1), (1, "left of", 0), (0, "above", 1)],
            {"position": 0.25},
        ),
    ],
)
def test_a_false_statement_counts_against_its_score_only(
    red_ball_and_blue_box, objects, relations, wrong
):
    scores = score([red_ball_and_blue_box], [objects], [relations])
    expected = dict.fromkeys(NAMES, 1.0) | {"all_correct": 0.0} | wrong
    if not relations:
        assert np.isnan(scores.pop("position"))
        del expected["position"]
    assert scores == expected


def test_counts_of_alike_solids():
    picture = blank()
    for column in (10, 30, 50):
        ball(picture, "yellow", 40, column)
    for said in (1, 2, 3, 4):
        scores = score([picture], [[thing("yellow", "sphere", said)]], [[]])
        assert scores["count"] == scores["all_correct"] == float(said == 3)
        assert scores["color_on_shape"] == 1.0


def test_only_solids_of_the_said_class_are_counted():
    picture = blank()
    ball(picture, "purple", 40, 14)
    box(picture, "purple", 40, 36)
    box(picture, "purple", 20, 52, 6)
    objects = [thing("purple", "sphere", 1), thing("purple", "cube", 2)]
    assert score([picture], [objects], [[(0, "left of", 1)]])["all_correct"] == 1.0
    assert score([picture], [[thing("purple", "cube", 3)]], [[]])["count"] == 0.0


def test_triangles_are_of_the_triangular_family():
    picture = blank()
    tip(picture, "orange", 36, 30)
    for kind, right in (("cone", 1.0), ("pyramid", 1.0), ("sphere", 0.0), ("cube", 0.0)):
        scores = score([picture], [[thing("orange", kind)]], [[]])
        assert scores["color_on_family"] == right, kind


def test_relations_of_height_and_depth():
    picture = blank()
    ball(picture, "cyan", 20, 40, 6)
    box(picture, "pink", 34, 40, 8)
    ball(picture, "brown", 52, 16)
    objects = [thing("cyan", "sphere"), thing("pink", "cube"), thing("brown", "sphere")]
    for relation, right in (
        ((0, "above", 1), True),
        ((1, "above", 0), False),
        ((0, "above", 2), False),  # higher, but not over it
        ((2, "in front of", 1), True),
        ((1, "in front of", 2), False),
        ((1, "behind", 2), True),
        ((2, "behind", 1), False),
    ):
        assert score([picture], [objects], [[relation]])["position"] == float(right), relation


@pytest.mark.parametrize("color", ["white", "gray", "black"])
def test_white_gray_and_black_are_told_apart_from_each_other_and_from_the_wall(color):
    picture = blank()
    ball(picture, color, 34, 30)
    for said in ("white", "gray", "black"):
        scores = score([picture], [[thing(said, "sphere")]], [[]])
        assert scores["color_present"] == scores["count"] == float(said == color), said


@pytest.mark.parametrize("color", list(solid_blobs.COLORS))
def test_a_plain_picture_shows_no_solid(color):
    scores = score([blank(solid_blobs.COLORS[color])], [[thing(color, "cube")]], [[]])
    assert scores["color_present"] == scores["all_correct"] == 0.0


def test_a_shared_statement_pool_does_not_depend_on_batches(red_ball_and_blue_box):
    other = blank()
    box(other, "red", 30, 30)
    pictures = np.stack([red_ball_and_blue_box, other, other])
    objects = [[thing("red", "sphere"), thing("blue", "cube")], [thing("red", "cube", 2)], []]
    relations = [[(0, "left of", 1)], [], []]
    metric = text_to_image.caption_agreement()
    whole = metric.update(metric.init(), pictures, objects, relations)
    parts = [
        metric.update(metric.init(), pictures[s], objects[s], relations[s])
        for s in (slice(0, 1), slice(1, 3))
    ]
    merged = metric.merge(*parts)
    np.testing.assert_array_equal(whole.right, merged.right)
    np.testing.assert_array_equal(whole.stated, merged.stated)
    # By hand, in the order of NAMES: three objects, one relation, two captions that name any.
    np.testing.assert_array_equal(whole.stated, [3, 3, 3, 3, 1, 2])
    np.testing.assert_array_equal(whole.right, [3, 3, 3, 2, 1, 1])


def test_nothing_stated_is_no_score():
    metric = text_to_image.caption_agreement()
    assert all(np.isnan(v) for v in metric.compute(metric.init()).values())


@pytest.mark.parametrize(
    ("objects", "relations", "message"),
    [
        ([[thing("mauve", "cube")]], [[]], "color 'mauve' is unknown"),
        ([[thing("red", "torus")]], [[]], "class 'torus' is unknown"),
        ([[thing("red", "cube")] * 2], [[(0, "near", 1)]], "relation 'near' is unknown"),
        ([[], []], [[], []], r"shape \(1, 64, 64, 3\) for 2 captions"),
    ],
)
def test_unknown_words_and_shapes_are_errors(objects, relations, message):
    with pytest.raises(ValueError, match=message):
        score([blank()], objects, relations)


@pytest.mark.parametrize("kind", solid_views.CLASSES)
def test_a_view_of_each_class_fits_its_class(kind):
    """A view under one light, pasted into a picture four times as large as its grid."""
    table = solid_views.views()
    form = list(solid_views.FORMS).index(kind)
    view = np.flatnonzero(table.form == form)[7]  # seen from 23 degrees above
    grid = solid_views.GRID
    light = table.basis[view][:3].T @ np.float32([1.0, 0.3, 0.2])
    mask = table.mask[view].reshape(grid, grid).repeat(2, 0).repeat(2, 1) > 0
    light = np.abs(light).reshape(grid, grid).repeat(2, 0).repeat(2, 1) + 0.1
    mask, light = np.pad(mask, 16), np.pad(light, 16)
    fit = solid_detector.mismatch(light, mask, np.zeros_like(mask))
    assert fit[solid_views.CLASSES.index(kind)] <= fit.min() + text_to_image.MARGIN


def test_a_relation_is_between_two_solids():
    picture = blank()
    for column in (16, 46):
        ball(picture, "red", 40, column)
    objects = [thing("red", "sphere"), thing("red", "egg")]
    assert score([picture], [objects], [[(0, "left of", 1)]])["position"] == 1.0
    picture = blank()
    ball(picture, "red", 40, 16)
    assert score([picture], [objects], [[(0, "left of", 1)]])["position"] == 0.0


@pytest.mark.parametrize(("around", "present"), [((0.6, 0.593, 0.571), 0.0), (WALL, 1.0)])
def test_a_lighter_patch_of_a_tinted_wall_is_not_white(around, present):
    """Its colour differs from white by a tint that counts only beside the same tint."""
    picture = blank(around)
    paint_as = np.float32((0.84, 0.83, 0.80))
    picture[20:32, 20:32] = paint_as
    assert score([picture], [[thing("white", "cube")]], [[]])["color_present"] == present


def mismatches(brightness, mask, hidden):
    fit = solid_detector.mismatch(brightness, mask, hidden)
    return dict(zip(solid_views.CLASSES, fit, strict=True))


def test_what_hides_or_ends_a_ball_makes_it_no_other_solid():
    flat = np.ones((SIDE, SIDE))
    whole = (COLUMNS - 30) ** 2 + (ROWS - 30) ** 2 < 14**2
    nothing = np.zeros((SIDE, SIDE), bool)
    full = mismatches(flat, whole, nothing)["sphere"]
    front = COLUMNS >= 36
    part = whole & ~front
    known = mismatches(flat, part, nothing)["sphere"]
    hidden = mismatches(flat, part, front)["sphere"]
    assert hidden < full + 0.06 < known - 0.05
    # The same where the picture ends.
    shifted = (COLUMNS - 58) ** 2 + (ROWS - 30) ** 2 < 14**2
    assert mismatches(flat, shifted, nothing)["sphere"] == pytest.approx(hidden, abs=0.02)


def test_shading_tells_round_from_flat_sides():
    mask = (abs(ROWS - 30) <= 10) & (abs(COLUMNS - 30) <= 8)
    across = np.clip((COLUMNS - 30) / 8.5, -1, 1)
    lights = {
        "cylinder": 0.3 + 0.7 * np.sqrt(1 - across**2),
        "cube": np.full(mask.shape, 0.7),
    }
    nothing = np.zeros_like(mask)
    fits = {name: mismatches(light, mask, nothing) for name, light in lights.items()}
    leads = {name: fit["cube"] - fit["cylinder"] for name, fit in fits.items()}
    assert leads["cylinder"] > leads["cube"] + 0.1


@pytest.fixture(scope="module")
def renders():
    source = scenes.Scenes("heldout", SIDE)
    examples = [source.example(i, "image_generation") for i in range(48)]
    return (
        np.stack([example.label for example in examples]),
        [example.words["objects"] for example in examples],
        [example.words["relations"] for example in examples],
    )


# Over 256 held-out scenes: 1.00, 0.86, 0.94, 0.84, 0.97, 0.67; of the next scene's caption 0.36,
# 0.08, 0.16, 0.08, 0.05, 0.00.
def test_true_renders_agree_with_their_captions(renders):
    pictures, objects, relations = renders
    scores = score(pictures, objects, relations)
    least = (0.95, 0.78, 0.86, 0.75, 0.9, 0.5)
    assert all(scores[name] >= v for name, v in zip(NAMES, least, strict=True)), scores


def test_true_renders_do_not_agree_with_other_captions(renders):
    pictures, objects, relations = renders
    scores = score(pictures, objects[1:] + objects[:1], relations[1:] + relations[:1])
    most = (0.5, 0.2, 0.3, 0.2, 0.2, 0.1)
    assert all(scores[name] <= v for name, v in zip(NAMES, most, strict=True)), scores


def test_slight_blur_and_noise_change_little(renders):
    pictures, objects, relations = renders
    pictures = ndimage.gaussian_filter(pictures, (0, 0.5, 0.5, 0))
    noise = np.random.default_rng(0).normal(size=pictures.shape) * 4 / 255
    scores = score(np.clip(pictures + noise, 0, 1), objects, relations)
    least = (0.93, 0.7, 0.8, 0.68, 0.85, 0.4)
    assert all(scores[name] >= v for name, v in zip(NAMES, least, strict=True)), scores
