"""Counts from the dimensions against the products that JAX traces."""

import dataclasses

import jax
import jax.numpy as jnp
import pytest

from vision_banana.models import flops
from vision_banana.models.generator import Generator
from vision_banana.pods import traced_flops

SMALL = Generator(size="nano", vocabulary=40, text_length=6, dtype="float32")


def arrays(batch, side, features=0):
    G, Q, R = batch[:3]
    words = (G, Q, batch.text)
    pixels = side**2 // batch.patches
    return (
        jnp.zeros((G, Q, batch.kept, pixels, 3)),
        jnp.zeros((G, Q)),
        jnp.zeros((*words, features)) if features else jnp.zeros(words, jnp.int32),
        jnp.zeros((G, R, side, side, 3)),
        jnp.ones((G, Q, R), bool),
        jnp.broadcast_to(jnp.arange(batch.kept), (G, Q, batch.kept)),
        (side, side),
    )


def test_a_batch_by_hand():
    # 24 x 16 pixels are 3 x 2 patches of 8; the half of 6 is kept.
    assert flops.batch_of(SMALL, 2, 3, 1, (24, 16), 0.5) == flops.Batch(2, 3, 1, 6, 3, 6)
    assert flops.batch_of(SMALL, 2, 3, 1, (24, 16)).kept == 6


@pytest.mark.parametrize(
    "fields, side, batch",
    [
        (dict(), 32, flops.Batch(2, 3, 1, 16, 16, 6)),
        (dict(), 32, flops.Batch(2, 3, 2, 16, 5, 6)),
        (dict(size="pocket"), 64, flops.Batch(1, 1, 0, 64, 64, 6)),
        (dict(size="B"), 32, flops.Batch(1, 2, 1, 4, 3, 6)),  # a bottleneck
        (dict(attention="full"), 32, flops.Batch(2, 3, 2, 16, 5, 6)),
        (dict(attention="full"), 32, flops.Batch(2, 3, 0, 16, 16, 6)),
        (dict(text_features=12), 32, flops.Batch(2, 3, 1, 16, 16, 6)),
    ],
)
def test_forward_passes_are_counted(fields, side, batch):
    model = dataclasses.replace(SMALL, **fields)
    params = jax.eval_shape(model.init, jax.random.key(0))
    traced = jax.make_jaxpr(model.apply, static_argnums=7)(
        params, *arrays(batch, side, model.text_features)
    )
    assert flops.answer(model, batch, steps=1) == traced_flops.count(traced)


@pytest.mark.parametrize("fields", [dict(), dict(attention="full"), dict(text_features=12)])
def test_gradients_take_two_products_but_one_where_the_input_is_data(fields):
    model, batch = dataclasses.replace(SMALL, **fields), flops.Batch(2, 3, 1, 16, 16, 6)
    params = jax.eval_shape(model.init, jax.random.key(0))

    def loss(params):
        return model.apply(params, *arrays(batch, 32, model.text_features)).sum()

    traced = jax.make_jaxpr(jax.grad(loss))(params)
    inputs = (
        2 * 192 * 64 * 16 * 6 + 2 * 27 * 13 * 32 * 32 * 2 + 2 * 256 * 64 * 6 + 2 * 16 * 64 * 16 * 2
    )
    inputs += 2 * model.text_features * model.dims.text_width * 6 * 6
    counted = sum(flops.train_step(model, batch).values())
    # The gradient's own derivative of a product makes both, whether one is needed or not.
    assert counted + inputs == traced_flops.count(traced)


def test_more_steps_repeat_the_targets_alone():
    batch = flops.Batch(2, 3, 1, 16, 16, 6)
    once, each = (sum(f(SMALL, batch).values()) for f in (flops.encode, flops.denoise))
    assert flops.answer(SMALL, batch, 20) == once + 20 * each
    assert flops.answer(SMALL, batch, 20, passes=20) == 20 * (once + each)
