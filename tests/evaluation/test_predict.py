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
    got = predict.build(model, mesh=mesh, steps=2)(placed, key, batch | {"shape": (16, 16)})
    assert np.std(expected) > 0.1
    np.testing.assert_allclose(got, expected, atol=1e-4)


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
