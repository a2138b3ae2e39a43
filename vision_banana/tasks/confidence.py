"""How far a drawn colour may be trusted: one function for every task's decoder."""

import jax
import jax.numpy as jnp

# Distance at which the confidence is exactly one half. Below 0.25, where it must be under 0.5, and
# about ten times the colour error of a good generator (1 to 5 grey levels).
HALF = 0.15


def from_distance(distance: jax.Array) -> jax.Array:
    """Maps RGB distance to the code's manifold to a confidence.

    `1 / (1 + (distance / HALF)^2)`: 1 on the manifold, 0.9995 within one 8-bit rounding, 1/2 at
    HALF, 0.26 at 0.25; it falls strictly everywhere, so that it ranks pixels.

    Args:
      distance: (...) float >= 0, Euclidean, RGB in [0, 1].

    Returns:
      (...) float32 in [0, 1]; 0 where the distance is not finite.
    """
    distance = jnp.asarray(distance, jnp.float32)
    confidence = 1 / (1 + jnp.square(distance / HALF))
    return jnp.where(jnp.isfinite(distance), confidence, 0.0)


def to_distance(confidence: jax.Array) -> jax.Array:
    """The inverse of `from_distance`: (...) in [0, 1] to the RGB distance; infinite at 0."""
    return HALF * jnp.sqrt(1 / jnp.asarray(confidence, jnp.float32) - 1)
