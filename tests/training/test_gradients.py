import dataclasses
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vision_banana.diffusion.flow_matching import TimeSampling
from vision_banana.models import precision
from vision_banana.models.generator import Generator
from vision_banana.pods import traced_flops
from vision_banana.training import gradients, objective, sharding, train_state, train_step
from vision_banana.training.optimizer import Optimizer
from vision_banana.training.run import Run

# As for an accelerator, blocks stay a loop, which compiles faster.
MODEL = Generator(size="nano", dtype="float32", vocabulary=50, text_length=6, processor="gpu")
OBJECTIVE = objective.Objective(TimeSampling(), kept_share=0.5)
SIZE = 16
ONE = (1, 1, 1)
LAYOUTS = [
    shape for shape in itertools.product((1, 2, 4, 8), repeat=3) if np.prod(shape) in (2, 4, 8)
]


def batch(groups=8, queries=1, references=1, size=SIZE):
    rng = np.random.default_rng(0)
    lead = (groups, queries)
    return {
        "target": rng.random((*lead, size, size, 3), np.float32),
        "weight": np.ones((*lead, size, size), np.float32),
        "tokens": rng.integers(0, 50, (*lead, 6)).astype(np.int32),
        "task": np.zeros(lead, np.int32),
        "references": rng.random((groups, references, size, size, 3), np.float32),
        "reference_mask": np.ones((*lead, references), bool),
    }


def weights(model):
    """Weights whose zeros are filled, so that every weight has a gradient."""
    rng = np.random.default_rng(1)
    shapes = jax.eval_shape(model.init, jax.random.key(0))
    return jax.tree.map(lambda x: 0.1 * rng.normal(size=x.shape).astype(np.float32), shapes)


def loss_and_gradients(layout=ONE, micro_batches=1, model=MODEL, references=1):
    sizes = dict(zip(sharding.AXES, layout, strict=True))
    mesh = sharding.make_mesh(sizes, jax.devices()[: np.prod(layout)])
    params = weights(model)
    layouts = sharding.tree_shardings(params, mesh)
    params = jax.device_put(params, layouts)

    def run(params, data):
        seen = objective.noised(data, jax.random.key(3), model, OBJECTIVE)
        loss_of = lambda p, s: objective.loss_fn(  # noqa: E731
            p, s, model, OBJECTIVE, (SIZE, SIZE)
        )
        return gradients.accumulate(loss_of, params, seen, micro_batches)

    with jax.set_mesh(mesh):
        jitted = jax.jit(run, out_shardings=(None, None, layouts))
        return jitted(params, sharding.to_devices(batch(references=references), mesh))


@pytest.fixture(scope="module")
def whole():
    return loss_and_gradients()


def assert_close(got, expected, tolerance=5e-4):
    """Equal up to a share of each array's largest magnitude: sums run in another order."""
    leaves = jax.tree_util.tree_leaves_with_path(got)
    for (path, a), b in zip(leaves, jax.tree.leaves(expected), strict=True):
        largest = np.abs(b).max()
        assert largest > 0, jax.tree_util.keystr(path)
        np.testing.assert_allclose(
            a, b, rtol=0, atol=tolerance * largest, err_msg=jax.tree_util.keystr(path)
        )


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_gives_the_loss_and_gradients_of_one_device(monkeypatch, whole, layout):
    monkeypatch.setattr(sharding, "SMALLEST_SHARDED", 1)  # the nano size's arrays are small
    got = loss_and_gradients(layout)
    if layout[1] * layout[2] > 1:
        gate = got[2]["blocks"]["mlp"]["gate"]
        assert gate.size > np.prod(gate.sharding.shard_shape(gate.shape))
    assert_close(got, whole)


@pytest.mark.parametrize(("layout", "parts"), [(ONE, 2), (ONE, 8), ((1, 2, 1), 4)])
def test_accumulated_gradients_are_those_of_the_whole_batch(whole, layout, parts):
    assert_close(loss_and_gradients(layout, parts), whole)


