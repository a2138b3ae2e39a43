"""Gradients of a batch, whole or in parts one after the other (gradient accumulation)."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

Loss = Callable[[Any, dict[str, jax.Array]], tuple[jax.Array, jax.Array]]


def accumulate(
    loss_fn: Loss, params: Any, batch: dict[str, jax.Array], micro_batches: int = 1
) -> tuple[jax.Array, jax.Array, Any]:
    """The loss and its gradients over a batch.

    In parts, a batch needs the activations of one part at a time; the sums are kept in the
    parameters' dtype. The result differs from the whole batch's by rounding alone.

    Args:
      loss_fn: `(params, batch) -> (mean loss, losses)`, the losses with a leading axis of groups.
      params: weights.
      batch: arrays with a leading axis of G groups.
      micro_batches: number of parts; it divides the groups of each device.

    Returns:
      The mean loss, the losses (G, ...) and the gradients.
    """
    grad_fn = jax.value_and_grad(loss_fn, has_aux=True)
    if micro_batches == 1:
        (loss, losses), grads = grad_fn(params, batch)
        return loss, losses, grads

    # Part i takes every micro_batches-th group, so that no group leaves its device.
    def split(x: jax.Array) -> jax.Array:
        each = len(x) // micro_batches  # not -1: without references some arrays have no elements
        return jnp.moveaxis(x.reshape(each, micro_batches, *x.shape[1:]), 1, 0)

    def add(total: tuple, part: dict[str, jax.Array]) -> tuple[tuple, jax.Array]:
        (loss, losses), grads = grad_fn(params, part)
        return jax.tree.map(jnp.add, total, (loss, grads)), losses

    zero = (jnp.zeros(()), jax.tree.map(jnp.zeros_like, params))
    (loss, grads), losses = jax.lax.scan(add, zero, jax.tree.map(split, batch))
    losses = jnp.moveaxis(losses, 0, 1).reshape(-1, *losses.shape[2:])
    loss, grads = jax.tree.map(lambda x: x / micro_batches, (loss, grads))
    return loss, losses, grads
