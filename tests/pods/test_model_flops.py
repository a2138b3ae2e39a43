import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vision_banana.models.generator import Generator
from vision_banana.pods import model_flops


def test_traced_products_by_hand():
    def f(x, w):
        body = lambda c, w: (jax.checkpoint(jnp.dot)(c, w), None)  # noqa: E731
        return jax.lax.scan(body, x, w)[0]

    x, w = jnp.zeros((3, 4)), jnp.zeros((5, 4, 4))
    assert model_flops.traced(jax.make_jaxpr(f)(x, w)) == 5 * 2 * 3 * 4 * 4


def test_a_loop_without_a_known_number_of_trips_is_an_error():
    f = lambda x: jax.lax.while_loop(lambda c: c[0, 0] < 1, lambda c: c @ c, x)  # noqa: E731
    with pytest.raises(ValueError, match="inside while"):
        model_flops.traced(jax.make_jaxpr(f)(jnp.zeros((2, 2))))


@pytest.mark.parametrize("attention", ["prefix", "full"])
@pytest.mark.parametrize("references", [0, 1, 2])
@pytest.mark.parametrize(("size", "features"), [("tiny", 0), ("B", 40)])
def test_the_architectures_count_is_that_of_the_traced_model(attention, references, size, features):
    model = Generator(
        size=size, attention=attention, text_length=6, text_features=features, processor="gpu"
    )
    g, q, side = 2, 3, 4 * model.dims.patch
    tokens = np.zeros((g, q, 6, features), np.float32) if features else np.zeros((g, q, 6), int)
    traced = jax.make_jaxpr(model.apply)(
        jax.eval_shape(model.init, jax.random.key(0)),
        np.zeros((g, q, side, side, 3), np.float32),
        np.zeros((g, q), np.float32),
        tokens,
        np.zeros((g, references, side, side, 3), np.float32),
        np.zeros((g, q, references), bool),
    )
    parts = model_flops.forward(model, groups=g, queries=q, references=references, size=side)
    np.testing.assert_allclose(sum(parts.values()), model_flops.traced(traced), rtol=1e-6)
