import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vision_banana.diffusion.flow_matching import TimeSampling
from vision_banana.models.generator import Generator
from vision_banana.training import objective, sharding, train_state, train_step
from vision_banana.training.optimizer import Optimizer
from vision_banana.training.run import Run

ONE = dict.fromkeys(sharding.AXES, 1)


def generator(size="nano"):
    return Generator(size=size, dtype="float32", vocabulary=50, text_length=6)


def parts(mesh_shape, size="nano"):
    mesh = sharding.make_mesh(mesh_shape, jax.devices()[: int(np.prod(list(mesh_shape.values())))])
    optimizer = Optimizer(warmup=1)
    settings = objective.Objective(TimeSampling(noise_share=0.2))
    schedule = optimizer.schedule(10)
    return Run(generator(size), mesh, optimizer.build(), schedule, settings, seed=0)


def batch(groups=8, queries=2, references=1, size=16):
    rng = np.random.default_rng(0)
    lead = (groups, queries)
    return {
        "target": rng.random((*lead, size, size, 3), np.float32),
        "weight": (rng.random((*lead, size, size)) < 0.9).astype(np.float32),
        "tokens": rng.integers(0, 50, (*lead, 6)).astype(np.int32),
        "task": np.zeros(lead, np.int32),
        "references": rng.random((groups, references, size, size, 3), np.float32),
        "reference_mask": rng.random((*lead, references)) < 0.8,
    }


def run(mesh_shape, steps=2, size="nano", groups=8):
    built = parts(mesh_shape, size)
    state = train_state.create(built.model, built.optimizer, built.mesh, seed=0)
    step = train_step.compile_step(built)
    data = sharding.to_devices(batch(groups), built.mesh)
    losses = []
    for _ in range(steps):
        state, metrics = step(state, data)
        losses.append([float(metrics["loss"]), float(metrics["grad_norm"])])
    return np.array(losses), state


@pytest.fixture(scope="module")
def one_device():
    return run(ONE)


@pytest.mark.parametrize("shape", [(1, 8, 1), (2, 2, 2)])
def test_eight_devices_give_the_loss_of_one(one_device, shape):
    expected, state = one_device
    axes = dict(zip(("replica", "fsdp", "tensor"), shape, strict=True))
    losses, sharded = run(axes)
    np.testing.assert_allclose(losses, expected, rtol=2e-4)
    for a, b in zip(jax.tree.leaves(state["ema"]), jax.tree.leaves(sharded["ema"]), strict=True):
        np.testing.assert_allclose(a, b, atol=2e-4)


# Losses of the second and third step, the third's gradient norm, the sum of all magnitudes.
GOLDEN = [0.6150090, 0.5729316, 1.471261, 158619.2]


def test_golden_step_of_the_pocket_size():
    losses, state = run(ONE, steps=3, size="pocket", groups=2)
    total = float(sum(jnp.sum(jnp.abs(x)) for x in jax.tree.leaves(state["params"])))
    np.testing.assert_allclose(
        [*losses[1:, 0], losses[2, 1], total],
        GOLDEN,
        rtol=1e-3,
        err_msg="the pocket model's first steps have changed. If that is meant (a new layer, "
        "another initialisation or default), write the new numbers here and say why",
    )


def test_average_of_weights_follows_by_hand(one_device):
    # The first step's rate is 0. In the second, decay = min(0.999, (1 + 2) / (10 + 2)).
    built = parts(ONE)
    state = train_state.create(built.model, built.optimizer, built.mesh, seed=0)
    before = jax.tree.map(np.array, state["params"])
    step = train_step.compile_step(built)
    for _ in range(2):
        state, _ = step(state, sharding.to_devices(batch(), built.mesh))
    path = ("ends", "out")
    b, p, e = (x[path[0]][path[1]] for x in (before, state["params"], state["ema"]))
    assert np.abs(p - b).max() > 1e-5
    np.testing.assert_allclose(e, 0.25 * b + 0.75 * np.asarray(p), atol=1e-6)
    assert int(state["step"]) == 2


