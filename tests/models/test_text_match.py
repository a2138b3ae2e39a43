import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from vision_banana.models.precision import FLOAT32
from vision_banana.models.sizes import SIZES
from vision_banana.models.text_match import NULL, SHARED, TextMatch, Words, match


@pytest.fixture(scope="module")
def matcher():
    """Weights without zeros."""
    built, rng = TextMatch(SIZES["nano"], nnx.Rngs(0)), np.random.default_rng(0)
    built.color[...] = jnp.asarray(rng.normal(size=built.color[...].shape), jnp.float32)
    return built


def words(keys, bias):
    """Two words, red and blue, and the null word behind them."""
    values = [[1, -1, -1, 1], [-1, -1, 1, 1], [0, 0, 0, 0]]
    arrays = (jnp.zeros((1, 1, 3, SHARED)), jnp.array([[bias]]), jnp.array([[values]], jnp.float32))
    keys_, bias_, values_ = arrays
    return Words(keys_.at[0, 0, :2, :2].set(jnp.array(keys, jnp.float32)), bias_, values_)


def queries(*rows):
    return jnp.zeros((1, 1, len(rows), SHARED)).at[0, 0, :, :2].set(jnp.array(rows, jnp.float32))


def test_a_pixel_gets_the_colour_of_its_word_and_one_that_matches_none_gets_none():
    two = words([[5, 0], [0, 5]], [0.0, 0.0, NULL])
    share, colors = match(queries([5, 0], [0, 5], [-5, -5], [0, 0]), two, FLOAT32)
    np.testing.assert_allclose(share[0, 0, :3, 0], [1, 1, 0], atol=1e-6)
    np.testing.assert_allclose(colors[0, 0, :3], [[1, -1, -1], [-1, -1, 1], [0, 0, 0]], atol=1e-6)
    # A query of zeros: logits 0, 0 and NULL.
    one = 1 / (2 + math.exp(NULL))
    np.testing.assert_allclose(share[0, 0, 3], [2 * one], rtol=1e-5)
    np.testing.assert_allclose(colors[0, 0, 3], [0, -2 * one, 0], atol=1e-6)


def test_padding_is_out_of_reach(matcher):
    text = jax.random.normal(jax.random.key(1), (1, 2, 5, SIZES["nano"].text_width))
    pixels = matcher.pixels(
        jax.random.normal(jax.random.key(2), (1, 3, 4 * SIZES["nano"].features)), FLOAT32
    )
    asked = jnp.broadcast_to(pixels.queries.reshape(1, 1, 12, SHARED), (1, 2, 12, SHARED))
    whole = matcher.words(text, jnp.arange(5) < jnp.array([[[3], [5]]]), FLOAT32)
    np.testing.assert_array_equal(whole.bias[0, 0], [0, 0, 0, -1e9, -1e9, NULL])
    assert not whole.values[:, :, -1].any() and (whole.values[:, :, :-1, 3] == 1).all()
    short = matcher.words(text[:, :, :3], jnp.ones((1, 2, 3), bool), FLOAT32)
    for a, b in zip(match(asked, whole, FLOAT32), match(asked, short, FLOAT32), strict=True):
        np.testing.assert_allclose(a[:, 0], b[:, 0], rtol=1e-5, atol=1e-6)
        assert jnp.abs(a[:, 1] - b[:, 1]).max() > 1e-3


def test_a_prompt_without_words_leaves_the_null_word():
    nothing = words([[5, 0], [0, 5]], [-1e9, -1e9, NULL])
    share, colors = match(queries([5, 0]), nothing, FLOAT32)
    assert not share.any() and not colors.any()


def test_features_pass_unchanged_and_queries_have_one_length(matcher):
    features = jax.random.normal(jax.random.key(3), (2, 3, 4 * SIZES["nano"].features))
    pixels = matcher.pixels(features, FLOAT32)
    np.testing.assert_array_equal(pixels.features, features)
    length = jnp.square(pixels.queries.reshape(2, 3, 4, SHARED)).mean(-1)
    np.testing.assert_allclose(length, 1, rtol=1e-4)
