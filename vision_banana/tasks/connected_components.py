"""Connected components of a batch of pictures, labelled in parallel.

The sequential flood fill becomes FastSV (Zhang, Azad, Buluc 2020, arXiv 1910.05971): every pixel
points at a pixel of its component, hooks its parent to the smallest grandparent in its
neighbourhood and jumps; the number of rounds grows with the logarithm of a component's extent.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

# One of each pair of opposite neighbours (dy, dx) of the 16-connectivity: the 8 neighbours, then
# the 8 knight's moves.
OFFSETS = ((0, 1), (1, -1), (1, 0), (1, 1), (1, -2), (1, 2), (2, -1), (2, 1))

JUMPS = 4  # to the parent's parent after each round; one costs a tenth of a round

# The 8 neighbours.
AROUND = tuple((dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1) if (dy, dx) != (0, 0))


def frame(x: jax.Array, fill: float) -> jax.Array:
    """Surrounds (..., H, W) by two pixels of `fill`, so that neighbours are plain slices.

    The barrier keeps the compiler from folding the border into every reader as a condition, which
    costs several times the reading itself.
    """
    padding = [(0, 0)] * (x.ndim - 2) + [(2, 2), (2, 2)]
    return lax.optimization_barrier(jnp.pad(x, padding, constant_values=fill))


def neighbour(framed: jax.Array, dy: int, dx: int) -> jax.Array:
    """Returns y with y[..., i, j] = x[..., i + dy, j + dx] of a framed x; |dy|, |dx| <= 2."""
    height, width = framed.shape[-2] - 4, framed.shape[-1] - 4
    return framed[..., 2 + dy : 2 + dy + height, 2 + dx : 2 + dx + width]


def square_distance(a: jax.Array, b: jax.Array) -> jax.Array:
    """Returns squared Euclidean distance over the first axis, that of the 3 channels.

    Colours are held as three planes: a last axis of length 3 leaves vector units idle.
    """
    return jnp.square(a[0] - b[0]) + jnp.square(a[1] - b[1]) + jnp.square(a[2] - b[2])


def links(colors: jax.Array, active: jax.Array, tolerance: jax.Array) -> jax.Array:
    """Tells which of its 16 neighbours each pixel is joined to.

    Two active pixels are joined where their colours are at most `tolerance` apart.

    Args:
      colors: (3, B, H, W) float.
      active: (B, H, W) bool; other pixels stay alone.
      tolerance: (B,) float, in the colours' unit.

    Returns:
      (B, H, W) int32, bit 2i for OFFSETS[i] and bit 2i + 1 for its opposite.
    """
    limit = jnp.square(tolerance)[:, None, None]
    bits = jnp.zeros(active.shape, jnp.int32)
    # An inactive pixel is a colour that is near to none.
    framed = frame(jnp.where(active, colors, jnp.nan), jnp.nan)
    colors = neighbour(framed, 0, 0)
    for i, (dy, dx) in enumerate(OFFSETS):
        for bit, sign in ((2 * i, 1), (2 * i + 1, -1)):
            near = square_distance(colors, neighbour(framed, sign * dy, sign * dx)) <= limit
            bits = bits | near.astype(jnp.int32) << bit
    return bits


def label(bits: jax.Array) -> jax.Array:
    """Labels connected pixels.

    Args:
      bits: (B, H, W) int32 of `links`.

    Returns:
      (B, H, W) int32: the smallest flat index, over the whole batch, of the pixel's component,
      so that a component's label is the index of its first pixel.
    """
    size = int(np.prod(bits.shape))
    index = jnp.arange(size, dtype=jnp.int32).reshape(bits.shape)

    def round_(state: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        parent, _ = state
        grandparent = parent.reshape(-1)[parent]
        low, framed = grandparent, frame(grandparent, size)
        for i, (dy, dx) in enumerate(OFFSETS):
            for bit, sign in ((2 * i, 1), (2 * i + 1, -1)):
                other = neighbour(framed, sign * dy, sign * dx)
                low = jnp.where(bits & (1 << bit) != 0, jnp.minimum(low, other), low)
        hooked = parent.reshape(-1).at[parent.reshape(-1)].min(low.reshape(-1))
        new = jnp.minimum(hooked.reshape(bits.shape), low)
        # Nothing moved: every tree is a star and neighbouring stars have one root.
        moved = jnp.any(new != parent)
        for _ in range(JUMPS):
            new = new.reshape(-1)[new]
        return new, moved

    return lax.while_loop(lambda state: state[1], round_, (index, jnp.array(True)))[0]
