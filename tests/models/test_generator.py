import json
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vision_banana.models import ends, generator, layers, patches, text_match
from vision_banana.models.generator import Generator
from vision_banana.models.sizes import SIZES, Size

TREES = pathlib.Path(__file__).parent


def nano(**kwargs):
    return Generator(size="nano", dtype="float32", vocabulary=100, text_length=8, **kwargs)


def weights(model):
    """Random weights without zeros, so that every path carries something."""
    rng, shapes = np.random.default_rng(0), jax.eval_shape(model.init, jax.random.key(0))
    return jax.tree.map(
        lambda x: jnp.asarray(rng.normal(size=x.shape, scale=x.shape[0] ** -0.5), x.dtype), shapes
    )


def inputs(references, groups=2, queries=2, size=(32, 32)):
    keys = jax.random.split(jax.random.key(2), 4)
    tokens = jax.random.randint(keys[1], (groups, queries, 8), 1, 100)
    return {
        "z": jax.random.normal(keys[0], (groups, queries, *size, 3)),
        "t": jnp.linspace(0.0, 0.9, groups * queries).reshape(groups, queries),
        "tokens": tokens.at[:, :, 6:].set(0),
        "references": jax.random.normal(keys[2], (groups, references, *size, 3)),
        "reference_mask": jnp.ones((groups, queries, references), bool),
    }


@pytest.fixture(scope="module", params=["prefix", "full"])
def model(request):
    return nano(attention=request.param)


@pytest.fixture(scope="module")
def params(model):
    return weights(model)


@pytest.mark.parametrize("references", [0, 1, 2])
def test_sampling_with_the_cache_equals_sampling_without(model, params, references):
    x = inputs(references)
    whole = jax.jit(model.apply)(params, **x)
    context = jax.jit(model.encode)(params, x["tokens"], x["references"], x["reference_mask"])
    cached = jax.jit(model.denoise)(params, x["z"], x["t"], context)
    assert whole.std() > 0.05
    np.testing.assert_allclose(whole, cached, atol=1e-4)


def of_patches(model, params, x, kept):
    """Predicted pixels of kept patches, (G, Q, T', P * P, 3)."""
    few = dict(x, z=patches.take(x["z"], kept, model.dims.patch))
    return jax.jit(model.apply, static_argnames="size")(params, **few, kept=kept, size=(32, 32))


def test_kept_patches_are_those_of_a_whole_pass_when_all_are_kept(model, params):
    x = inputs(1)
    whole = jax.jit(model.apply)(params, **x)
    keys = jax.random.split(jax.random.key(5), (2, 2))
    order = jax.vmap(jax.vmap(lambda k: jax.random.permutation(k, 16)))(keys)
    expected = patches.take(whole, order, 8)
    np.testing.assert_allclose(expected, of_patches(model, params, x, order), atol=1e-4)


def test_a_kept_patch_knows_its_place_and_the_other_kept_ones(model, params):
    x = inputs(1)
    kept = jnp.array([[[0, 5, 11], [2, 11, 4]], [[3, 1, 15], [7, 8, 9]]])  # of two queries each
    few = of_patches(model, params, x, kept)
    turned = of_patches(model, params, x, kept[:, :, ::-1])
    np.testing.assert_allclose(few[:, :, ::-1], turned, atol=1e-4)
    elsewhere = of_patches(model, params, x, kept.at[:, 1, 2].set(5))
    np.testing.assert_array_equal(few[:, 0], elsewhere[:, 0])
    assert jnp.abs(few[:, 1, 0] - elsewhere[:, 1, 0]).max() > 1e-4


@pytest.mark.parametrize("references", [1, 2])
def test_each_reference_text_and_time_matter_and_a_hidden_reference_does_not(
    model, params, references
):
    apply, x = jax.jit(model.apply), inputs(references)
    before = apply(params, **x)
    for i in range(references):
        changed = x | {"references": x["references"].at[:, i].multiply(-1)}
        assert jnp.abs(apply(params, **changed) - before).max() > 1e-3
        hidden = {"reference_mask": x["reference_mask"].at[:, :, i].set(False)}
        np.testing.assert_allclose(
            apply(params, **(x | hidden)), apply(params, **(changed | hidden)), atol=1e-5
        )
    assert jnp.abs(apply(params, **(x | {"tokens": x["tokens"] + 1})) - before).max() > 1e-3
    assert jnp.abs(apply(params, **(x | {"t": x["t"] + 0.05})) - before).max() > 1e-4


