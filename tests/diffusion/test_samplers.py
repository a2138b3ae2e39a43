"""Samplers against a case whose truth is known: Gaussian data, whose best denoiser is linear."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vision_banana.diffusion import samplers

MEAN, STD = 1.5, 0.4


def best(z, t):
    """E[x | z] for x ~ N(MEAN, STD^2), z = t x + (1 - t) noise."""
    variance = t**2 * STD**2 + (1 - t) ** 2
    return MEAN + t * STD**2 / variance * (z - t * MEAN)


def errors(solver, steps, shift=1.0):
    """Error of mean and of standard deviation; the map from noise to data is affine."""
    noise = jnp.array([0.0, 1.0])
    zero, one = samplers.sample(best, noise, steps=steps, solver=solver, shift=shift)
    return abs(float(zero) - MEAN), abs(float(one - zero) - STD)


@pytest.mark.parametrize(("solver", "order"), [("euler", 1), ("heun", 2)])
@pytest.mark.parametrize("shift", [1.0, 2.0])
def test_mean_and_variance_converge_at_the_solvers_order(solver, order, shift):
    steps = (16, 32, 64)
    measured = np.array([errors(solver, n, shift) for n in steps])
    assert measured[-1].max() < (0.02 if order == 1 else 2e-3)
    slope = np.log2(measured[:-1, 1] / measured[1:, 1])
    np.testing.assert_allclose(slope, order, atol=0.25)


@pytest.mark.parametrize("solver", samplers.SOLVERS)
def test_one_step_is_the_prediction_from_noise(solver):
    # A time other than 0 would show in the result.
    out = samplers.sample(lambda z, t: z + 7 + 100 * t, jnp.ones(3), steps=1, solver=solver)
    np.testing.assert_array_equal(out, 8)


@pytest.mark.parametrize("solver", samplers.SOLVERS)
def test_a_denoiser_that_knows_the_answer_ends_exactly_on_it(solver):
    answer = jnp.linspace(-1, 1, 5)
    out = samplers.sample(lambda z, t: answer, jnp.ones(5), steps=7, solver=solver)
    np.testing.assert_array_equal(out, answer)


def guided(text, reference, *interval):
    return samplers.guide(
        lambda z, t: [z + 10.0, z + 4.0, z + 1.0],
        samplers.guidance_factors(text, reference),
        *interval,
    )


def test_guidance_by_hand():
    z, t = jnp.zeros(()), jnp.array(0.5)
    # (0, 0) + w_r ((r, 0) - (0, 0)) + w_t ((r, t) - (r, 0)) = 1 + 2 * 3 + 3 * 6.
    assert guided(3.0, 2.0)(z, t) == 25.0
    assert guided(1.0, 1.0)(z, t) == 10.0
    assert guided(3.0, 1.0)(z, t) == 4 + 3 * 6
    late = guided(3.0, 2.0, (0.6, 1.0))
    assert late(z, t) == 10.0
    assert late(z, jnp.array(0.7)) == 25.0
    assert samplers.guidance_factors(1.0, 1.0) == (1, 0, 0)  # nothing else need be predicted


def test_bad_settings_are_named():
    with pytest.raises(ValueError, match="solver is 'rk4'; choose one of euler, heun"):
        samplers.sample(best, jnp.ones(1), steps=2, solver="rk4")
    with pytest.raises(ValueError, match="steps is 0"):
        samplers.sample(best, jnp.ones(1), steps=0)
    with pytest.raises(ValueError, match="text_guidance is 0"):
        samplers.guidance_factors(0.0, 1.0)


def loop(noise, steps, solver):
    """`samplers.sample` of `best` as a loop in double precision."""
    z = np.asarray(noise, np.float64)
    for t in np.arange(steps) / steps:
        v = (best(z, t) - z) / (1 - t)
        if solver == "heun" and (end := t + 1 / steps) < 1 - 1e-9:
            ahead = z + v / steps
            v = (v + (best(ahead, end) - ahead) / (1 - end)) / 2
        z = z + v / steps
    return z


@pytest.mark.parametrize(("solver", "calls"), [("euler", 1), ("heun", 3)])
@pytest.mark.parametrize("steps", [3, 20])
def test_the_scan_equals_a_loop_and_holds_the_network_as_often_for_any_number_of_steps(
    solver, calls, steps
):
    traced = []

    def denoise(z, t):
        traced.append(t)
        return best(z, t)

    noise = jnp.array([-2.0, -0.5, 0.0, 1.5])
    run = jax.jit(lambda z: samplers.sample(denoise, z, steps=steps, solver=solver))
    np.testing.assert_allclose(run(noise), loop(noise, steps, solver), rtol=1e-5, atol=1e-5)
    assert len(traced) == calls
