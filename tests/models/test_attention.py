import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental.pallas.ops.tpu import splash_attention

from vision_banana.models import attention, generator, precision
from vision_banana.models.generator import Generator

F32 = precision.choose("float32", "cpu")


def inputs(tokens=5, keys=7, heads=2, channels=8, lead=(2, 3)):
    rng = np.random.default_rng(0)

    def draw(length):
        return jnp.asarray(rng.normal(size=(*lead, heads, length, channels)), jnp.float32)

    mask = rng.random((*lead, keys)) < 0.6
    mask[..., 0] = True
    return draw(tokens), draw(keys), draw(keys), jnp.asarray(mask)


def by_hand(q, k, v, mask):
    """One head and one query at a time, in NumPy."""
    q, k, v, mask = (np.asarray(x, np.float64) for x in (q, k, v, mask))
    out = np.zeros_like(q)
    for place in np.ndindex(q.shape[:-1]):
        *lead, head, _ = place
        seen = np.flatnonzero(mask[tuple(lead)])
        keys, values = (x[(*lead, head)][seen] for x in (k, v))
        weights = np.exp(keys @ q[place] / np.sqrt(q.shape[-1]))
        out[place] = weights @ values / weights.sum()
    return out


def test_xla_is_masked_softmax_attention():
    args = inputs()
    np.testing.assert_allclose(attention.attend(*args, F32), by_hand(*args), atol=1e-5)


def test_splash_gives_what_xla_gives(monkeypatch):
    # The kernel runs on a TPU alone; Pallas interprets it here, lengths padded to 128.
    interpreted = functools.partial(splash_attention.make_splash_mha, interpret=True)
    monkeypatch.setattr(splash_attention, "make_splash_mha", interpreted)
    args = inputs(tokens=20, keys=30, heads=1, channels=128, lead=(2,))
    got = attention.attend(*args, F32, "splash")
    np.testing.assert_allclose(got, by_hand(*args), atol=0.02)  # bfloat16 inputs


def test_cudnn_gets_the_same_problem(monkeypatch):
    # cuDNN's kernel runs on a GPU alone; the same JAX function computes it by another route here.
    seen = {}
    original = jax.nn.dot_product_attention

    def elsewhere(*args, implementation, **kwargs):
        seen["implementation"] = implementation
        return original(*args, implementation="xla", **kwargs)

    monkeypatch.setattr(jax.nn, "dot_product_attention", elsewhere)
    args = inputs()
    got = attention.attend(*args, F32, "cudnn")
    assert seen["implementation"] == "cudnn"
    np.testing.assert_allclose(got, by_hand(*args), atol=0.02)


@pytest.mark.parametrize(
    ("fields", "match"),
    [
        (dict(attention_kernel="flash", processor="tpu"), "choose one of xla, cudnn, splash"),
        (dict(attention_kernel="splash", processor="gpu"), "runs on tpu, not on gpu"),
        (dict(attention_kernel="cudnn", processor="cpu"), "runs on gpu, not on cpu"),
        (dict(attention_kernel="cudnn", processor="gpu", dtype="float32"), "takes bfloat16"),
        (dict(remat="some"), "model.remat is 'some'; choose one of none, full, dots"),
    ],
)
def test_an_impossible_choice_is_an_error(fields, match):
    with pytest.raises(ValueError, match=match):
        Generator(size="nano", **fields)


def test_weights_of_another_machine_run_on_this_one():
    saved = dict(size="nano", text_length=6, remat="full", attention_kernel="splash")
    assert generator.from_config(saved, "tpu") == Generator(
        size="nano", text_length=6, processor="tpu", attention_kernel="splash"
    )
    ours = Generator(size="nano", text_length=6, processor="cpu")
    assert generator.from_config(saved, "cpu") == ours
    # Older weights tell no kernel, and whether blocks were computed again as true or false.
    assert generator.from_config(dict(size="nano", text_length=6, remat=False), "cpu") == ours
    assert generator.from_config(saved | {"attention_kernel": "gone"}, "cpu") == ours
    with pytest.raises(TypeError, match="layers"):
        generator.from_config(saved | {"layers": 3}, "cpu")
