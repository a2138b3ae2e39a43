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


def time_features(t: jax.Array, width: int) -> jax.Array:
    """Sines and cosines of times in [0, 1] at `width // 2` frequencies, (...) to (..., width)."""
    frequencies = 1000.0 * 10000.0 ** (-jnp.arange(width // 2, dtype=jnp.float32) / (width // 2))
    phase = t.astype(jnp.float32)[..., None] * frequencies
    return jnp.concatenate([jnp.cos(phase), jnp.sin(phase)], axis=-1)
