"""What stands around the blocks: patches to tokens and back, time, places, pooled text.

The answer is read from the target's tokens by one linear map, and, where a reference stands in
place, from the features of its pixels by two more, whose weights each token draws
(`models.generator` says why).
"""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import nnx

from vision_banana.models import layers, patches, text_match
from vision_banana.models.layers import einsum
from vision_banana.models.precision import Precision
from vision_banana.models.sizes import Size

TIME_FEATURES = 256


class Ends(nnx.Module):
    """Everything before and after the blocks but the stem."""

    def __init__(self, size: Size, full: bool, rngs: nnx.Rngs) -> None:
        self.size = size
        kernel = functools.partial(layers.kernel, rngs)
        pixels, width = size.patch**2 * 3, size.width
        inner = size.bottleneck or width
        self.target_in = kernel(pixels, (pixels, inner))
        if size.bottleneck:
            self.target_up = kernel(inner, (inner, width))
        self.aligned = kernel(width, (width, width))
        self.place = kernel(patches.PLACE_FEATURES, (patches.PLACE_FEATURES, width))
        if full:
            self.text_in = kernel(size.text_width, (size.text_width, width))
        self.time1 = kernel(TIME_FEATURES, (TIME_FEATURES, width))
        self.time2 = kernel(width, (width, width))
        self.pooled = kernel(size.text_width, (size.text_width, width))
        self.text_norm = nnx.Param(jnp.ones((size.text_width,)))
        self.modulation = nnx.Param(jnp.zeros((width, 8 * width)))
        self.out = nnx.Param(jnp.zeros((width, pixels)))
        self.out_filter = nnx.Param(jnp.zeros((width, size.features * size.colors)))
        self.other_filter = nnx.Param(jnp.zeros((width, size.features * size.colors)))

    def places(self, h: int, w: int, precision: Precision) -> jax.Array:
        """What is added to the tokens of h x w patches for where they lie, (h * w, D)."""
        positions = layers.grid_positions(h, w, 0, self.size.side**2)
        features = patches.place_features(positions, self.size.side)
        return einsum("tf,fd->td", features, self.place[...], precision)

    def pool(self, text: jax.Array, mask: jax.Array, precision: Precision) -> jax.Array:
        """The mean of text features (G, Q, L, Dt) where `mask` (G, Q, L) is true, (G, Q, D)."""
        weight = mask[..., None] / jnp.maximum(mask.sum(-1), 1)[..., None, None]
        pooled = jnp.sum(text * weight.astype(text.dtype), axis=2)
        return einsum("gqx,xd->gqd", pooled, self.pooled[...], precision)

    def modulations(self, t: jax.Array, pooled: jax.Array, precision: Precision) -> jax.Array:
        """From times (G, Q) and pooled text (G, Q, D): six of every block, two of the answer.

        Returns:
          (G, Q, 8, D).
        """
        wave = patches.time_features(t, TIME_FEATURES)
        c = einsum("gqf,fd->gqd", wave, self.time1[...], precision)
        c = einsum("gqf,fd->gqd", jax.nn.silu(c), self.time2[...], precision) + pooled
        mod = einsum("gqf,fd->gqd", jax.nn.silu(c), self.modulation[...], precision)
        return mod.reshape(*mod.shape[:2], 8, self.size.width)

    def target(
        self,
        z: jax.Array,
        t: jax.Array,
        kept: jax.Array | None,
        grid: tuple[int, int],
        precision: Precision,
    ) -> jax.Array:
        """Tokens of the noisy targets.

        Args:
          z: (G, Q, H, W, 3), or patches (G, Q, T', P * P, 3).
          t: (G, Q) times.
          kept: (G, Q, T') int, the places of the patches, None for pictures.
          grid: rows and columns of patches of the targets.
          precision: number formats.

        Returns:
          (G, Q, T, D).
        """
        x, places = z * patches.input_scale(t)[..., None, None, None], self.places(*grid, precision)
        if kept is None:
            x, *_ = patches.patchify(x, self.size.patch)
        else:
            x, places = x.reshape(*x.shape[:3], -1), places[kept]
        x = einsum("gqtp,pd->gqtd", x, self.target_in[...], precision)
        if self.size.bottleneck:
            x = einsum("gqtp,pd->gqtd", x, self.target_up[...], precision)
        return layers.constrain(x + places)

    def answer(
        self,
        x: jax.Array,
        modulation: jax.Array,
        seen: text_match.Pixels | None,
        words: text_match.Words,
        precision: Precision,
        remat: bool,
    ) -> jax.Array:
        """The answer's patches.

        Args:
          x: (G, Q, T, D) tokens behind the blocks.
          modulation: (G, Q, 2, D), shift and scale.
          seen: of the reference in place, None where there is none.
          words: of the prompts.
          precision: number formats.
          remat: whether the backward pass computes again what pixels and words give.

        Returns:
          (G, Q, T, P * P * 3) float32, pixels of a patch row by row.
        """
        shift, scale = modulation[:, :, :1], modulation[:, :, 1:]
        x = layers.rms_norm(x) * (1 + scale) + shift
        f32 = jnp.dtype(jnp.float32)
        answer = einsum("gqtd,dp->gqtp", x, self.out[...], precision, out=f32)
        if seen is None:
            return answer
        # One product for both maps: the features are read once.
        filters = jnp.concatenate([self.out_filter[...], self.other_filter[...]], axis=-1)
        add: Callable = functools.partial(_from_pixels, self.size, precision, filters, words)
        if remat:
            add = jax.checkpoint(add)
        return answer + _in_parts(add, x, seen, self.size.squares).reshape(answer.shape)


