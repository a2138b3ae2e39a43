"""Pictures to patches and back, and times to features."""

import jax
import jax.numpy as jnp


def patchify(x: jax.Array, patch: int) -> tuple[jax.Array, int, int]:
    """(..., H, W, C) pictures to (..., h * w, patch * patch * C) patches, row by row.

    Returns:
      The patches, and the number of rows and of columns of patches.

    Raises:
      ValueError: where a side is not a multiple of the patch.
    """
    *lead, height, width, channels = x.shape
    if height % patch or width % patch:
        raise ValueError(
            f"a picture of {height} x {width} does not divide into patches of {patch}; "
            f"resize it to multiples of {patch}"
        )
    h, w = height // patch, width // patch
    x = x.reshape(*lead, h, patch, w, patch, channels)
    x = jnp.moveaxis(x, -4, -3)
    return x.reshape(*lead, h * w, patch * patch * channels), h, w


def unpatchify(x: jax.Array, height: int, width: int, patch: int) -> jax.Array:
    """The inverse of `patchify`: (..., h * w, patch * patch * C) to (..., H, W, C)."""
    *lead, _, pixels = x.shape
    h, w = height // patch, width // patch
    x = x.reshape(*lead, h, w, patch, patch, pixels // patch**2)
    x = jnp.moveaxis(x, -4, -3)
    return x.reshape(*lead, height, width, pixels // patch**2)


def neighbors(x: jax.Array) -> jax.Array:
    """Each pixel's 3 x 3 neighbourhood, (..., H, W, C) to (..., H, W, 9 C), edges repeated."""
    h, w = x.shape[-3:-1]
    x = jnp.pad(x, [(0, 0)] * (x.ndim - 3) + [(1, 1), (1, 1), (0, 0)], mode="edge")
    parts = [x[..., i : i + h, j : j + w, :] for i in range(3) for j in range(3)]
    return jnp.concatenate(parts, axis=-1)


def draw_kept(key: jax.Array, weight: jax.Array, patch: int, share: float) -> jax.Array:
    """Draws which patches of the targets are kept, each with a chance that grows with its weight.

    Without replacement (Gumbel top-k, arXiv 1903.06059), at least one. A patch without any weight
    is drawn only where the others do not suffice.

    Args:
      key: a random key.
      weight: (G, Q, H, W), of the pixels in the loss.
      patch: side of a patch.
      share: of the patches that are kept.

    Returns:
      (G, Q, T') int.

    Raises:
      ValueError: where a side is not a multiple of the patch.
    """
    pixels, *_ = patchify(weight[..., None], patch)
    chances = jnp.log(pixels.sum(-1) + 1e-9)
    drawn = chances + jax.random.gumbel(key, chances.shape)
    return jax.lax.top_k(drawn, count_kept(chances.shape[-1], share))[1]


def count_kept(tokens: int, share: float) -> int:
    """How many of a picture's patches are kept, at least one."""
    return max(1, round(share * tokens))


def take(x: jax.Array, kept: jax.Array, patch: int) -> jax.Array:
    """The pixels of kept patches.

    Args:
      x: (G, Q, H, W, ...) pictures, or something else about their pixels.
      kept: (G, Q, T') int, as from `draw_kept`.
      patch: side of a patch.

    Returns:
      (G, Q, T', patch * patch, ...), in the order of `patchify`.
    """
    g, q, height, width, *rest = x.shape
    h, w = height // patch, width // patch
    x = x.reshape(g, q, h, patch, w, patch, *rest)
    x = jax.vmap(jax.vmap(lambda one, k: one[k // w, :, k % w]))(x, kept)
    return x.reshape(*kept.shape, patch**2, *rest)


PLACE_FEATURES = 16


def place_features(positions: jax.Array, side: int) -> jax.Array:
    """Where in its picture each patch lies, since rotary positions only say where others lie.

    Args:
      positions: (T, 3) rows and columns from the centre, as from `layers.grid_positions`.
      side: patches along a side of a picture in training.

    Returns:
      (T, PLACE_FEATURES) float32: sines and cosines at four frequencies along both axes.
    """
    u = positions[:, :2] / (side / 2)
    phase = (jnp.pi / 2 * 2.0 ** jnp.arange(4) * u[..., None]).reshape(len(u), 8)
    return jnp.concatenate([jnp.sin(phase), jnp.cos(phase)], axis=-1)


DATA_VARIANCE = 0.3  # of pictures in [-1, 1]


def input_scale(t: jax.Array) -> jax.Array:
    """The factor that turns a noisy picture into the best linear estimate of the clean one.

    For data of variance v and z = t x + (1 - t) noise it is t v / (t^2 v + (1 - t)^2) (Wiener): 0
    at t = 0, where z holds nothing of x, and 1 at t = 1. The network then sees no noise where it
    could only learn to ignore it.
    """
    t = t.astype(jnp.float32)
    return t * DATA_VARIANCE / (t**2 * DATA_VARIANCE + (1 - t) ** 2)


def time_features(t: jax.Array, width: int) -> jax.Array:
    """Sines and cosines of times in [0, 1] at `width // 2` frequencies, (...) to (..., width)."""
    frequencies = 1000.0 * 10000.0 ** (-jnp.arange(width // 2, dtype=jnp.float32) / (width // 2))
    phase = t.astype(jnp.float32)[..., None] * frequencies
    return jnp.concatenate([jnp.cos(phase), jnp.sin(phase)], axis=-1)
