import jax
import jax.numpy as jnp
import pytest

from vision_banana.models import attention, precision
from vision_banana.pods import traced_flops
from vision_banana.training import sharding


def test_traced_products_by_hand():
    def f(x, w):
        body = lambda c, w: (jax.checkpoint(jnp.dot)(c, w), None)  # noqa: E731
        return jax.lax.scan(body, x, w)[0]

    x, w = jnp.zeros((3, 4)), jnp.zeros((5, 4, 4))
    assert traced_flops.count(jax.make_jaxpr(f)(x, w)) == 5 * 2 * 3 * 4 * 4


def test_a_loop_without_a_known_number_of_trips_is_an_error():
    f = lambda x: jax.lax.while_loop(lambda c: c[0, 0] < 1, lambda c: c @ c, x)  # noqa: E731
    with pytest.raises(ValueError, match="inside while"):
        traced_flops.count(jax.make_jaxpr(f)(jnp.zeros((2, 2))))


def test_a_kernel_counts_for_every_block_and_every_device():
    # Two of T x S x K forward, seven backward (its two kernels make the logits and the weights'
    # derivatives anew), and one of T x K. 100 and 140 tokens are padded to 128 and 256.
    rows = (8, 2, 1)
    q = jax.ShapeDtypeStruct((*rows, 100, 128), jnp.bfloat16)
    kv = jax.ShapeDtypeStruct((*rows, 140, 128), jnp.bfloat16)
    mask = jax.ShapeDtypeStruct((8, 2, 140), jnp.bool_)
    numbers = precision.choose("bfloat16", "tpu")

    def loss(q, k, v, mask):
        mixed = attention.attend(q, [attention.KeysValues(k, v)], mask, numbers, "splash")
        return jnp.sum(mixed.astype(jnp.float32))

    product = 2 * 8 * 2 * 128 * 256 * 128
    mesh = sharding.make_mesh({"replica": 2, "fsdp": 4, "tensor": 1})
    for program, operations in (
        (loss, 2 * product),
        (jax.grad(loss, (0, 1, 2)), 9 * product + 2 * 8 * 2 * 128 * 128),
    ):
        traced = jax.jit(program).trace(q, kv, kv, mask)
        assert traced_flops.count(traced.jaxpr) == operations
        with jax.set_mesh(mesh):
            divided = jax.jit(program).trace(q, kv, kv, mask)
        assert "shard_map" in str(divided.jaxpr)
        assert traced_flops.count(divided.jaxpr) == operations
