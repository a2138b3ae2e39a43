import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vision_banana.models.generator import Generator
from vision_banana.training import sharding
from vision_banana.training.optimizer import Optimizer


def second_update(grads, params, **settings):
    """The update after an equal one."""
    optimizer = Optimizer(**settings).build()

    @jax.jit
    def both(grads, params):
        _, state = optimizer.update(grads, optimizer.init(params), params)
        return optimizer.update(grads, state, params)[0]

    return both(grads, params)


def noise(rng, tree):
    return jax.tree.map(lambda x: rng.normal(size=x.shape).astype(np.float32), tree)


@functools.cache
def initial():
    return jax.jit(Generator("nano", vocabulary=50, text_length=6).init)(jax.random.key(0))


@functools.cache
def muons():
    """Gradients and the update that Muon and Adam make of them."""
    grads = noise(np.random.default_rng(1), initial())
    settings = dict(learning_rate=1e-3, muon_rate=0.5, weight_decay=0.0, clip_norm=1e9)
    return grads, second_update(grads, initial(), **settings)


def test_muon_makes_the_updates_of_block_matrices_orthogonal():
    _, updates = muons()
    attention, mlp = updates["blocks"]["attention"], updates["blocks"]["mlp"]
    # Of width 64 and 192: a wide matrix is stretched by the root of fan-out over fan-in.
    for update, shape, scale in (
        (attention["query"], (64, 64), 1.0),
        (attention["out"], (64, 64), 1.0),
        (mlp["gate"], (64, 192), 3**0.5),
        (mlp["down"], (192, 64), 1.0),
        (updates["blocks"]["text_key"], (64, 64), 1.0),
        (updates["text_blocks"]["attention"]["value"], (64, 64), 1.0),
    ):
        for block in np.asarray(update):
            singular = np.linalg.svd(block.reshape(shape), compute_uv=False) / (0.5 * scale)
            # Five Newton-Schulz steps bring all but the smallest near 1.
            assert 0.6 < np.median(singular) < 1.3 and singular.max() < 1.3


def orthogonal(matrix):
    """Five Newton-Schulz steps of a wide matrix (M, N)."""
    x = matrix / np.linalg.norm(matrix)
    for _ in range(5):
        gram = x @ x.T
        x = 3.4445 * x - 4.7750 * gram @ x + 2.0315 * gram @ gram @ x
    return x


def test_the_update_after_another_gradient_by_hand():
    rng = np.random.default_rng(0)
    params = {"blocks": {"mlp": {"gate": np.zeros((1, 3, 6), np.float32)}}}
    params["ends"] = {"out": np.zeros((2, 4), np.float32)}
    first, second = (noise(rng, params) for _ in range(2))
    settings = dict(learning_rate=1e-3, muon_rate=0.5, weight_decay=0.0, clip_norm=1e9)
    optimizer = Optimizer(b1=0.8, b2=0.9, **settings).build()
    _, state = optimizer.update(first, optimizer.init(params), params)
    updates, _ = optimizer.update(second, state, params)
    # Muon: a momentum of 0.95, added once more; its matrices widen twofold.
    a, b = first["blocks"]["mlp"]["gate"][0], second["blocks"]["mlp"]["gate"][0]
    expected = -0.5 * 2**0.5 * orthogonal(b + 0.95 * (b + 0.95 * a))
    np.testing.assert_allclose(updates["blocks"]["mlp"]["gate"][0], expected, atol=1e-5)
    # NAdam, its moments divided by what their decays have let in.
    a, b = first["ends"]["out"], second["ends"]["out"]
    mean = 0.2 * (0.8 * a + b)
    mean = 0.8 * mean / (1 - 0.8**3) + 0.2 * b / (1 - 0.8**2)
    square = 0.1 * (0.9 * a**2 + b**2) / (1 - 0.9**2)
    np.testing.assert_allclose(updates["ends"]["out"], -1e-3 * mean / np.sqrt(square), rtol=1e-5)


