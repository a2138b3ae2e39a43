"""The state of a training run, one dict: weights, their average, optimiser, step, guard."""

from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh

from vision_banana.models.generator import Generator, Params
from vision_banana.training import sharding, update_guard

TrainState = dict[str, Any]


def abstract_state(
    model: Generator, optimizer: optax.GradientTransformation, mesh: Mesh
) -> TrainState:
    """Shapes, dtypes and shardings of the state, without memory; the target of a restore."""
    shapes = jax.eval_shape(lambda: _create(model, optimizer, 0))
    return jax.tree.map(
        lambda x, s: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=s),
        shapes,
        sharding.tree_shardings(shapes, mesh),
    )


def create(
    model: Generator, optimizer: optax.GradientTransformation, mesh: Mesh, seed: int
) -> TrainState:
    """Draws a new state, each array made where it will live.

    Returns:
      A dict of `params` and `ema` (see `Generator.init`), `opt_state`, `step`, an int32
      scalar, which is also the position in the data, and `guard` (see `update_guard.init`).
    """
    abstract = abstract_state(model, optimizer, mesh)
    shardings = jax.tree.map(lambda x: x.sharding, abstract)
    with jax.set_mesh(mesh):
        return jax.jit(lambda seed: _create(model, optimizer, seed), out_shardings=shardings)(seed)


def _create(
    model: Generator, optimizer: optax.GradientTransformation, seed: jax.Array | int
) -> TrainState:
    return start(model.init(jax.random.key(seed)), optimizer)


def start(params: Params, optimizer: optax.GradientTransformation) -> TrainState:
    """The state before the first step, with the given weights; see `create`."""
    return {
        "params": params,
        "ema": jax.tree.map(jnp.copy, params),
        "opt_state": optimizer.init(params),
        "step": jnp.zeros((), jnp.int32),
        "guard": update_guard.init(),
    }
