"""The loss by task and by time, added up inside the step, so that every process knows all of it."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

TASKS = 32  # room for numbers of tasks; fixed, so that a new task does not change the program
TIMES = 4  # equal parts of [0, 1]

Sums = dict[str, jax.Array]


def add_up(losses: jax.Array, task: jax.Array, t: jax.Array) -> Sums:
    """Sums of losses and how many there are.

    Args:
      losses: (G, Q) float32, of each query.
      task: (G, Q) int32, its task's number, below `TASKS`.
      t: (G, Q) float32, its time in [0, 1]; 0 is noise.

    Returns:
      `by_task` (2, TASKS) and `by_time` (2, TIMES), float32: sums, then counts.
    """
    part = jnp.minimum((t * TIMES).astype(jnp.int32), TIMES - 1)
    return {"by_task": _sums(losses, task, TASKS), "by_time": _sums(losses, part, TIMES)}


def _sums(losses: jax.Array, number: jax.Array, most: int) -> jax.Array:
    belongs = number[..., None] == jnp.arange(most)
    sums = jnp.where(belongs, losses[..., None], 0.0).sum((0, 1))
    return jnp.stack([sums, belongs.sum((0, 1)).astype(sums.dtype)])


def named(
    by_task: np.ndarray, by_time: np.ndarray, tasks: Sequence[str]
) -> list[tuple[str, float, float]]:
    """Name, sum and count of every part that has a query.

    Args:
      by_task: (2, TASKS), see `add_up`.
      by_time: (2, TIMES), see `add_up`.
      tasks: names of the tasks in the order of their numbers.

    Returns:
      "loss/depth" and the like, and "loss_at/t0.00-0.25" to "loss_at/t0.75-1.00".
    """
    times = [f"t{i / TIMES:.2f}-{(i + 1) / TIMES:.2f}" for i in range(TIMES)]
    names = [f"loss/{name}" for name in tasks] + [f"loss_at/{name}" for name in times]
    sums = np.concatenate([by_task[:, : len(tasks)], by_time], axis=1)
    rows = zip(names, *sums.tolist(), strict=True)
    return [(name, total, count) for name, total, count in rows if count]