def test_eight_devices_give_the_updates_of_one(monkeypatch):
    monkeypatch.setattr(sharding, "SMALLEST_SHARDED", 1)
    rng = np.random.default_rng(0)
    attention = {"query": np.zeros((2, 8, 4, 4)), "out": np.zeros((2, 4, 4, 8))}
    mlp = {"gate": np.zeros((2, 8, 24))}
    params, *grads = (
        noise(rng, {"blocks": {"attention": attention, "mlp": mlp}}) for _ in range(3)
    )
    optimizer = Optimizer(muon_rate=0.5).build()

    @jax.jit
    def update(grads, params):
        _, state = optimizer.update(grads[0], optimizer.init(params), params)
        return optimizer.update(grads[1], state, params)[0]

    expected = update(grads, params)
    mesh = sharding.make_mesh(dict.fromkeys(sharding.AXES, 2))
    layouts = sharding.tree_shardings(params, mesh)
    with jax.set_mesh(mesh):
        got = update(*jax.device_put((grads, params), ([layouts] * 2, layouts)))
    for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(expected), strict=True):
        assert a.size > np.prod(a.sharding.shard_shape(a.shape))
        np.testing.assert_allclose(a, b, atol=2e-5)


def test_what_is_no_matrix_between_features_stays_with_adam():
    grads, updates = muons()
    for group, name in (("ends", "out"), ("text_embedding", "table"), ("blocks", "modulation")):
        # Adam's first update has one magnitude; with Nesterov's momentum it exceeds the rate.
        update = np.asarray(updates[group][name])
        np.testing.assert_array_equal(np.sign(update), -np.sign(grads[group][name]))
        np.testing.assert_allclose(np.abs(update), np.abs(update).mean(), rtol=1e-3)
        assert 1e-3 < np.abs(update).mean() < 1.3e-3


def test_every_matrix_of_a_block_is_muons():
    grads, updates = muons()
    tables = ("modulation", "still_modulation", "norm", "bias")
    for part in ("blocks", "text_blocks"):
        pairs = jax.tree.map(lambda g, u: (g, u), grads[part], updates[part])
        for path, (_, u) in jax.tree_util.tree_leaves_with_path(
            pairs, is_leaf=lambda x: isinstance(x, tuple)
        ):
            by_adam = np.allclose(np.abs(u), np.abs(u).mean(), rtol=1e-2)
            assert by_adam == path[-1].key.endswith(tables), path


def test_weight_decay_shrinks_matrices_at_adams_rate():
    params = initial()
    zero = jax.tree.map(jnp.zeros_like, params)
    for muon_rate in (0.0, 0.5):
        settings = dict(learning_rate=0.1, muon_rate=muon_rate, weight_decay=0.2)
        updates = second_update(zero, params, **settings)
        np.testing.assert_allclose(
            updates["blocks"]["mlp"]["up"], -0.02 * params["blocks"]["mlp"]["up"], rtol=1e-5
        )
        assert not np.any(updates["blocks"]["modulation"])
        assert not np.any(updates["blocks"]["attention"]["query_bias"])


def test_without_a_decay_the_rate_stays():
    schedule = Optimizer(warmup=10, decay_share=0.0).schedule(100)
    found = [schedule.share(s) for s in (0, 5, 10, 99, 10**6)]
    np.testing.assert_allclose(found, [0, 0.5, 1, 1, 1])


def test_the_rate_warms_up_and_ends_at_zero():
    schedule = Optimizer(warmup=10, decay_share=0.5).schedule(100)
    found = [schedule.share(s) for s in (0, 5, 10, 50, 75, 100, 101)]
    np.testing.assert_allclose(found, [0, 0.5, 1, 1, 0.5, 0, 0], atol=1e-6)


def test_a_rate_that_falls_all_the_time_still_warms_up():
    schedule = Optimizer(warmup=10, decay_share=1.0).schedule(100)
    found = [schedule.share(s) for s in (0, 5, 10, 55, 100)]
    np.testing.assert_allclose(found, [0, 0.5, 1, 0.5, 0], atol=1e-6)


@pytest.mark.parametrize(
    "field", [{"learning_rate": -1.0}, {"decay_share": 2.0}, {"b1": 1.0}, {"clip_norm": 0.0}]
)
def test_impossible_settings_are_errors(field):
    with pytest.raises(ValueError, match=f"config.optimizer.{next(iter(field))} is"):
        Optimizer(**field)


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_a_run_shorter_than_its_warmup_still_learns(steps):
    schedule = Optimizer(warmup=10, decay_share=0.5).schedule(steps)
    found = [float(schedule.share(s)) for s in range(steps)]
    assert found[0] == 0 and all(0 < x <= 1 for x in found[1:])
