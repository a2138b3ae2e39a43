import numpy as np
import pytest

from vision_banana.data import source, transforms
from vision_banana.tasks.task import Example


def _example(task, label, words=None, valid=None, picture=None):
    H, W = label.shape[1:] if task == "referring_segmentation" else label.shape[:2]
    picture = np.random.default_rng(0).random((H, W, 3), np.float32) if picture is None else picture
    valid = np.ones((H, W), bool) if valid is None else valid
    references = () if task == "image_generation" else (picture,)
    return Example(task, "k", references, label, valid, words or {})


WHOLE = transforms.View(0, 0, 1, 1, 1, 1, False)


def _flipped(H, W):
    return transforms.View(0, 0, 1, 1, H, W, True)


def _equal(a, b):
    assert a.words == b.words
    for x, y in [*zip(a.references, b.references, strict=True), (a.label, b.label)]:
        np.testing.assert_array_equal(x, y)
    np.testing.assert_array_equal(a.valid, b.valid)


EXAMPLES = {
    "depth": _example("depth", np.asarray([[1, 2, np.inf], [4, 5, 6]], np.float32)),
    "surface_normals": _example(
        "surface_normals",
        np.asarray([[[1, 0, 0], [0, 1, 0]], [[-0.6, 0, 0.8], [0, 0, 0]]], np.float32),
    ),
    "semantic_segmentation": _example(
        "semantic_segmentation",
        np.asarray([[0, 1], [255, 1]], np.int32),
        {"classes": ("left hand", "sky"), "class_ids": (3, 5), "num_classes": 9},
    ),
    "instance_segmentation": _example(
        "instance_segmentation", np.asarray([[0, 1, 2]], np.int32), {"phrase": "cube"}
    ),
    "referring_segmentation": _example(
        "referring_segmentation",
        np.asarray([[[1, 0]], [[0, 1]]], bool),
        {"expressions": ("the leftmost cube", "the cube right of it")},
    ),
    "image_generation": _example(
        "image_generation",
        np.arange(12, dtype=np.float32).reshape(2, 2, 3) / 12,
        {"caption": "a cube left of a cone", "relations": ((0, "left of", 1),), "objects": ()},
    ),
    "image_editing": _example(
        "image_editing",
        np.arange(12, dtype=np.float32).reshape(2, 2, 3) / 12,
        {"instruction": "Paint the cube on the LEFT red"},
    ),
}


@pytest.mark.parametrize("task", EXAMPLES)
def test_flip_twice_is_no_flip(task):
    example = EXAMPLES[task]
    view = _flipped(*example.valid.shape)
    once = transforms.apply(view, example)
    assert not np.array_equal(once.label, example.label)
    _equal(transforms.apply(view, once), example)


def test_flip_by_hand():
    def flip(task):
        return transforms.apply(_flipped(*EXAMPLES[task].valid.shape), EXAMPLES[task])

    assert flip("depth").label.tolist() == [[np.inf, 2, 1], [6, 5, 4]]
    normals = [[[0, 1, 0], [-1, 0, 0]], [[0, 0, 0], [0.6, 0, 0.8]]]
    np.testing.assert_allclose(flip("surface_normals").label, normals)
    assert flip("instance_segmentation").label.tolist() == [[2, 1, 0]]
    assert flip("semantic_segmentation").words["classes"] == ("right hand", "sky")
    referred = flip("referring_segmentation")
    assert referred.label.tolist() == [[[False, True]], [[True, False]]]
    assert referred.words["expressions"] == ("the rightmost cube", "the cube left of it")
    drawn = flip("image_generation")
    np.testing.assert_array_equal(drawn.label[:, 0], EXAMPLES["image_generation"].label[:, 1])
    assert drawn.words["caption"] == "a cube right of a cone"
    assert drawn.words["relations"] == ((0, "right of", 1),)
    assert flip("image_editing").words["instruction"] == "Paint the cube on the RIGHT red"
    picture = EXAMPLES["depth"].references[0]
    np.testing.assert_array_equal(flip("depth").references[0], picture[:, ::-1])


def test_words_that_only_contain_a_side_stay():
    text = "a bright, upright cleft; Left, rightmost"
    assert transforms.mirror_text(text) == "a bright, upright cleft; Right, leftmost"


