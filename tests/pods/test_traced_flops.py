import jax
import jax.numpy as jnp
import pytest

from vision_banana.pods import traced_flops


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
