"""Flow matching on a straight path, with the clean picture as the network's prediction.

The conventions live here (JiT, arXiv 2511.13720, equations 1 to 6; rectified flow,
arXiv 2209.03003):

    z_t = t x + (1 - t) noise        t = 0 is noise, t = 1 is data
    v   = x - noise = (x - z_t) / (1 - t)

The network predicts x; the loss is on v.
"""

import dataclasses

import jax
import jax.numpy as jnp


@dataclasses.dataclass(frozen=True)
class TimeSampling:
    """How training times are drawn: logit-normal (arXiv 2403.03206, section 3.1), then shifted.

    Attributes:
      mean: mean of the logit; below 0 favours noise.
      std: standard deviation of the logit.
      shift: resolution shift s >= 1 towards noise, see `shift_time`.
      noise_share: among queries that see a reference, the share of times set to exactly 0, in
        [0, 1]. One sampling step starts there; what a picture determines is answered in one.
    """

    mean: float = -0.8
    std: float = 0.8
    shift: float = 1.0
    noise_share: float = 0.0

    def __post_init__(self) -> None:
        """Checks the ranges."""
        if self.std <= 0 or self.shift <= 0 or not 0 <= self.noise_share <= 1:
            raise ValueError(f"{self}: std and shift must be positive, noise_share in [0, 1]")

    def draw(self, key: jax.Array, sees_reference: jax.Array) -> jax.Array:
        """Draws times in [0, 1), float32 of the shape of the bool array `sees_reference`."""
        normal_key, share_key = jax.random.split(key)
        shape = sees_reference.shape
        t = jax.nn.sigmoid(self.mean + self.std * jax.random.normal(normal_key, shape))
        t = shift_time(t, self.shift)
        from_noise = jax.random.uniform(share_key, shape) < self.noise_share
        return jnp.where(sees_reference & from_noise, 0.0, t)


def shift_time(t: jax.Array, shift: float) -> jax.Array:
    """Moves times towards noise, as larger pictures need (arXiv 2403.03206, equation 23).

    That paper's noise level is n = 1 - t, and n' = s n / (1 + (s - 1) n).

    Args:
      t: times in [0, 1].
      shift: s; 1 changes nothing. Resolution enters as the root of the ratio of pixels.
    """
    return t / (t + shift * (1 - t))


def interpolate(x: jax.Array, noise: jax.Array, t: jax.Array) -> jax.Array:
    """The noisy picture z_t; `t` has the leading axes of `x`."""
    t = t.reshape(t.shape + (1,) * (x.ndim - t.ndim))
    return t * x + (1 - t) * noise


def velocity_loss(
    x_predicted: jax.Array, x: jax.Array, t: jax.Array, weight: jax.Array, clip: float = 0.05
) -> jax.Array:
    """Squared error of the velocity, ||x_predicted - x||^2 / (1 - t)^2.

    Args:
      x_predicted: (..., H, W, 3).
      x: (..., H, W, 3), the clean picture.
      t: (...) times.
      weight: (..., H, W), 0 where the truth is unknown.
      clip: lower bound of 1 - t in the division (in the loss alone; samplers step exactly).

    Returns:
      (...) float32, the mean over known pixels and channels, 0 where no pixel is known.
    """
    error = jnp.mean(jnp.square(x_predicted - x), axis=-1) * weight
    known = jnp.maximum(jnp.sum(weight, axis=(-2, -1)), 1e-6)
    return jnp.sum(error, axis=(-2, -1)) / known / jnp.square(jnp.maximum(1 - t, clip))