def test_a_hidden_reference_is_as_none(model, params):
    hidden = inputs(1)
    hidden["reference_mask"] &= False
    np.testing.assert_allclose(
        jax.jit(model.apply)(params, **hidden),
        jax.jit(model.apply)(params, **inputs(0)),
        rtol=1e-4,
        atol=1e-4,
    )


def test_without_words_pixels_are_mapped_as_those_that_match_none(model, params):
    apply, x = jax.jit(model.apply), inputs(1)
    x["tokens"] *= 0
    before = apply(params, **x)

    def without(name):
        ends = params["ends"] | {name: params["ends"][name] * 0}
        return apply(params | {"ends": ends}, **x)

    np.testing.assert_allclose(before, without("out_filter"), atol=1e-5)
    assert jnp.abs(before - without("other_filter")).max() > 1e-3


@pytest.mark.parametrize("remat", ["none", "full"])
def test_pixels_that_meet_words_in_parts_give_the_same(monkeypatch, remat):
    model = nano(remat=remat)
    params, data = weights(model), inputs(1)

    def in_parts_of(pixels):
        monkeypatch.setattr(text_match, "PIXELS_AT_ONCE", pixels)

        @jax.value_and_grad
        def summed(params):
            return (model.apply(params, **data) ** 2).sum()

        loops = str(jax.make_jaxpr(summed)(params)).count("scan[")
        return loops, jax.jit(summed)(params)

    loops, whole = in_parts_of(32 * 32)
    more_loops, parts = in_parts_of(3 * model.dims.patch**2)
    assert more_loops > loops
    for a, b in zip(jax.tree.leaves(whole), jax.tree.leaves(parts), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-5 * np.abs(a).max())


def test_swapped_references_are_told_apart(model, params):
    apply, x = jax.jit(model.apply), inputs(2)
    swapped = x | {"references": x["references"][:, ::-1]}
    assert jnp.abs(apply(params, **x) - apply(params, **swapped)).max() > 1e-3


def test_prefix_references_see_neither_text_nor_target_nor_time():
    model = nano()
    params, x = weights(model), inputs(2)
    encode = jax.jit(model.encode)
    one = encode(params, x["tokens"], x["references"], x["reference_mask"])
    two = encode(params, x["tokens"] * 0 + 5, x["references"], ~x["reference_mask"])
    what_serves_all = lambda context: (context.references, context.aligned, context.pixels)  # noqa: E731
    jax.tree.map(np.testing.assert_array_equal, what_serves_all(one), what_serves_all(two))
    assert len(jax.tree.leaves(what_serves_all(one))) == 5
    assert jnp.abs(one.text.keys - two.text.keys).max() > 1e-3
    three = encode(params, x["tokens"], -x["references"], x["reference_mask"])
    np.testing.assert_array_equal(one.text.keys, three.text.keys)


def test_queries_that_share_a_reference_answer_as_if_alone(model, params):
    x = inputs(1, groups=1, queries=3)
    together = jax.jit(model.apply)(params, **x)
    apart = {k: jnp.swapaxes(v, 0, 1) for k, v in x.items() if k != "references"} | {
        "references": jnp.repeat(x["references"], 3, axis=0)
    }
    alone = jax.jit(model.apply)(params, **apart)
    np.testing.assert_allclose(together[0], alone[:, 0], atol=1e-4)


def test_padding_changes_nothing(model, params):
    x = inputs(1)
    longer = x | {"tokens": jnp.pad(x["tokens"], [(0, 0), (0, 0), (0, 4)])}
    a, b = jax.jit(model.apply)(params, **x), jax.jit(model.apply)(params, **longer)
    np.testing.assert_allclose(a, b, atol=1e-4)