def test_unknown_pixels_and_hidden_references_teach_nothing():
    model, settings = generator(), objective.Objective(TimeSampling(noise_share=0.2))
    params, key = jax.jit(model.init)(jax.random.key(0)), jax.random.key(1)
    params["ends"]["out"] += 0.1
    loss = jax.jit(
        lambda data: objective.loss_fn(
            params, objective.noised(data, key, model, settings), model, settings
        )[1]
    )
    one = {k: jnp.asarray(v) for k, v in batch().items()}
    unknown = one | {"weight": one["weight"] * 0}
    np.testing.assert_array_equal(loss(unknown), 0.0)
    hidden = one | {"reference_mask": one["reference_mask"] & False}
    other = hidden | {"references": 1 - one["references"]}
    np.testing.assert_array_equal(loss(hidden), loss(other))
    assert jnp.abs(loss(one) - loss(one | {"references": 1 - one["references"]})).max() > 1e-6


def test_conditions_are_hidden_as_often_as_asked():
    model = generator()
    params = jax.jit(model.init)(jax.random.key(0))
    params["ends"]["out"] += 0.1
    data = {k: jnp.asarray(v) for k, v in batch(groups=64).items()}
    data["tokens"] = data["tokens"] * 0 + 7
    other = data | {"tokens": data["tokens"] * 0 + 9}

    def changed(drop):
        settings = objective.Objective(TimeSampling(), drop_text=drop)
        f = jax.jit(
            lambda d: objective.loss_fn(
                params, objective.noised(d, jax.random.key(3), model, settings), model, settings
            )[1]
        )
        return float(jnp.mean(f(data) != f(other)))

    assert changed(0.0) == 1.0
    assert changed(1.0) == 0.0
    assert 0.3 < changed(0.5) < 0.7


def test_only_kept_patches_count_in_the_loss():
    model = generator()
    params = model.init(jax.random.key(0))  # predicts 0 everywhere
    data = {k: jnp.asarray(v) for k, v in batch(groups=4, size=32).items()}
    data["weight"] = jnp.ones_like(data["weight"])
    settings = objective.Objective(TimeSampling(noise_share=1.0), kept_share=0.25)
    data["reference_mask"] = jnp.ones_like(data["reference_mask"])
    settings = dataclasses.replace(settings, drop_references=0.0)
    key = jax.random.key(3)
    seen = objective.noised(data, key, model, settings)
    kept = np.asarray(seen["kept"])
    assert kept.shape == (4, 2, 4)
    losses = objective.loss_fn(params, seen, model, settings, (32, 32))[1]
    squares = np.square(np.asarray(data["target"]) * 2 - 1).mean(-1)
    by_patch = squares.reshape(4, 2, 4, 8, 4, 8).mean((3, 5)).reshape(4, 2, 16)
    of_query = np.take_along_axis(by_patch, kept, 2).mean(-1)
    np.testing.assert_allclose(losses, of_query, rtol=1e-5)


def test_patches_are_kept_by_their_weights_and_then_count_alike():
    """The mean loss over many draws of one patch is the weighted mean of all."""
    values = np.arange(4.0)  # one for each patch of 8 x 8
    picture = np.repeat(np.repeat(values.reshape(2, 2), 8, 0), 8, 1)
    weight = np.repeat(np.repeat([[1.0, 6.0], [3.0, 0.0]], 8, 0), 8, 1)
    groups = 2000
    data = {k: jnp.asarray(v) for k, v in batch(groups=groups, size=16).items()}
    whole = jnp.broadcast_to(jnp.sqrt(picture), (groups, 2, 16, 16))
    data["target"] = (jnp.stack([whole] * 3, -1) + 1) / 2
    data["weight"] = jnp.broadcast_to(jnp.asarray(weight, jnp.float32), whole.shape)
    settings = objective.Objective(TimeSampling(noise_share=1.0), kept_share=0.25)
    seen = objective.noised(data, jax.random.key(3), generator(), settings)
    shares = np.bincount(np.asarray(seen["kept"]).ravel(), minlength=4) / (2 * groups)
    np.testing.assert_allclose(shares, [0.1, 0.6, 0.3, 0.0], atol=0.03)
    np.testing.assert_allclose(seen["weight"], 1.0, rtol=1e-5)
    x = np.square(np.asarray(seen["x"])).mean((2, 3, 4))
    np.testing.assert_allclose(x.mean(), (6 * 1 + 3 * 2) / 10, atol=0.05)


def test_a_target_that_does_not_divide_into_patches_is_refused():
    model, settings = generator(), objective.Objective(TimeSampling(noise_share=0.2))
    settings = dataclasses.replace(settings, kept_share=0.5)
    with pytest.raises(ValueError, match="12 x 12 does not divide into patches of 8"):
        objective.noised(batch(groups=1, size=12), jax.random.key(0), model, settings)
