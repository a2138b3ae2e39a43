import jax
import numpy as np

from vision_banana.evaluation import predict
from vision_banana.models.generator import Generator
from vision_banana.training import sharding


def test_a_sharded_sampler_draws_what_one_device_draws(monkeypatch):
    monkeypatch.setattr(sharding, "SMALLEST_SHARDED", 1)  # the nano size's arrays are small
    model = Generator(size="nano", dtype="float32", vocabulary=50, text_length=6, processor="gpu")
    rng = np.random.default_rng(0)
    shapes = jax.eval_shape(model.init, jax.random.key(0))
    params = jax.tree.map(lambda x: 0.1 * rng.normal(size=x.shape).astype(np.float32), shapes)
    batch = {
        "tokens": rng.integers(0, 50, (3, 2, 6)).astype(np.int32),
        "references": rng.random((3, 1, 16, 16, 3), np.float32),
        "reference_mask": np.ones((3, 2, 1), bool),
    }
    # Over four devices a batch of three groups is filled up with a copy of the first.
    filled = [np.concatenate([x, x[:1]]) for x in batch.values()]
    key = jax.random.key(2)
    expected = predict.jit_draw(model, steps=2)(params, key, *filled, (16, 16))[:3]
    mesh = sharding.make_mesh({"replica": 1, "fsdp": 4, "tensor": 2})
    placed = jax.device_put(params, sharding.tree_shardings(params, mesh))
    got = predict.build(model, steps=2)(placed, key, batch | {"shape": (16, 16)})
    assert np.std(expected) > 0.1
    np.testing.assert_allclose(got, expected, atol=1e-4)


def test_guidance_looks_at_the_references_once(monkeypatch):
    model = Generator(size="nano", dtype="float32", vocabulary=50, text_length=6, processor="gpu")
    rng = np.random.default_rng(0)
    shapes = jax.eval_shape(model.init, jax.random.key(0))
    params = jax.tree.map(lambda x: 0.1 * rng.normal(size=x.shape).astype(np.float32), shapes)
    tokens = rng.integers(1, 50, (1, 2, 6)).astype(np.int32)
    references, mask = rng.random((1, 1, 16, 16, 3), np.float32), np.ones((1, 2, 1), bool)
    key = jax.random.key(2)

    def ask(tokens, mask, **sampling):
        return np.asarray(
            predict.jit_draw(model, **sampling)(params, key, tokens, references, mask, (16, 16))
        )

    encoded = []
    real = Generator.encode
    monkeypatch.setattr(
        Generator, "encode", lambda *args: encoded.append(args[2].shape) or real(*args)
    )
    got = ask(tokens, mask, text_guidance=1.5, reference_guidance=0.5)
    assert encoded == [(1, 6, 6)]  # two queries under three conditions
    # One step is linear in the predictions, where none is clipped.
    parts = [ask(tokens, mask), ask(0 * tokens, mask), ask(0 * tokens, ~mask)]
    expected = 1.5 * parts[0] - 1.0 * parts[1] + 0.5 * parts[2]
    inside = np.all([(p > 0) & (p < 1) for p in parts], 0) & (expected > 0) & (expected < 1)
    assert inside.mean() > 0.2 and np.abs(parts[0] - parts[1]).max() > 0.01
    np.testing.assert_allclose(got[inside], expected[inside], atol=1e-4)


def test_a_second_look_is_not_compiled_for_anew():
    model = Generator(size="nano", vocabulary=50, text_length=6)
    assert predict.jit_draw(model, steps=2) is predict.jit_draw(model, steps=2)


def test_weights_and_pictures_are_spread_over_the_devices(monkeypatch):
    monkeypatch.setattr(sharding, "SMALLEST_SHARDED", 1)
    model = Generator(size="nano", vocabulary=50, text_length=6, processor="gpu")
    mesh = sharding.make_mesh({"replica": 2, "fsdp": 2, "tensor": 2})
    shapes = jax.eval_shape(model.init, jax.random.key(0))
    seen = [
        jax.ShapeDtypeStruct((8, 2, 6), np.int32),
        jax.ShapeDtypeStruct((8, 0, 16, 16, 3), np.float32),
        jax.ShapeDtypeStruct((8, 2, 0), bool),
    ]
    with jax.set_mesh(mesh):
        key = jax.eval_shape(lambda: jax.random.key(0))
        text = predict.jit_draw(model, mesh).lower(shapes, key, *seen, (16, 16)).as_text()
    rows = '[{"replica", "fsdp"}'
    assert text.count(f"sharding<@mesh, {rows}, {{}}, {{}}]>") >= 1  # tokens
    assert f"{rows}, {{}}, {{}}, {{}}, {{}}]>" in text  # pictures
    assert 'sharding<@mesh, [{}, {"fsdp"}, {"tensor"}]>' in text  # the gate of the blocks