def rotary_angles(size: Size, h: int, w: int, frame: int) -> jax.Array:
    """Angles of h x w patches, (h * w, K // 2); each reference sits in a `frame` of its own."""
    positions = layers.grid_positions(h, w, frame, size.side**2)
    return layers.rotary_angles(positions, size.head_dim)


def _in_parts(add: Callable, x: jax.Array, seen: text_match.Pixels, squares: int) -> jax.Array:
    """`add` of parts of the patches, one by one: logits of all pixels and words are large."""
    tokens = x.shape[2]
    parts = -(-tokens * squares // text_match.PIXELS_AT_ONCE)
    while tokens % parts:
        parts += 1
    if parts == 1:
        return add(x, seen)
    split = jax.tree.map(
        lambda y: jnp.moveaxis(y.reshape(*y.shape[:2], parts, -1, y.shape[-1]), 2, 0), (x, seen)
    )
    return jnp.moveaxis(jax.lax.map(lambda part: add(*part), split), 0, 2)


def _from_pixels(
    size: Size,
    precision: Precision,
    filters: jax.Array,
    words: text_match.Words,
    x: jax.Array,
    seen: text_match.Pixels,
) -> jax.Array:
    """What the first reference's pixels and the words add to the answer, (G, Q, T, P, P, 3)."""
    f32 = jnp.dtype(jnp.float32)
    g, q, t = x.shape[:3]
    queries = seen.queries.reshape(g, q, -1, text_match.SHARED)
    matched, colors = text_match.match(queries, words, precision)
    matched, colors = matched.reshape(g, q, t, -1, 1), colors.reshape(g, q, t, -1, 3)
    colors = jnp.tile(colors, size.stride**2)
    maps = einsum("gqtd,df->gqtf", x, filters, precision, out=f32)
    maps = maps.reshape(g, q, t, 2, size.features, size.colors)
    features = seen.features.reshape(g, q, t, -1, size.features)
    mapped = einsum("gqtpf,gqtmfc->gqtmpc", features, maps, precision, out=f32)
    added = matched * mapped[:, :, :, 0] + (1 - matched) * mapped[:, :, :, 1] + colors
    return patches.unpatchify(added, size.patch, size.patch, size.stride)