def test_labels_take_the_nearest_and_pictures_the_mean():
    depth = np.asarray([[1, 9, 1, 9], [1, 9, 1, 9]], np.float32)
    picture = np.repeat(depth[..., None] / 10, 3, axis=-1)
    valid = np.asarray([[0, 1, 1, 1], [1, 1, 1, 1]], bool)
    example = _example("depth", depth, valid=valid, picture=picture)
    small = transforms.apply(WHOLE._replace(height=1, width=2), example)
    assert set(small.label.ravel().tolist()) <= {1.0, 9.0}  # no depth that exists nowhere
    # The triangle filter of a 2x reduction weighs the columns 3:3:1 at the border.
    mean = (3 * 0.1 + 3 * 0.9 + 0.1) / 7
    np.testing.assert_allclose(small.references[0][0, 0], mean, rtol=1e-5)
    large = transforms.apply(WHOLE._replace(height=4, width=8), example)
    assert large.label[0].tolist() == [1, 1, 9, 9, 1, 1, 9, 9]
    assert large.valid[:2, :2].tolist() == [[False, False]] * 2 and large.valid.sum() == 28


def test_the_window_cuts_label_and_picture_at_the_same_place():
    # The value of a pixel is its column, so a cut shows where it was made.
    columns = np.tile(np.arange(8, dtype=np.float32), (4, 1))
    example = _example("depth", columns, picture=np.repeat(columns[..., None] / 8, 3, axis=-1))
    middle = transforms.apply(transforms.View(0, 0.25, 1, 0.5, 4, 4, False), example)
    assert middle.label[0].tolist() == [2, 3, 4, 5]
    np.testing.assert_allclose(middle.references[0][0, :, 0] * 8, [2, 3, 4, 5], rtol=1e-6)
    starts = set()
    for seed in range(20):
        view = transforms.draw(np.random.default_rng(seed), (4, 8), 4, 4, flip=False)
        seen = transforms.apply(view, example)
        np.testing.assert_allclose(seen.references[0][..., 0] * 8, seen.label, atol=0.5)
        starts.add(seen.label[0, 0])
    assert starts == {0, 1, 2, 3, 4}


def test_flip_is_drawn_with_even_odds_only_where_allowed():
    def count(flip):
        drawn = [transforms.draw(np.random.default_rng(i), (4, 4), 4, 4, flip) for i in range(400)]
        return sum(view.flip for view in drawn)

    assert count(False) == 0
    assert 160 < count(True) < 240


def test_seeing_is_shown_whole_pictures_too_and_drawing_never_squeezed_ones():
    def shown(task):
        examples = [EXAMPLES["depth"], EXAMPLES[task]]
        shape = EXAMPLES["depth"].valid.shape
        views = [
            transforms.draw_showing(np.random.default_rng(i), examples, 6, 2, False)
            for i in range(200)
        ]
        assert shape[1] / shape[0] != 2 / 6
        return sum(view[:4] == (0, 0, 1, 1) for view in views)

    assert 70 < shown("surface_normals") < 130
    assert shown("image_generation") == 0


def test_a_region_outside_the_crop_is_a_bad_record():
    masks = np.zeros((1, 2, 8), bool)
    masks[0, :, 0] = True
    example = _example("referring_segmentation", masks, {"expressions": ("the post",)})
    with pytest.raises(source.BadRecord, match=r"outside the crop"):
        transforms.apply(transforms.View(0, 0.375, 1, 0.25, 2, 2, False), example)


def test_shapes_that_disagree_are_an_error():
    example = _example("depth", np.ones((2, 2), np.float32), valid=np.ones((2, 3), bool))
    with pytest.raises(ValueError, match=r"label \(2, 2\).*\(2, 3\)"):
        transforms.apply(_flipped(2, 2), example)


def test_a_view_that_cuts_off_a_region_is_drawn_again():
    masks = np.zeros((1, 4, 12), bool)
    masks[0, 1, 1] = True  # about one window of 4 x 4 in five holds it
    example = _example("referring_segmentation", masks, {"expressions": ("a",)})
    for seed in range(10):
        view = transforms.draw_showing(np.random.default_rng(seed), [example], 4, 4, False)
        assert transforms.apply(view, example).label.any()
    # A first view that shows everything is the one that is always drawn.
    rngs = [np.random.default_rng(3) for _ in range(2)]
    depth = EXAMPLES["depth"]
    first = transforms.draw(rngs[0], (2, 3), 2, 2, True, transforms.SQUEEZED)
    assert transforms.draw_showing(rngs[1], [depth], 2, 2, True) == first
    # Neither a window of 4 x 4 nor the whole, squeezed, holds both.
    far = np.zeros((2, 4, 12), bool)
    far[0, 0, 0] = far[1, 0, 11] = True
    both = _example("referring_segmentation", far, {"expressions": ("a", "b")})
    view = transforms.draw_showing(np.random.default_rng(0), [both], 4, 4, False)
    with pytest.raises(source.BadRecord, match=r"outside the crop"):
        transforms.apply(view, both)
