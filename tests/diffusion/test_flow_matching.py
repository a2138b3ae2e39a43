import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from vision_banana.diffusion import flow_matching
from vision_banana.diffusion.flow_matching import TimeSampling


def test_path_runs_from_noise_to_data():
    x, noise = jnp.full((2, 4, 4, 3), 3.0), jnp.full((2, 4, 4, 3), -1.0)
    z = flow_matching.interpolate(x, noise, jnp.array([0.0, 1.0]))
    np.testing.assert_array_equal(z[0], noise[0])
    np.testing.assert_array_equal(z[1], x[1])
    z = flow_matching.interpolate(x, noise, jnp.array([0.25, 0.25]))
    np.testing.assert_allclose(z, 0.25 * 3 + 0.75 * -1)


def test_times_are_logit_normal():
    t = TimeSampling(mean=-0.8, std=0.8).draw(jax.random.key(0), jnp.ones(20000, bool))
    logit = np.log(t) - np.log1p(-t)
    assert stats.kstest((logit + 0.8) / 0.8, "norm").pvalue > 0.01
    assert t.min() > 0 and t.max() < 1


def test_noise_share_sets_times_to_zero_where_a_reference_is_seen():
    sees = jnp.arange(40000) % 2 == 0
    t = np.asarray(TimeSampling(noise_share=0.25).draw(jax.random.key(0), sees))
    assert np.mean(t[::2] == 0) == pytest.approx(0.25, abs=0.01)
    assert (t[1::2] > 0).all()


def test_shift_by_hand():
    # Noise level 1 - t = 1/2 with s = 3: 3/2 / (1 + 2/2) = 3/4.
    np.testing.assert_allclose(flow_matching.shift_time(jnp.array(0.5), 3.0), 0.25)
    np.testing.assert_allclose(flow_matching.shift_time(jnp.array([0.0, 1.0]), 3.0), [0, 1])
    np.testing.assert_allclose(flow_matching.shift_time(jnp.array(0.3), 1.0), 0.3)


def test_loss_by_hand():
    predicted = jnp.zeros((1, 2, 2, 3)).at[0, 0, 0].set(1.0)
    truth = jnp.zeros((1, 2, 2, 3))
    weight = jnp.ones((1, 2, 2))
    # One of four pixels is off by 1 in each channel; 1 / (1 - 0.5)^2 = 4.
    loss = flow_matching.velocity_loss(predicted, truth, jnp.array([0.5]), weight)
    np.testing.assert_allclose(loss, [1 / 4 * 4])
    # Unknown pixels leave both the sum and the count.
    some = weight.at[0, 1].set(0.0)
    loss = flow_matching.velocity_loss(predicted, truth, jnp.array([0.5]), some)
    np.testing.assert_allclose(loss, [1 / 2 * 4])
    none = flow_matching.velocity_loss(predicted, truth, jnp.array([0.5]), 0 * weight)
    np.testing.assert_array_equal(none, [0.0])


def test_loss_is_the_squared_velocity_error_and_is_clipped_near_data():
    keys = jax.random.split(jax.random.key(0), 3)
    x, noise, guess = (jax.random.normal(k, (2, 4, 4, 3)) for k in keys)
    t = jnp.array([0.0, 0.6])
    z = flow_matching.interpolate(x, noise, t)
    v_guess = (guess - z) / (1 - t[:, None, None, None])
    expected = jnp.mean(jnp.square(v_guess - (x - noise)), axis=(1, 2, 3))
    loss = flow_matching.velocity_loss(guess, x, t, jnp.ones((2, 4, 4)))
    np.testing.assert_allclose(loss, expected, rtol=1e-5)
    late = flow_matching.velocity_loss(x + 1, x, jnp.array([0.99, 1.0]), jnp.ones((2, 4, 4)))
    np.testing.assert_allclose(late, 1 / 0.05**2, rtol=1e-5)


def test_bad_settings_are_named():
    with pytest.raises(ValueError, match="noise_share=2"):
        TimeSampling(noise_share=2)
