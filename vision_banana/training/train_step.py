"""The train step: noise, predict, loss, gradients, update, average."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax.sharding import NamedSharding, PartitionSpec

from vision_banana.training import gradients, loss_parts, objective, sharding, update_guard
from vision_banana.training.optimizer import Schedule
from vision_banana.training.run import Run
from vision_banana.training.train_state import TrainState, abstract_state

Metrics = dict[str, jax.Array]


def train_step(
    state: TrainState,
    batch: dict[str, jax.Array],
    seed: jax.Array | int,
    schedule: Schedule,
    *,
    run: Run,
) -> tuple[TrainState, Metrics]:
    """One update of the weights and of their average, unless the guard skips it.

    Args:
      state: see `train_state.create`.
      batch: a global batch, see `vision_banana.data.mixture`.
      seed: the run's seed; randomness is a function of it and of the step alone.
      schedule: the learning rate over the steps. Neither it nor the seed is a constant of the
        compiled step, which runs of other lengths and seeds share.
      run: what the step is made of.

    Returns:
      The new state, and scalars `loss`, `grad_norm` (before clipping), `update_norm` (of what the
      optimiser adds to the weights, taken or not), `skipped`, `in_a_row`, and the parts of
      `loss_parts.add_up`, each whole on every device.
    """
    key = jax.random.fold_in(jax.random.key(seed), state["step"])
    seen = objective.noised(batch, key, run.model, run.objective)
    height, width = batch["target"].shape[2:4]
    loss_of = functools.partial(
        objective.loss_fn, model=run.model, objective=run.objective, size=(height, width)
    )
    loss, losses, grads = gradients.accumulate(loss_of, state["params"], seen, run.micro_batches)
    norm = optax.global_norm(grads)
    taken, judged = run.guard.judge(state["guard"], loss, norm)
    with jax.named_scope("update"):
        new, update_norm = _updated(state, grads, schedule.share(state["step"]), run)
        new = update_guard.choose(taken, new, {name: state[name] for name in new})
    metrics = {"loss": loss, "grad_norm": norm, "update_norm": update_norm}
    metrics |= {name: judged[name] for name in ("skipped", "in_a_row")}
    metrics |= loss_parts.add_up(losses, batch["task"], seen["t"])
    return {**new, "step": state["step"] + 1, "guard": judged}, metrics


def _updated(
    state: TrainState, grads: Any, rate: jax.Array, run: Run
) -> tuple[dict[str, Any], jax.Array]:
    """Weights, their average and the optimiser's state after an update at a share of the rate.

    Beside them the update's global norm.
    """
    updates, opt_state = run.optimizer.update(grads, state["opt_state"], state["params"])
    updates = jax.tree.map(lambda x: rate * x, updates)
    params = optax.apply_updates(state["params"], updates)
    decay = jnp.minimum(run.objective.ema_decay, (2 + state["step"]) / (11 + state["step"]))
    ema = optax.incremental_update(params, state["ema"], 1 - decay)
    return {"params": params, "ema": ema, "opt_state": opt_state}, optax.global_norm(updates)


def jit_step(run: Run) -> Any:
    """`train_step` of a run, jitted and sharded over its mesh; the old state's memory is reused."""
    abstract = abstract_state(run.model, run.optimizer, run.mesh)
    state_shardings = jax.tree.map(lambda x: x.sharding, abstract)
    everywhere = NamedSharding(run.mesh, PartitionSpec())
    return jax.jit(
        functools.partial(train_step, run=run),
        in_shardings=(state_shardings, sharding.batch_sharding(run.mesh), everywhere, everywhere),
        out_shardings=(state_shardings, everywhere),
        donate_argnums=0,
    )


def compile_step(
    run: Run,
) -> Callable[[TrainState, dict[str, jax.Array]], tuple[TrainState, Metrics]]:
    """`jit_step` with the run's mesh, seed and schedule at hand."""
    jitted = jit_step(run)

    def step(state: TrainState, batch: dict[str, jax.Array]) -> tuple[TrainState, Metrics]:
        with jax.set_mesh(run.mesh):
            return jitted(state, batch, run.seed, run.schedule)

    return step