def test_gradients_are_accumulated_without_references_too():
    whole, parts = (loss_and_gradients(micro_batches=n, references=0) for n in (1, 2))
    np.testing.assert_allclose(parts[0], whole[0], rtol=1e-5)
    pairs = zip(jax.tree.leaves(parts[2]), jax.tree.leaves(whole[2]), strict=True)
    assert all(np.abs(a - b).max() <= 5e-4 * np.abs(b).max() for a, b in pairs)


def test_accumulation_by_hand():
    # loss_g = (w x_g)^2: mean 4 (1 + 4 + 9 + 16) / 4 = 30, derivative 2 w mean(x^2) = 30.
    loss_of = lambda w, d: (jnp.mean((w * d["x"]) ** 2), (w * d["x"]) ** 2)  # noqa: E731
    data = {"x": jnp.array([1.0, 2.0, 3.0, 4.0])}
    loss, losses, grad = gradients.accumulate(loss_of, jnp.float32(2.0), data, 2)
    assert float(loss) == 30.0 and float(grad) == 30.0
    np.testing.assert_array_equal(losses, [4.0, 16.0, 36.0, 64.0])  # in the batch's order


def step_flops(model):
    """Operations of loss and gradients, from the trace."""
    params = jax.eval_shape(model.init, jax.random.key(0))

    def run(params, data):
        seen = objective.noised(data, jax.random.key(3), model, OBJECTIVE)
        size = (SIZE, SIZE)
        return jax.grad(lambda p: objective.loss_fn(p, seen, model, OBJECTIVE, size)[0])(params)

    return traced_flops.count(jax.make_jaxpr(run)(params, batch()))


def test_remat_changes_what_is_computed_again_and_nothing_else(whole):
    again = {}
    for name in ("none", "dots", "full"):
        model = dataclasses.replace(MODEL, remat=name)
        again[name] = step_flops(model)
        if name != "none":
            assert_close(loss_and_gradients(model=model), whole)
    assert again["none"] < again["dots"] < again["full"]


def test_bfloat16_multiplies_in_bfloat16_and_keeps_weights_in_float32(whole):
    model = dataclasses.replace(MODEL, dtype="bfloat16", processor="tpu")
    mesh = sharding.make_mesh(dict.fromkeys(sharding.AXES, 1), jax.devices()[:1])
    built = Run(model, mesh, Optimizer().build(), Optimizer().schedule(10), OBJECTIVE, seed=0)
    state = train_state.abstract_state(model, built.optimizer, mesh)
    with jax.set_mesh(mesh):
        traced = train_step.jit_step(built).trace(state, batch(), built.seed, built.schedule)
    dtypes = {v.aval.dtype.name for dot in dots(traced.jaxpr.jaxpr) for v in dot.invars}
    assert dtypes == {"bfloat16"}
    new = traced.out_info[0]
    assert jax.tree.map(lambda x: x.dtype, new) == jax.tree.map(lambda x: x.dtype, state)
    assert {x.dtype.name for x in jax.tree.leaves(state["params"])} == {"float32"}
    loss, _, _ = loss_and_gradients(model=model)
    assert float(loss) != float(whole[0])
    np.testing.assert_allclose(loss, whole[0], rtol=0.02)


def test_a_cpu_with_bfloat16_products_runs_them_all(monkeypatch, whole):
    # XLA's CPU refuses some forms of such products when they run, whatever the processor has.
    monkeypatch.setattr(precision, "_cpu_has_bfloat16", lambda: True)
    model = dataclasses.replace(MODEL, dtype="bfloat16", processor="cpu")
    assert model.precision.products == jnp.bfloat16
    loss, _, grads = loss_and_gradients(model=model)
    np.testing.assert_allclose(loss, whole[0], rtol=0.02)
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(grads))


def dots(jaxpr):
    for eqn in jaxpr.eqns:
        if eqn.primitive.name == "dot_general":
            yield eqn
        for value in eqn.params.values():
            for part in value if isinstance(value, (tuple, list)) else [value]:
                part = getattr(part, "jaxpr", part)
                if hasattr(part, "eqns"):
                    yield from dots(part)
