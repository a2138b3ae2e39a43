"""Samplers: solve the flow's differential equation from noise (t = 0) to data (t = 1)."""

import functools
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp

from vision_banana.diffusion import flow_matching

Denoiser = Callable[[jax.Array, jax.Array], jax.Array]

SOLVERS = ("euler", "heun")


def sample(
    denoise: Denoiser, noise: jax.Array, *, steps: int, solver: str = "euler", shift: float = 1.0
) -> jax.Array:
    """Turns noise into data by integrating dz/dt = (x(z, t) - z) / (1 - t).

    The last step ends exactly at t = 1, where Euler's rule gives z = x; one step is therefore the
    network's prediction from pure noise. Heun's rule is second order; its last step is Euler's,
    since the velocity has no value at t = 1.

    Args:
      denoise: `(z, t) -> x`, predicts the clean data; t is a float32 scalar.
      noise: standard normal, of the data's shape.
      steps: number of steps, at least 1.
      solver: "euler" or "heun".
      shift: resolution shift of the time grid, see `flow_matching.shift_time`.

    Returns:
      Data of the noise's shape.

    Raises:
      ValueError: for an unknown solver or no steps.
    """
    if solver not in SOLVERS:
        raise ValueError(f"solver is {solver!r}; choose one of {', '.join(SOLVERS)}")
    if steps < 1:
        raise ValueError(f"steps is {steps}; at least 1 is needed")
    grid = flow_matching.shift_time(jnp.linspace(0.0, 1.0, steps + 1), shift)

    def velocity(z: jax.Array, t: jax.Array) -> jax.Array:
        return (denoise(z, t) - z) / (1 - t)

    def euler(z: jax.Array, times: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, None]:
        t, t_next = times
        share = (t_next - t) / (1 - t)  # of the way to x; exactly 1 in the last step
        return (1 - share) * z + share * denoise(z, t), None

    def heun(z: jax.Array, times: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, None]:
        t, t_next = times
        v = velocity(z, t)
        v_next = velocity(z + (t_next - t) * v, t_next)
        return z + (t_next - t) * (v + v_next) / 2, None

    if solver == "euler":
        return jax.lax.scan(euler, noise, (grid[:-1], grid[1:]))[0]
    z, _ = jax.lax.scan(heun, noise, (grid[:-2], grid[1:-1]))
    return denoise(z, grid[-2])


def guidance_factors(text_guidance: float, reference_guidance: float) -> tuple[float, float, float]:
    """What each prediction counts in classifier-free guidance on reference and text separately.

    x = x(0, 0) + w_r (x(ref, 0) - x(0, 0)) + w_t (x(ref, text) - x(ref, 0))
    (InstructPix2Pix, arXiv 2211.09800, equation 3, on x, which is the same as on v). A weight of 1
    is no guidance.

    Args:
      text_guidance: w_t.
      reference_guidance: w_r.

    Returns:
      The factors of the predictions given (reference, text), (reference, none) and (none, none);
      one with a factor of 0 need not be made.

    Raises:
      ValueError: where text_guidance is 0.
    """
    if text_guidance == 0:
        raise ValueError("text_guidance is 0; write 1 for no guidance")
    return text_guidance, reference_guidance - text_guidance, 1.0 - reference_guidance


def guide(
    predictions: Callable[[jax.Array, jax.Array], Sequence[jax.Array]],
    factors: Sequence[float],
    interval: tuple[float, float] = (0.0, 1.0),
) -> Denoiser:
    """The weighted sum of several predictions.

    Args:
      predictions: `(z, t) -> [x, ...]`, of each condition, the full one first.
      factors: of each; see `guidance_factors`.
      interval: times [low, high] in which guidance acts (arXiv 2404.07724); outside it the
        first prediction alone is used.
    """

    def guided(z: jax.Array, t: jax.Array) -> jax.Array:
        first, *others = predictions(z, t)
        if not others:
            return first
        weighted = [f * x for f, x in zip(factors, (first, *others), strict=True)]
        active = (t >= interval[0]) & (t <= interval[1])
        return jnp.where(active, functools.reduce(jnp.add, weighted), first)

    return guided
