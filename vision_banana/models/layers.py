"""Layers of the generator: normalisation, rotary positions, attention, one transformer block.

Shapes are written with one alphabet: G groups that share their references, Q queries of a group,
R references, T image tokens, L text tokens, D width, N heads, K head dim.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from flax import nnx
from jax.sharding import PartitionSpec as P

from vision_banana.models.attention import KeysValues, attend
from vision_banana.models.mesh_axes import BATCH_AXES
from vision_banana.models.precision import Precision, einsum
from vision_banana.models.sizes import Size

RESIDUAL_SCALE = 0.3  # of the initial weights that write into the residual stream


def constrain(x: jax.Array) -> jax.Array:
    """Keeps an activation's leading axis spread over the batch axes, its other axes whole.

    Where a product's sum, forward or backward, runs over the mesh axis `tensor`, its result must
    pass through here, or the compiler may choose to all-reduce activations in place of gathering
    weights; on a mesh of all three axes XLA's partitioner (jax 0.10) then even exchanges groups on
    the way. No mesh, no effect.
    """
    if jax.sharding.get_abstract_mesh().empty:
        return x
    return jax.lax.with_sharding_constraint(x, P(BATCH_AXES))


def rms_norm(x: jax.Array, scale: jax.Array | None = None, eps: float = 1e-6) -> jax.Array:
    """Root-mean-square normalisation over the last axis, computed in float32."""
    x32 = x.astype(jnp.float32)
    y = x32 * jax.lax.rsqrt(jnp.mean(x32 * x32, axis=-1, keepdims=True) + eps)
    return (y if scale is None else y * scale).astype(x.dtype)


def rotary_angles(positions: jax.Array, head_dim: int, base: float = 10.0) -> jax.Array:
    """Angles of a rotary embedding over several axes (RoFormer, arXiv 2104.09864).

    The head's channel pairs are shared out evenly among the axes; within an axis the
    frequencies fall geometrically from 1 to 1 / base.

    Args:
      positions: (T, A) float32, the place of each token along A axes.
      head_dim: channels K of a head.

    Returns:
      (T, K // 2) float32 angles in radians.
    """
    pairs, axes = head_dim // 2, positions.shape[-1]
    counts = [pairs // axes + (i < pairs % axes) for i in range(axes)]
    angles = [
        positions[:, i, None] * base ** (-jnp.arange(n, dtype=jnp.float32) / max(n, 1))
        for i, n in enumerate(counts)
    ]
    return jnp.concatenate(angles, axis=-1)


def rotate(x: jax.Array, angles: jax.Array) -> jax.Array:
    """Turns channel pairs of (..., T, K) by (T, K // 2) angles."""
    cos, sin = jnp.cos(angles).astype(x.dtype), jnp.sin(angles).astype(x.dtype)
    a, b = jnp.split(x, 2, axis=-1)
    return jnp.concatenate([a * cos - b * sin, a * sin + b * cos], axis=-1)


def grid_positions(h: int, w: int, frame: int, trained_tokens: int) -> jax.Array:
    """Places of an image's patches for rotary embedding.

    Positions are centred and scaled so that the picture's area always spans the range seen in
    training: a checkpoint runs at other resolutions and aspect ratios.

    Args:
      h: rows of patches.
      w: columns of patches.
      frame: 0 for the target, 1, 2, ... for the references.
      trained_tokens: number of patches of a picture in training.

    Returns:
      (h * w, 3) float32: row, column, frame.
    """
    step = (trained_tokens / (h * w)) ** 0.5
    y = (jnp.arange(h, dtype=jnp.float32) - (h - 1) / 2) * step
    x = (jnp.arange(w, dtype=jnp.float32) - (w - 1) / 2) * step
    y, x = jnp.meshgrid(y, x, indexing="ij")
    return jnp.stack([y, x, jnp.full_like(y, float(frame))], axis=-1).reshape(h * w, 3)


def kernel(rngs: nnx.Rngs, fan_in: int, shape: tuple[int, ...], scale: float = 1.0) -> nnx.Param:
    """Draws a weight whose products keep the variance of their input, times `scale` squared."""
    std = scale * fan_in**-0.5
    return nnx.Param(std * jax.random.truncated_normal(rngs.params(), -2, 2, shape) / 0.88)


def to_heads(
    x: jax.Array, weight: jax.Array, precision: Precision, norm: jax.Array | None = None
) -> jax.Array:
    """(..., T, D) by (D, N, K) to (..., N, T, K), normalised over K where a scale is given."""
    axes = "abc"[: x.ndim - 1]
    y = einsum(f"{axes}x,xnk->{axes}nk", x, weight, precision)
    return jnp.swapaxes(y if norm is None else rms_norm(y, norm), -2, -3)


class SwiGLU(nnx.Module):
    """Gated feed-forward layer (arXiv 2002.05202)."""

    def __init__(self, width: int, hidden: int, rngs: nnx.Rngs) -> None:
        self.gate = kernel(rngs, width, (width, hidden))
        self.up = kernel(rngs, width, (width, hidden))
        self.down = kernel(rngs, hidden, (hidden, width), RESIDUAL_SCALE)

    @jax.named_scope("mlp")
    def __call__(self, x: jax.Array, precision: Precision) -> jax.Array:
        """(..., T, D) to (..., T, D)."""
        axes = "abcd"[: x.ndim - 1]
        gate = einsum(f"{axes}x,xf->{axes}f", x, self.gate[...], precision)
        up = einsum(f"{axes}x,xf->{axes}f", x, self.up[...], precision)
        hidden = jax.nn.silu(gate) * up
        return constrain(einsum(f"{axes}f,fx->{axes}x", hidden, self.down[...], precision))


class Attention(nnx.Module):
    """Multi-head attention with normalised queries and keys."""

    def __init__(self, width: int, heads: int, rngs: nnx.Rngs, attention_kernel: str = "xla"):
        head_dim = width // heads
        self.attention_kernel = attention_kernel
        self.query = kernel(rngs, width, (width, heads, head_dim))
        self.key = kernel(rngs, width, (width, heads, head_dim))
        self.value = kernel(rngs, width, (width, heads, head_dim))
        self.out = kernel(rngs, width, (heads, head_dim, width), RESIDUAL_SCALE)
        self.query_norm = nnx.Param(jnp.ones((head_dim,)))
        self.key_norm = nnx.Param(jnp.ones((head_dim,)))
        # With equal biases, rotated by position, half of the heads begin by looking nearby.
        bias = jnp.zeros((heads, 1, head_dim)).at[: heads // 2, :, : head_dim // 2].set(2.0)
        self.query_bias, self.key_bias = nnx.Param(bias), nnx.Param(bias)

    @jax.named_scope("attention")
    def keys_values(self, x: jax.Array, angles: jax.Array, precision: Precision) -> KeysValues:
        """(..., T, D) to keys and values (..., N, T, K), keys normalised and rotated."""
        keys = to_heads(x, self.key[...], precision, self.key_norm[...])
        keys = keys + self.key_bias[...].astype(keys.dtype)
        return KeysValues(rotate(keys, angles), to_heads(x, self.value[...], precision))

    @jax.named_scope("attention")
    def __call__(
        self,
        x: jax.Array,
        angles: jax.Array,
        seen: Sequence[KeysValues],
        mask: jax.Array | None,
        precision: Precision,
    ) -> jax.Array:
        """Attends from `x` to keys and values.

        Args:
          x: (..., T, D).
          angles: (T, K // 2) rotary angles of x.
          seen: streams of keys and values, see `attention.attend`.
          mask: (..., S) bool, which of their tokens may be seen, or None for all.

        Returns:
          (..., T, D).
        """
        q = to_heads(x, self.query[...], precision, self.query_norm[...])
        q = rotate(q + self.query_bias[...].astype(q.dtype), angles)
        axes = "abc"[: x.ndim - 2]
        mixed = attend(q, seen, mask, precision, self.attention_kernel)
        return constrain(einsum(f"{axes}ntk,nkx->{axes}tx", mixed, self.out[...], precision))


class Block(nnx.Module):
    """A transformer block whose layers are shifted, scaled and gated by the time (adaLN, DiT).

    The modulation is shared by all blocks up to a learnt table of each block (adaLN-single,
    arXiv 2310.00426). Its part that depends on the time begins at zero, the gates of the tables
    at one: a block begins as a plain one, which learns faster in short runs than one that begins
    closed. References, which never see the time, have a table of their own.
    """

    def __init__(
        self, size: Size, text_keys: bool, rngs: nnx.Rngs, attention_kernel: str = "xla"
    ) -> None:
        self.attention = Attention(size.width, size.heads, rngs, attention_kernel)
        self.mlp = SwiGLU(size.width, size.mlp_width, rngs)
        table = jnp.zeros((6, size.width)).at[jnp.array([2, 5])].set(1.0)
        self.modulation = nnx.Param(table)
        self.still_modulation = nnx.Param(table)
        if text_keys:
            shape = (size.text_width, size.heads, size.head_dim)
            self.text_key = kernel(rngs, size.text_width, shape)
            self.text_value = kernel(rngs, size.text_width, shape)
            self.text_key_norm = nnx.Param(jnp.ones((size.head_dim,)))

    @jax.named_scope("attention")
    def text_keys_values(self, text: jax.Array, precision: Precision) -> KeysValues:
        """Text features (G, Q, L, Dt) to keys and values (G, Q, N, L, K)."""
        keys = to_heads(text, self.text_key[...], precision, self.text_key_norm[...])
        return KeysValues(keys, to_heads(text, self.text_value[...], precision))

    def __call__(
        self,
        x: jax.Array,
        modulation: jax.Array,
        angles: jax.Array,
        precision: Precision,
        context: Sequence[KeysValues] = (),
        mask: jax.Array | None = None,
    ) -> tuple[jax.Array, KeysValues]:
        """One block over one stream.

        Args:
          x: (..., T, D) residual stream.
          modulation: (..., 6, D) or (..., T, 6, D), the block's own table included.
          angles: (T, K // 2) rotary angles.
          precision: number formats.
          context: keys and values of other streams, which x attends to as well.
          mask: bool, which of the context's tokens and then of x's own may be seen, or None.

        Returns:
          The stream after the block, and the keys and values that it offered.
        """
        parts = jnp.split(modulation.astype(x.dtype), 6, axis=-2)
        if modulation.ndim > x.ndim:  # one modulation per token
            parts = [jnp.squeeze(p, -2) for p in parts]
        shift1, scale1, gate1, shift2, scale2, gate2 = parts
        h = rms_norm(x) * (1 + scale1) + shift1
        own = self.attention.keys_values(h, angles, precision)
        x = x + gate1 * self.attention(h, angles, [*context, own], mask, precision)
        h = rms_norm(x) * (1 + scale2) + shift2
        return x + gate2 * self.mlp(h, precision), own


def join_references(kv: KeysValues) -> KeysValues:
    """(G, R, N, T, K) to (G, N, R * T, K)."""

    def join(x: jax.Array) -> jax.Array:
        g, r, n, t, k = x.shape
        return jnp.swapaxes(x, 1, 2).reshape(g, n, r * t, k)

    return KeysValues(join(kv.keys), join(kv.values))


def in_place(features: jax.Array, mask: jax.Array, kept: jax.Array | None) -> jax.Array:
    """What the first reference gives to the patches of the same place, 0 where it is hidden.

    Args:
      features: (G, T, C), a row for each patch of the reference.
      mask: (G, Q, R * T) bool, which reference tokens a query sees.
      kept: (G, Q, T') int, the targets' patches that are computed, or None for all.

    Returns:
      (G, Q, T', C).
    """
    shown = features[:, None] if kept is None else jax.vmap(lambda x, k: x[k])(features, kept)
    return shown * mask[:, :, :1, None]


def with_own(text_mask: jax.Array, reference_mask: jax.Array, tokens: int) -> jax.Array:
    """Which of text, references and the target's own tokens may be seen, (G, Q, S) bool."""
    own = jnp.ones((*text_mask.shape[:2], tokens), bool)
    return jnp.concatenate([text_mask, reference_mask, own], axis=-1)
