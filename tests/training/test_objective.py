import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from random_batch import batch

from vision_banana.diffusion.flow_matching import TimeSampling
from vision_banana.models.generator import Generator
from vision_banana.training import objective

MODEL = Generator(size="nano", dtype="float32", vocabulary=50, text_length=6)


def test_unknown_pixels_and_hidden_references_teach_nothing():
    settings = objective.Objective(TimeSampling(noise_share=0.2))
    params, key = jax.jit(MODEL.init)(jax.random.key(0)), jax.random.key(1)
    params["ends"]["out"] += 0.1
    loss = jax.jit(
        lambda data: objective.loss_fn(
            params, objective.noised(data, key, MODEL, settings), MODEL, settings
        )[1]
    )
    one = {k: jnp.asarray(v) for k, v in batch().items()}
    unknown = one | {"weight": one["weight"] * 0}
    np.testing.assert_array_equal(loss(unknown), 0.0)
    hidden = one | {"reference_mask": one["reference_mask"] & False}
    other = hidden | {"references": 1 - one["references"]}
    np.testing.assert_array_equal(loss(hidden), loss(other))
    assert jnp.abs(loss(one) - loss(one | {"references": 1 - one["references"]})).max() > 1e-6


def test_conditions_are_hidden_as_often_as_asked():
    data = batch(groups=500)
    data["tokens"], data["reference_mask"] = data["tokens"] * 0 + 7, data["reference_mask"] | True
    for text, references in ((0.0, 1.0), (1.0, 0.0), (0.3, 0.6)):
        settings = objective.Objective(TimeSampling(), drop_text=text, drop_references=references)
        seen = objective.noised(data, jax.random.key(3), MODEL, settings)
        hidden = np.asarray(seen["tokens"]) == 0
        assert (hidden.all(-1) == hidden.any(-1)).all()
        assert abs(hidden.mean() - text) < 0.05
        assert abs(np.mean(~np.asarray(seen["reference_mask"])) - references) < 0.05


def test_only_kept_patches_count_in_the_loss():
    params = jax.jit(MODEL.init)(jax.random.key(0))  # predicts 0 everywhere
    data = {k: jnp.asarray(v) for k, v in batch(groups=4, size=32).items()}
    data["weight"] = jnp.ones_like(data["weight"])
    settings = objective.Objective(TimeSampling(noise_share=1.0), kept_share=0.25)
    data["reference_mask"] = jnp.ones_like(data["reference_mask"])
    settings = dataclasses.replace(settings, drop_references=0.0)
    key = jax.random.key(3)
    seen = objective.noised(data, key, MODEL, settings)
    kept = np.asarray(seen["kept"])
    assert kept.shape == (4, 2, 4)
    loss = jax.jit(lambda seen: objective.loss_fn(params, seen, MODEL, settings, (32, 32))[1])
    losses = loss(seen)
    squares = np.square(np.asarray(data["target"]) * 2 - 1).mean(-1)
    by_patch = squares.reshape(4, 2, 4, 8, 4, 8).mean((3, 5)).reshape(4, 2, 16)
    of_query = np.take_along_axis(by_patch, kept, 2).mean(-1)
    np.testing.assert_allclose(losses, of_query, rtol=1e-5)


def test_patches_are_kept_by_their_weights_and_then_count_alike():
    """The mean loss over many draws of one patch is the weighted mean of all."""
    values = np.arange(4.0)  # one for each patch of 8 x 8
    picture = np.repeat(np.repeat(values.reshape(2, 2), 8, 0), 8, 1)
    weight = np.repeat(np.repeat([[1.0, 6.0], [3.0, 0.0]], 8, 0), 8, 1)
    groups = 2000
    data = {k: jnp.asarray(v) for k, v in batch(groups=groups, size=16).items()}
    whole = jnp.broadcast_to(jnp.sqrt(picture), (groups, 2, 16, 16))
    data["target"] = (jnp.stack([whole] * 3, -1) + 1) / 2
    data["weight"] = jnp.broadcast_to(jnp.asarray(weight, jnp.float32), whole.shape)
    settings = objective.Objective(TimeSampling(noise_share=1.0), kept_share=0.25)
    seen = objective.noised(data, jax.random.key(3), MODEL, settings)
    shares = np.bincount(np.asarray(seen["kept"]).ravel(), minlength=4) / (2 * groups)
    np.testing.assert_allclose(shares, [0.1, 0.6, 0.3, 0.0], atol=0.03)
    np.testing.assert_allclose(seen["weight"], 1.0, rtol=1e-5)
    x = np.square(np.asarray(seen["x"])).mean((2, 3, 4))
    np.testing.assert_allclose(x.mean(), (6 * 1 + 3 * 2) / 10, atol=0.05)


def test_a_target_that_does_not_divide_into_patches_is_refused():
    settings = objective.Objective(TimeSampling(noise_share=0.2))
    settings = dataclasses.replace(settings, kept_share=0.5)
    with pytest.raises(ValueError, match="12 x 12 does not divide into patches of 8"):
        objective.noised(batch(groups=1, size=12), jax.random.key(0), MODEL, settings)


@pytest.mark.parametrize(
    "field", [{"kept_share": 25.0}, {"kept_share": 0.0}, {"drop_text": 1.5}, {"ema_decay": -0.1}]
)
def test_impossible_settings_are_errors(field):
    with pytest.raises(ValueError, match=f"config.objective.{next(iter(field))} is"):
        objective.Objective(TimeSampling(), **field)
