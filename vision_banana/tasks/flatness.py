"""How flat a drawn picture is: clean or not, how noisy, and which pixels lie in flat patches.

Colours are grey levels, 0 to 255, in three planes: (3, B, H, W) float32.
"""

import jax
import jax.numpy as jnp
from jax import lax

from vision_banana.tasks import colors, connected_components

frame = connected_components.frame
neighbour = connected_components.neighbour
square_distance = connected_components.square_distance

TAU = colors.MIN_DISTANCE  # grey levels, Euclidean
WIDER = tuple((dy, dx) for dy in range(-2, 3) for dx in range(-2, 3) if (dy, dx) != (0, 0))


def is_clean(levels: jax.Array) -> jax.Array:
    """Tells which pictures are flat, so that the paper's rules apply as they stand.

    A picture is flat where any two of the 16-neighbours are equal or more than TAU apart: then
    a flood fill by seed colour finds exactly the connected pixels of equal colour. A picture
    downsampled with antialiasing can be flat in that sense too; it is told by its border pixels,
    which mix the colours of both sides in shares that change along the border.

    Args:
      levels: (3, B, H, W) float32, whole numbers 0 to 255.

    Returns:
      (B,) bool.
    """
    framed = frame(levels, jnp.nan)
    rough = jnp.zeros(levels.shape[1:], bool)
    for dy, dx in connected_components.OFFSETS:
        distance = square_distance(levels, neighbour(framed, dy, dx))
        rough = rough | (distance > 0) & (distance <= TAU**2)
    flat = ~jnp.any(rough, (1, 2))
    return lax.cond(
        jnp.any(flat), lambda: flat & ~_is_antialiased(framed), lambda: jnp.zeros_like(flat)
    )


def _is_antialiased(framed: jax.Array) -> jax.Array:
    levels = neighbour(framed, 0, 0)
    mixed = jnp.zeros(levels.shape[1:], bool)
    for dy, dx in connected_components.OFFSETS[:4]:
        a = neighbour(framed, dy, dx)
        along, step = neighbour(framed, -dy, -dx) - a, levels - a
        length = sum(along[c] * along[c] for c in range(3))
        share = sum(step[c] * along[c] for c in range(3))  # times length
        off = sum(step[c] * step[c] for c in range(3)) - share * share / jnp.maximum(length, 1)
        # 2 grey levels: three roundings to 8 bits.
        between = (share > 0.1 * length) & (share < 0.9 * length)
        mixed = mixed | (length > TAU**2) & between & (off <= 4.0)
    pairs = changes = jnp.zeros(mixed.shape, jnp.int32)  # of each pixel: one sum for all four
    around = frame(mixed, False)
    for dy, dx in connected_components.OFFSETS[:4]:
        pair = mixed & neighbour(around, dy, dx)
        differs = square_distance(levels, neighbour(framed, dy, dx)) > 0
        pairs += pair.astype(jnp.int32)
        changes += (pair & differs).astype(jnp.int32)
    pairs, changes = jnp.sum(pairs, (1, 2)), jnp.sum(changes, (1, 2))
    return (changes >= 8) & (4 * changes >= pairs)


def noise_level(levels: jax.Array) -> jax.Array:
    """Estimates the standard deviation of the colour noise in grey levels.

    From the 60th percentile of the distance between horizontal neighbours (borders are a minority
    of pixels). Channels that are clipped at 0 or 255 make it too small by up to a half.

    Args:
      levels: (3, B, H, W) float32.

    Returns:
      (B,) float32.
    """
    step = max(1, levels.shape[-1] // 64)  # a sample is enough, and sorting is slow
    left, right = levels[..., ::step, :-1:step], levels[..., ::step, 1::step]
    distance = jnp.sqrt(square_distance(left, right)).reshape(levels.shape[1], -1)
    if distance.shape[1] == 0:
        return jnp.zeros(levels.shape[1])
    # sqrt(2): a difference of two; 1.716: 60th percentile of the norm of three normal variables.
    return jnp.percentile(distance, 60, axis=1) / (2**0.5 * 1.716)


def median(x: jax.Array) -> jax.Array:
    """3x3 median of (..., H, W), the picture's edge repeated."""
    height, width = x.shape[-2:]
    padded = jnp.pad(x, [(0, 0)] * (x.ndim - 2) + [(1, 1), (1, 1)], mode="edge")
    padded = lax.optimization_barrier(padded)
    p = [padded[..., i : i + height, j : j + width] for i in range(3) for j in range(3)]
    # The 19 exchanges of Smith's median network (Paeth, Graphics Gems, 1990).
    for i, j in (
        *((1, 2), (4, 5), (7, 8), (0, 1), (3, 4), (6, 7), (1, 2), (4, 5), (7, 8), (0, 3)),
        *((5, 8), (4, 7), (3, 6), (1, 4), (2, 5), (4, 7), (4, 2), (6, 4), (4, 2)),
    ):
        p[i], p[j] = jnp.minimum(p[i], p[j]), jnp.maximum(p[i], p[j])
    return p[4]


def smooth_similar(levels: jax.Array, noise: jax.Array) -> jax.Array:
    """Averages each colour with the similar ones in the 5x5 window."""
    # Where there is little noise the median would only round corners off.
    base = jnp.where(noise[:, None, None] > 1.5, median(levels), levels)
    limit = jnp.square(8.0 + 1.5 * noise)[:, None, None]
    framed = frame(base, -1e4)
    base = neighbour(framed, 0, 0)
    total, count = [base[c] for c in range(3)], jnp.ones(base.shape[1:], base.dtype)
    for dy, dx in WIDER:
        other = neighbour(framed, dy, dx)
        near = square_distance(base, other) <= limit
        total = [t + jnp.where(near, other[c], 0.0) for c, t in enumerate(total)]
        count = count + near.astype(base.dtype)
    return jnp.stack(total) / count


def cores(smooth: jax.Array, tolerance: jax.Array) -> jax.Array:
    """Returns (B, H, W) bool: pixels with at least 5 of 9 similar in their 3x3 window.

    A border that is blurred over a pixel or two has 3: its mixtures change across it.
    """
    limit = jnp.square(tolerance)[:, None, None]
    framed = frame(smooth, jnp.nan)
    count = jnp.ones(smooth.shape[1:], jnp.int32)
    for dy, dx in connected_components.AROUND:
        # Outside the picture all is similar: no comparison with NaN is true.
        far = square_distance(smooth, neighbour(framed, dy, dx)) > limit
        count += (~far).astype(jnp.int32)
    return count >= 5
