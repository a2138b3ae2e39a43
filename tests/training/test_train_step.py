import functools

import jax
import jax.numpy as jnp
import numpy as np
from random_batch import batch

from vision_banana.diffusion.flow_matching import TimeSampling
from vision_banana.models.generator import Generator
from vision_banana.training import objective, sharding, train_state, train_step
from vision_banana.training.optimizer import Optimizer
from vision_banana.training.run import Run

ONE = (1, 1, 1)


@functools.cache
def compiled(shape, size):
    """A run's parts and its step, on a mesh of a shape (replica, fsdp, tensor)."""
    mesh = sharding.make_mesh(
        dict(zip(sharding.AXES, shape, strict=True)), jax.devices()[: np.prod(shape)]
    )
    # As for an accelerator, blocks stay a loop, which compiles faster.
    model = Generator(size=size, dtype="float32", vocabulary=50, text_length=6, processor="gpu")
    optimizer = Optimizer(warmup=1)
    settings = objective.Objective(TimeSampling(noise_share=0.2))
    built = Run(model, mesh, optimizer.build(), optimizer.schedule(10), settings, seed=0)
    return built, train_step.compile_step(built)


def run(shape, size="nano", groups=8):
    """What three steps tell, and the state after them; the first one's rate is 0."""
    built, step = compiled(shape, size)
    state = train_state.create(built.model, built.optimizer, built.mesh, seed=0)
    data = sharding.to_devices(batch(groups), built.mesh)
    told = []
    for _ in range(3):
        state, metrics = step(state, data)
        parts = np.concatenate([metrics["by_time"], metrics["by_task"][:, :1]], axis=1)
        norms = [float(metrics[name]) for name in ("loss", "grad_norm", "update_norm")]
        told.append([*norms, *parts.ravel()])
        assert all(x.sharding.is_fully_replicated for x in metrics.values())
    # The parts are sums of the same losses: by time, and all of one task.
    np.testing.assert_allclose(parts[:, :-1].sum(1), parts[:, -1], rtol=1e-5)
    assert parts[1, -1] == groups * 2
    np.testing.assert_allclose(parts[0, -1] / parts[1, -1], metrics["loss"], rtol=1e-5)
    return np.array(told), state


def test_eight_devices_give_the_steps_of_one():
    expected, state = run(ONE)
    told, sharded = run((2, 2, 2))
    assert (expected[1:, 2] > 1e-3).all()
    np.testing.assert_allclose(told, expected, rtol=2e-4)
    for name in ("params", "ema"):
        for a, b in zip(*(jax.tree.leaves(x[name]) for x in (state, sharded)), strict=True):
            # Each update is about 1e-3; of small gradients it is the sums' order that counts.
            np.testing.assert_allclose(a, b, rtol=0, atol=5e-5)


# Losses of the second and third step, the third's gradient norm, the sum of all magnitudes.
GOLDEN = [0.6150090, 0.5729316, 1.471261, 158619.2]


def test_golden_step_of_the_pocket_size():
    told, state = run(ONE, size="pocket", groups=2)
    total = float(sum(jnp.sum(jnp.abs(x)) for x in jax.tree.leaves(state["params"])))
    np.testing.assert_allclose(
        [*told[1:, 0], told[2, 1], total],
        GOLDEN,
        rtol=1e-3,
        err_msg="the pocket model's first steps have changed. If that is meant (a new layer, "
        "another initialisation or default), write the new numbers here and say why",
    )


def test_average_of_weights_follows_by_hand():
    # The first step's rate is 0. In the second, decay = min(0.999, (1 + 2) / (10 + 2)).
    built, step = compiled(ONE, "nano")
    state = train_state.create(built.model, built.optimizer, built.mesh, seed=0)
    before = jax.tree.map(np.array, state["params"])
    for _ in range(2):
        state, metrics = step(state, sharding.to_devices(batch(), built.mesh))
    moved = jax.tree.map(lambda p, b: np.sum(np.square(p - b)), state["params"], before)
    np.testing.assert_allclose(
        metrics["update_norm"], np.sqrt(sum(jax.tree.leaves(moved))), rtol=1e-3
    )
    path = ("ends", "out")
    b, p, e = (x[path[0]][path[1]] for x in (before, state["params"], state["ema"]))
    assert np.abs(p - b).max() > 1e-5
    np.testing.assert_allclose(e, 0.25 * b + 0.75 * np.asarray(p), atol=1e-6)
    assert int(state["step"]) == 2
