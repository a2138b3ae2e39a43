"""Which words of the prompt are about what a pixel of the reference shows.

Pixels and words are brought into one space, where an inner product says how well they match, as in
CRIS (arXiv 2111.15174) and LSeg (arXiv 2201.03546). A pixel attends to the words and to a null
word; what goes to words gates what the pixel gives to the answer, and a word hands its colour to
the pixels that attend to it: "the red cube: blue" is looked up, pixel by pixel. A gate on an answer
that marks every solid learns within some hundred steps to leave out those that are not asked for;
what is only added to that answer does not (`experiments/recipe`).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx

from vision_banana.models import layers
from vision_banana.models.precision import Precision, einsum
from vision_banana.models.sizes import Size

HIDDEN = 64
SHARED = 32  # dimensions of the space of pixels and words
PIXELS_AT_ONCE = 2**14  # of a query; more of them meet the words in parts, to save memory
NULL = 3.0  # logit of the null word; products of random vectors deviate by the root of SHARED


class Pixels(NamedTuple):
    """What the first reference's pixels give to the target's patches.

    Attributes:
      features: (G, T, P * features), or (G, Q, T', P * features) in place.
      queries: (G, T, P * SHARED), or (G, Q, T', P * SHARED) in place.
    """

    features: jax.Array
    queries: jax.Array


class Words(NamedTuple):
    """What a prompt's words, and a null word behind them, offer to pixels.

    Attributes:
      keys: (G, Q, L + 1, SHARED).
      bias: (G, Q, L + 1) float32, added to logits; padding is out of reach.
      values: (G, Q, L + 1, 4): what each word adds to the answer's colours, and 1; 0 for the null
        word.
    """

    keys: jax.Array
    bias: jax.Array
    values: jax.Array


class TextMatch(nnx.Module):
    """Pixels and words in one space."""

    def __init__(self, size: Size, rngs: nnx.Rngs) -> None:
        self.features = size.features
        self.pixel_hidden = layers.kernel(rngs, size.features, (size.features, HIDDEN))
        self.pixel = layers.kernel(rngs, HIDDEN, (HIDDEN, SHARED))
        self.pixel_norm = nnx.Param(jnp.ones((SHARED,)))
        self.word = layers.kernel(rngs, size.text_width, (size.text_width, SHARED))
        self.color = nnx.Param(jnp.zeros((size.text_width, 3)))

    @jax.named_scope("text_match")
    def pixels(self, features: jax.Array, precision: Precision) -> Pixels:
        """(G, T, P * features) to these and the pixels' queries."""
        x = features.reshape(*features.shape[:2], -1, self.features)
        x = jax.nn.silu(einsum("gtpf,fh->gtph", x, self.pixel_hidden[...], precision))
        x = einsum("gtph,hk->gtpk", x, self.pixel[...], precision)
        x = layers.rms_norm(x, self.pixel_norm[...])
        return Pixels(features, x.reshape(*features.shape[:2], -1))

    @jax.named_scope("text_match")
    def words(self, text: jax.Array, mask: jax.Array, precision: Precision) -> Words:
        """Text features (G, Q, L, Dt) and which are no padding, (G, Q, L) bool."""
        keys = layers.rms_norm(einsum("gqlx,xk->gqlk", text, self.word[...], precision))
        colors = einsum("gqlx,xc->gqlc", text, self.color[...], precision)
        bias = jnp.where(mask, 0.0, -1e9)
        values = jnp.concatenate([colors, jnp.ones_like(colors[..., :1])], axis=-1)
        end = ((0, 0), (0, 0), (0, 1))
        return Words(
            jnp.pad(keys, (*end, (0, 0))),
            jnp.pad(bias, end, constant_values=NULL),
            jnp.pad(values, (*end, (0, 0))),
        )


@jax.named_scope("text_match")
def match(queries: jax.Array, words: Words, precision: Precision) -> tuple[jax.Array, jax.Array]:
    """How much pixels attend to words, and the colours that they get from them.

    Args:
      queries: (G, Q, P, SHARED), of the pixels in view of each query.
      words: of the prompts.
      precision: number formats.

    Returns:
      (G, Q, P, 1) float32 in [0, 1], the attention that does not go to the null word, and
      (G, Q, P, 3) float32, the words' colours weighed by attention.
    """
    f32 = jnp.dtype(jnp.float32)
    # Pixels last: sums over words then run along whole vectors of pixels.
    logits = einsum("gqlk,gqpk->gqlp", words.keys, queries, precision, out=f32)
    weights = jax.nn.softmax(logits + words.bias[..., None], axis=2)
    got = einsum("gqlp,gqlc->gqpc", weights, words.values, precision, out=f32)
    return got[..., 3:], got[..., :3]
