"""The train step: noise, predict, loss, gradients, update, average."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh

from vision_banana.diffusion import flow_matching
from vision_banana.models import generator, patches
from vision_banana.training import sharding, update_guard
from vision_banana.training.train_state import TrainState, abstract_state
from vision_banana.training.update_guard import UpdateGuard


@dataclasses.dataclass(frozen=True)
class Objective:
    """What is minimised, and how conditions are hidden for classifier-free guidance.

    Attributes:
      time: how training times are drawn.
      clip: lower bound of 1 - t in the loss.
      drop_text: share of queries that see no text.
      drop_references: share of queries that see no reference.
      ema_decay: decay of the average of weights, reached by way of (1 + step) / (10 + step).
      kept_share: share of the target's patches that a step computes, drawn anew at each step for
        the whole batch (token dropping, as MaskDiT, arXiv 2306.09305, without its side loss).
    """

    time: flow_matching.TimeSampling
    clip: float = 0.05
    drop_text: float = 0.1
    drop_references: float = 0.05
    ema_decay: float = 0.999
    kept_share: float = 1.0


def loss_fn(
    params: Any,
    batch: dict[str, jax.Array],
    key: jax.Array,
    model: generator.Generator,
    objective: Objective,
) -> tuple[jax.Array, jax.Array]:
    """Mean loss over a batch, and the loss of each query, (G, Q) float32.

    Args:
      params: weights.
      batch: see `vision_banana.data.mixture`; RGB codes in [0, 1].
      key: a random key for times, noise and hidden conditions.
      model: the generator.
      objective: settings.
    """
    time_key, noise_key, text_key, reference_key = jax.random.split(key, 4)
    x, queries = generator.to_model(batch["target"]), batch["target"].shape[:2]
    keep_references = jax.random.uniform(reference_key, queries) >= objective.drop_references
    mask = batch["reference_mask"] & keep_references[..., None]
    t = objective.time.draw(time_key, jnp.any(mask, axis=-1))
    z = flow_matching.interpolate(x, jax.random.normal(noise_key, x.shape), t)
    keep_text = jax.random.uniform(text_key, queries) >= objective.drop_text
    tokens = batch["tokens"]
    tokens = tokens * keep_text.reshape(queries + (1,) * (tokens.ndim - 2)).astype(tokens.dtype)
    kept, weight = None, batch["weight"]
    if objective.kept_share < 1:
        size = x.shape[-3], x.shape[-2]
        kept = patches.draw_kept(
            jax.random.fold_in(key, 4), size, model.dims.patch, objective.kept_share
        )
        weight = weight * patches.kept_pixels(kept, size, model.dims.patch)
    references = generator.to_model(batch["references"])
    predicted = model.apply(params, z, t, tokens, references, mask, kept)
    losses = flow_matching.velocity_loss(predicted, x, t, weight, objective.clip)
    return jnp.mean(losses), losses


def train_step(
    state: TrainState,
    batch: dict[str, jax.Array],
    *,
    model: generator.Generator,
    optimizer: optax.GradientTransformation,
    objective: Objective,
    seed: int,
    guard: UpdateGuard = update_guard.DEFAULT,
) -> tuple[TrainState, dict[str, jax.Array]]:
    """One update of the weights and of their average, unless the guard skips it.

    Args:
      state: see `train_state.create`.
      batch: a global batch, see `vision_banana.data.mixture`.
      model: the generator.
      optimizer: the optimiser.
      objective: settings of the loss.
      seed: the run's seed; randomness is a function of it and of the step alone.
      guard: which updates are skipped.

    Returns:
      The new state, and `loss`, `grad_norm`, `skipped`, `in_a_row` (scalars), `losses` (G, Q).
    """
    key = jax.random.fold_in(jax.random.key(seed), state["step"])
    grad_fn = jax.value_and_grad(loss_fn, has_aux=True)
    (loss, losses), grads = grad_fn(state["params"], batch, key, model, objective)
    norm, step = optax.global_norm(grads), state["step"] + 1
    taken, judged = guard.judge(state["guard"], loss, norm)
    with jax.named_scope("update"):
        updates, opt_state = optimizer.update(grads, state["opt_state"], state["params"])
        params = optax.apply_updates(state["params"], updates)
        decay = jnp.minimum(objective.ema_decay, (1 + step) / (10 + step))
        ema = optax.incremental_update(params, state["ema"], 1 - decay)
        new = {"params": params, "ema": ema, "opt_state": opt_state}
        kept = update_guard.choose(taken, new, {name: state[name] for name in new})
    metrics = {"loss": loss, "grad_norm": norm, "losses": losses}
    metrics |= {name: judged[name] for name in ("skipped", "in_a_row")}
    return {**kept, "step": step, "guard": judged}, metrics


def compile_step(
    model: generator.Generator,
    optimizer: optax.GradientTransformation,
    objective: Objective,
    mesh: Mesh,
    seed: int,
    guard: UpdateGuard = update_guard.DEFAULT,
) -> Callable[[TrainState, dict[str, jax.Array]], tuple[TrainState, dict[str, jax.Array]]]:
    """The jitted step, sharded over a mesh; the old state's memory is reused."""
    step = functools.partial(
        train_step, model=model, optimizer=optimizer, objective=objective, seed=seed, guard=guard
    )
    abstract = abstract_state(model, optimizer, mesh)
    state_shardings = jax.tree.map(lambda x: x.sharding, abstract)
    jitted = jax.jit(
        step,
        in_shardings=(state_shardings, sharding.batch_sharding(mesh)),
        out_shardings=(state_shardings, None),
        donate_argnums=0,
    )

    def run(state: TrainState, batch: dict[str, jax.Array]) -> tuple[TrainState, dict]:
        with jax.set_mesh(mesh):
            return jitted(state, batch)

    return run
