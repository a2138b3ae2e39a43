import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vision_banana.models import precision


def test_formats_follow_the_processor(monkeypatch):
    f32, bf16 = jnp.dtype(jnp.float32), jnp.dtype(jnp.bfloat16)
    assert precision.choose("bfloat16", "tpu") == (bf16, bf16)
    assert precision.choose("bfloat16", "gpu") == (bf16, bf16)
    assert precision.choose("float32", "tpu") == (f32, f32)
    monkeypatch.setattr(precision, "_cpu_has_bfloat16", lambda: True)
    assert precision.choose("bfloat16", "cpu") == (f32, bf16)
    monkeypatch.setattr(precision, "_cpu_has_bfloat16", lambda: False)
    assert precision.choose("bfloat16", "cpu") == (f32, f32)


@pytest.mark.parametrize("spec", ["gtd,df->gtf", "gntk,gnsk->gnts", "gntk,nkx->gtx"])
def test_gradients_are_those_of_a_plain_product(spec):
    sizes = {"g": 2, "t": 3, "d": 4, "f": 5, "n": 2, "k": 4, "s": 6, "x": 7}
    inputs, _ = spec.split("->")
    left, right = inputs.split(",")
    a = jax.random.normal(jax.random.key(0), [sizes[c] for c in left])
    b = jax.random.normal(jax.random.key(1), [sizes[c] for c in right])
    f32 = precision.choose("float32", "cpu")

    def ours(a, b):
        return jnp.sum(jnp.sin(precision.einsum(spec, a, b, f32)))

    def plain(a, b):
        return jnp.sum(jnp.sin(jnp.einsum(spec, a, b)))

    for x, y in zip(jax.grad(ours, (0, 1))(a, b), jax.grad(plain, (0, 1))(a, b), strict=True):
        np.testing.assert_allclose(x, y, atol=1e-5)


def test_bfloat16_products_round_their_operands_and_sum_in_float32():
    x = jnp.full((1, 4096), 1 + 2**-9)  # rounds to 1 in bfloat16
    w = jnp.ones((4096, 1))
    mixed = precision.Precision(jnp.dtype(jnp.float32), jnp.dtype(jnp.bfloat16))
    # Summed in bfloat16, the result would stop at 256.
    np.testing.assert_array_equal(precision.einsum("ab,bc->ac", x, w, mixed), [[4096.0]])


def test_a_tpu_program_multiplies_bfloat16_without_float32_activations():
    tpu = precision.choose("bfloat16", "tpu")
    text = (
        jax.jit(lambda a, b: precision.einsum("ab,bc->ac", a, b, tpu))
        .lower(jnp.ones((8, 8), jnp.bfloat16), jnp.ones((8, 8)))
        .as_text()
    )
    assert "tensor<8x8xbf16>, tensor<8x8xbf16>) -> tensor<8x8xbf16>" in text


def test_float32_is_not_rounded_on_accelerators():
    f32 = precision.choose("float32", "gpu")
    product = lambda a, b: precision.einsum("ab,bc->ac", a, b, f32).sum()  # noqa: E731
    lowered = jax.jit(jax.grad(product, (0, 1))).lower(jnp.ones((8, 4)), jnp.ones((4, 8)))
    products = [line for line in lowered.as_text().splitlines() if "dot_general" in line]
    assert products and all("precision = [HIGHEST, HIGHEST]" in line for line in products)