@pytest.mark.parametrize("size", [(64, 64), (32, 64), (72, 24)])
def test_runs_at_other_resolutions_and_aspect_ratios(model, params, size):
    apply, x = jax.jit(model.apply), inputs(2, size=size)
    whole = apply(params, **x)
    assert whole.shape == (2, 2, *size, 3) and whole.std() > 0.05
    context = jax.jit(model.encode)(params, x["tokens"], x["references"], x["reference_mask"])
    cached = jax.jit(model.denoise)(params, x["z"], x["t"], context)
    np.testing.assert_allclose(whole, cached, atol=1e-4)
    # What changes in one patch of a reference tells; of the first, most at the target's same place.
    grid = size[0] // 8, size[1] // 8
    row, column = grid[0] - 2, grid[1] - 1
    patch = np.s_[8 * row : 8 * row + 8, 8 * column : 8 * column + 8]
    for i in range(2):
        changed = x["references"].at[:, i, *patch].multiply(-1)
        told = np.abs(apply(params, **(x | {"references": changed})) - whole)
        assert told.max() > 1e-3
        if i == 0:
            by_patch = told.reshape(4, grid[0], 8, grid[1], 8, 3).mean((2, 4, 5))
            most = by_patch.reshape(4, -1).argmax(1)
            np.testing.assert_array_equal(most, row * grid[1] + column)


