"""Counts from the dimensions against the products that JAX traces."""

import dataclasses
import math

import jax
import jax.numpy as jnp
import pytest

from vision_banana.models import flops
from vision_banana.models.generator import Generator

SMALL = Generator(size="nano", vocabulary=40, text_length=6, dtype="float32")


def products(jaxpr):
    """Operations of all matrix products of a jaxpr, loops times their lengths."""
    total = 0
    for equation in jaxpr.eqns:
        times = equation.params["length"] if equation.primitive.name == "scan" else 1
        if equation.primitive.name == "dot_general":
            (contracted, _), _ = equation.params["dimension_numbers"]
            shape = equation.invars[0].aval.shape
            out = math.prod(equation.outvars[0].aval.shape)
            total += 2 * out * math.prod(shape[i] for i in contracted)
        inner = [p for p in equation.params.values() if hasattr(p, "eqns") or hasattr(p, "jaxpr")]
        for sub in inner[:1]:
            total += times * products(getattr(sub, "jaxpr", sub))
    return total


def arrays(batch, side):
    G, Q, R = batch[:3]
    return (
        jnp.zeros((G, Q, side, side, 3)),
        jnp.zeros((G, Q)),
        jnp.zeros((G, Q, batch.text), jnp.int32),
        jnp.zeros((G, R, side, side, 3)),
        jnp.ones((G, Q, R), bool),
        jnp.arange(batch.kept),
    )


@pytest.mark.parametrize(
    "size, side, batch",
    [
        ("nano", 32, flops.Batch(2, 3, 1, 16, 16, 6)),
        ("nano", 32, flops.Batch(2, 3, 2, 16, 5, 6)),
        ("pocket", 64, flops.Batch(1, 1, 0, 64, 64, 6)),
        ("B", 32, flops.Batch(1, 2, 1, 4, 3, 6)),  # a bottleneck
    ],
)
def test_forward_passes_are_counted(size, side, batch):
    model = dataclasses.replace(SMALL, size=size)
    params = jax.eval_shape(model.init, jax.random.key(0))
    traced = jax.make_jaxpr(model.apply)(params, *arrays(batch, side))
    assert flops.answer(model, batch, steps=1) == products(traced.jaxpr)


def test_gradients_take_two_products_but_one_where_the_input_is_data():
    batch = flops.Batch(2, 3, 1, 16, 16, 6)
    params = jax.eval_shape(SMALL.init, jax.random.key(0))

    def loss(params):
        return SMALL.apply(params, *arrays(batch, 32)).sum()

    traced = jax.make_jaxpr(jax.grad(loss))(params)
    inputs = 2 * 192 * 64 * 16 * (6 + 2) + 2 * 256 * 64 * 6 + 2 * 16 * 64 * 16 * 2
    counted = sum(flops.train_step(SMALL, batch).values())
    # The gradient's own derivative of a product makes both, whether one is needed or not.
    assert counted + inputs == products(traced.jaxpr)


def test_more_steps_repeat_the_targets_alone():
    batch = flops.Batch(2, 3, 1, 16, 16, 6)
    once, each = (sum(f(SMALL, batch).values()) for f in (flops.encode, flops.denoise))
    assert flops.answer(SMALL, batch, 20) == once + 20 * each
    assert flops.answer(SMALL, batch, 20, passes=20) == 20 * (once + each)


def test_full_attention_is_not_counted():
    full = dataclasses.replace(SMALL, attention="full")
    with pytest.raises(ValueError, match="prefix"):
        flops.encode(full, flops.Batch(1, 1, 0, 16, 16, 6))
