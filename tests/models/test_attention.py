import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental.pallas.ops.tpu import splash_attention

from vision_banana.models import attention, generator, precision
from vision_banana.models.attention import KeysValues
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
        logits = keys @ q[place] / np.sqrt(q.shape[-1])
        weights = np.exp(logits - logits.max())
        out[place] = weights @ values / weights.sum()
    return out


def one_stream(q, k, v, mask, *rest):
    return attention.attend(q, [KeysValues(k, v)], mask, *rest)


def several_streams(**sizes):
    """Queries, three streams, the middle one shared along the second axis, a mask and the truth."""
    q, k, v, mask = inputs(keys=12, **sizes)
    shared = (slice(None), slice(None), slice(None), slice(4, 9))
    k, v = (x.at[shared].set(x[:, :1, :, 4:9]) for x in (k, v))
    streams = [
        KeysValues(k[..., :4, :], v[..., :4, :]),
        KeysValues(k[:, 0, :, 4:9], v[:, 0, :, 4:9]),
        KeysValues(k[..., 9:, :], v[..., 9:, :]),
    ]
    return q, streams, mask, by_hand(q, k, v, mask)


def test_xla_is_masked_softmax_attention():
    args = inputs()
    np.testing.assert_allclose(one_stream(*args, F32), by_hand(*args), atol=1e-5)


def test_streams_are_attended_to_together_and_one_may_be_shared():
    *args, truth = several_streams()
    np.testing.assert_allclose(attention.attend(*args, F32), truth, atol=1e-5)


@pytest.mark.parametrize("activations", ["float32", "bfloat16"])
def test_bfloat16_products_of_streams_run_on_a_cpu(activations):
    # XLA's CPU refuses bfloat16 in products of unusual forms; so a processor with them would fail.
    numbers = precision.Precision(jnp.dtype(activations), jnp.dtype("bfloat16"))
    q, streams, mask, truth = several_streams()
    q, streams = jax.tree.map(lambda x: x.astype(activations), (q, streams))
    attend = jax.jit(lambda q, streams: attention.attend(q, streams, mask, numbers))
    mixed, back = jax.vjp(attend, q, streams)
    np.testing.assert_allclose(mixed.astype(jnp.float32), truth, atol=0.03)
    assert all(jnp.isfinite(x).all() for x in jax.tree.leaves(back(jnp.ones_like(mixed))))


def test_logits_of_any_size_give_finite_weights():
    q, k, v, mask = inputs()
    k = 400 * k
    streams = [KeysValues(k[..., i : i + 4, :], v[..., i : i + 4, :]) for i in (0, 4)]
    mixed, back = jax.vjp(lambda q: attention.attend(q, streams, mask, F32), q)
    np.testing.assert_allclose(mixed, by_hand(q, k, v, mask), atol=1e-3)
    assert np.isfinite(back(jnp.ones_like(mixed))[0]).all()


def test_splash_gives_what_xla_gives(monkeypatch):
    # The kernel runs on a TPU alone; Pallas interprets it here, lengths padded to 128.
    interpreted = functools.partial(splash_attention.make_splash_mha, interpret=True)
    monkeypatch.setattr(splash_attention, "make_splash_mha", interpreted)
    args = inputs(tokens=20, keys=30, heads=1, channels=128, lead=(2,))
    got = one_stream(*args, F32, "splash")
    np.testing.assert_allclose(got, by_hand(*args), atol=0.02)  # bfloat16 inputs
    *args, truth = several_streams(heads=1, channels=128)
    np.testing.assert_allclose(attention.attend(*args, F32, "splash"), truth, atol=0.02)


def test_cudnn_gets_the_same_problem(monkeypatch):
    # cuDNN's kernel runs on a GPU alone; the same JAX function computes it by another route here.
    seen = {}
    original = jax.nn.dot_product_attention

    def elsewhere(q, k, v, mask, implementation):
        seen["implementation"] = implementation
        # Its checks (jax/_src/cudnn): one mask for each query, even lengths where there is one.
        assert mask.shape[2:] == (q.shape[1], k.shape[1]) == (6, 8) or mask.shape[3] == 12
        return original(q, k, v, mask=mask, implementation="xla")

    monkeypatch.setattr(jax.nn, "dot_product_attention", elsewhere)
    args = inputs()
    got = one_stream(*args, F32, "cudnn")
    assert seen["implementation"] == "cudnn"
    np.testing.assert_allclose(got, by_hand(*args), atol=0.02)
    *args, truth = several_streams()
    np.testing.assert_allclose(attention.attend(*args, F32, "cudnn"), truth, atol=0.02)


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