@pytest.mark.parametrize("shape", [(16, 64), (64, 32)])
def test_a_reference_of_another_shape_than_the_target_keeps_its_rows(monkeypatch, shape):
    model = nano(attention="full")
    grids, plain = {}, ends.rotary_angles

    def angles(size, h, w, frame):
        grids[frame] = (h, w)
        return plain(size, h, w, frame)

    monkeypatch.setattr(ends, "rotary_angles", angles)
    x = inputs(1) | {"references": inputs(1, size=shape)["references"]}
    assert jax.eval_shape(model.apply, weights(model), **x).shape == x["z"].shape
    assert grids == {0: (4, 4), 1: (shape[0] // 8, shape[1] // 8)}


def test_rotary_positions_span_the_same_range_at_every_resolution():
    small = layers.grid_positions(8, 8, 0, 64)
    large = layers.grid_positions(16, 16, 1, 64)
    np.testing.assert_allclose(small[0], [-3.5, -3.5, 0])
    np.testing.assert_allclose(large[-1], [3.75, 3.75, 1])


def test_patches_are_rows_of_pixels():
    picture = jnp.arange(4 * 6 * 3.0).reshape(4, 6, 3)
    cut, h, w = patches.patchify(picture, 2)
    assert (h, w, cut.shape) == (2, 3, (6, 12))
    # The second patch holds columns 2 and 3 of rows 0 and 1: values 3 * (6 * row + column).
    np.testing.assert_array_equal(cut[1], [6, 7, 8, 9, 10, 11, 24, 25, 26, 27, 28, 29])
    np.testing.assert_array_equal(patches.unpatchify(cut, 4, 6, 2), picture)
    with pytest.raises(ValueError, match="4 x 6 does not divide into patches of 4"):
        patches.patchify(picture, 4)


def test_a_plugged_text_encoder_gives_features_in_place_of_tokens():
    model = nano(text_features=16)
    x = inputs(1)
    features = jax.random.normal(jax.random.key(3), (2, 2, 8, 16))
    apply, params = jax.jit(model.apply), weights(model)
    out = apply(params, **(x | {"tokens": features}))
    other = apply(params, **(x | {"tokens": -features}))
    assert jnp.abs(out - other).max() > 1e-3


@pytest.mark.parametrize("size", ["pocket", "8B"])  # without and with bottlenecks
def test_parameter_trees_are_pinned(size):
    shapes = jax.eval_shape(Generator(size=size).init, jax.random.key(0))
    flat = {
        "/".join(k.key for k in path): list(leaf.shape)
        for path, leaf in jax.tree_util.tree_leaves_with_path(shapes)
    }
    tree = TREES / f"{size}_tree.json"
    assert flat == json.loads(tree.read_text()), (
        "the parameter tree has changed: older checkpoints no longer load. If that is meant, "
        f"write the new tree to {tree} and say so in the changelog"
    )


@pytest.mark.parametrize(
    ("size", "millions"),
    [
        ("nano", 0.4273),
        ("mini", 1.184),
        ("tiny", 2.109),
        ("pocket", 3.348),
        ("B", 129.2),
        ("L", 416.9),
        ("XL", 798.0),
        ("1B", 1064),
        ("2B", 2746),
        ("8B", 8970),
    ],
)
def test_sizes_have_the_parameters_that_they_say(size, millions):
    shapes = jax.eval_shape(Generator(size=size).init, jax.random.key(0))
    count = sum(leaf.size for leaf in jax.tree.leaves(shapes)) / 1e6
    assert count == pytest.approx(millions, rel=0.005)
    dims = SIZES[size]
    assert dims.width % dims.heads == 0 and dims.head_dim % 8 == 0
    assert dims.image_size % dims.patch == 0


def test_bad_fields_are_named():
    with pytest.raises(ValueError, match=r"model.size is 'poket'; choose one of nano, mini, tiny"):
        Generator(size="poket")
    with pytest.raises(ValueError, match=r"model.attention is 'causal'"):
        Generator(attention="causal")
    with pytest.raises(ValueError, match=r"model.dtype is 'float16'"):
        Generator(dtype="float16")


def test_model_range_is_minus_one_to_one():
    np.testing.assert_allclose(generator.to_model(jnp.array([0.0, 0.5, 1.0])), [-1, 0, 1])
    np.testing.assert_allclose(generator.to_rgb(jnp.array([-1.5, -1, 0, 1])), [0, 0, 0.5, 1])


def test_the_first_reference_is_added_to_the_target_where_their_shapes_agree():
    """Its patches reach the target's of the same place without attention."""
    model = nano()
    params, x = weights(model), inputs(1)
    params = params | {"blocks": jax.tree.map(jnp.zeros_like, params["blocks"])}  # no attention
    apply = jax.jit(model.apply)
    before = apply(params, **x)
    changed = x | {"references": x["references"].at[:, 0, :8, :8].multiply(-1)}
    moved = jnp.abs(apply(params, **changed) - before).max(axis=(0, 1, 4))
    assert moved[:8, :8].max() > 1e-3
    # Of cells of 4 pixels 0 and 1 are changed, a pixel of 2 sees them, two convolutions reach 4,
    # whose token gives to 5 as well, and the last convolution reaches 6: pixel 27.
    assert moved[24:28].max() > 0
    np.testing.assert_array_equal(moved[28:], 0)
    np.testing.assert_array_equal(moved[:, 28:], 0)
    # Of another shape, with as many patches or not: nothing reaches the target in place.
    for height, width in ((24, 32), (16, 64)):
        seen = jnp.ones((2, 1, height, width, 3))
        one, two = (apply(params, **(x | {"references": sign * seen})) for sign in (1, -1))
        np.testing.assert_array_equal(one, two)


@pytest.fixture
def squares(monkeypatch):
    """A small size in which a square of 4 x 4 pixels has one feature vector."""
    monkeypatch.setitem(SIZES, "squares", Size(2, 64, 2, 16, 8, 16, 4, 1, 64, 1, 64))
    return Generator(size="squares", dtype="float32", vocabulary=100, text_length=8)


def test_features_of_squares_are_colours_neighbours_and_what_lies_behind_the_transformer():
    one, four = SIZES["pocket"], SIZES["1B"]
    assert (one.colors, one.near, one.deep, one.squares, one.cell) == (3, 13, 16, 64, 4)
    assert (four.colors, four.near, four.deep, four.squares, four.cell) == (48, 16, 64, 64, 4)


def test_maps_of_squares_give_each_pixel_its_place(squares):
    """Maps that copy the colours among the features give the reference back."""
    size, x = squares.dims, inputs(1, size=(32, 64))
    params = jax.tree.map(jnp.zeros_like, weights(squares))
    # The head's input is its shift, all ones for the first channel at every time.
    copy = jnp.eye(size.features, size.colors).reshape(-1)
    ends = params["ends"]
    for name in ("out_filter", "other_filter"):
        ends[name] = ends[name].at[0].set(copy)
    shift = 6 * size.width
    ends["time1"] = ends["time1"].at[:, 0].set(1.0)
    ends["time2"] = ends["time2"].at[0, 0].set(1.0)
    ends["modulation"] = ends["modulation"].at[0, shift].set(1.0)
    out = jax.jit(squares.apply)(params, **x)
    seen = x["references"][:, 0, None]
    strength = out[:, :, :1, :1, :1] / seen[:, :, :1, :1, :1]
    assert jnp.abs(strength).min() > 1e-3
    np.testing.assert_allclose(out / strength, jnp.repeat(seen, 2, axis=1), atol=1e-3)


def test_kept_patches_of_squares_are_those_of_a_whole_pass_when_all_are_kept(squares):
    params, x = weights(squares), inputs(1)
    order = jnp.array([[[3, 1, 0, 2], [0, 2, 1, 3]], [[2, 3, 1, 0], [1, 0, 3, 2]]])
    expected = patches.take(jax.jit(squares.apply)(params, **x), order, 16)
    np.testing.assert_allclose(expected, of_patches(squares, params, x, order), atol=1e-4)
