"""Which updates are taken: those of finite numbers, and of gradients no larger than usual.

Runs inside the jitted step, so a bad batch costs no transfer to the host.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

JUDGED_FROM = 100  # updates taken before the running mean of norms means anything
MEMORY = 0.01  # weight of the newest norm in the running mean

GuardState = dict[str, jax.Array]


@dataclasses.dataclass(frozen=True)
class UpdateGuard:
    """Settings of the guard.

    Attributes:
      stop_after: skipped updates in a row after which the run stops.
      outlier: gradients whose global norm is above this many times its running mean are skipped
        too, once 100 updates have been taken; 0 takes every finite one.
    """

    stop_after: int = 10
    outlier: float = 0.0

    def __post_init__(self) -> None:
        if self.stop_after < 1:
            raise ValueError(f"config.guard.stop_after is {self.stop_after}; it must be 1 or more")
        if self.outlier != 0 and not self.outlier > 1:
            raise ValueError(
                f"config.guard.outlier is {self.outlier}; it must be above 1, or 0 for off"
            )

    def judge(
        self, state: GuardState, loss: jax.Array, norm: jax.Array
    ) -> tuple[jax.Array, GuardState]:
        """Decides about an update.

        Args:
          state: see `init`.
          loss: () mean loss of the batch.
          norm: () global norm of its gradients.

        Returns:
          Whether the update is taken, () bool, and the new state.
        """
        taken = jnp.isfinite(loss) & jnp.isfinite(norm)
        if self.outlier:
            usual = norm <= self.outlier * state["mean_norm"]
            taken &= usual | (state["taken"] < JUDGED_FROM)
        one = taken.astype(jnp.int32)
        rate = jnp.maximum(1 / (state["taken"] + 1), MEMORY)
        mean = state["mean_norm"] + rate * (jnp.where(taken, norm, 0) - state["mean_norm"])
        return taken, {
            "taken": state["taken"] + one,
            "skipped": state["skipped"] + 1 - one,
            "in_a_row": (state["in_a_row"] + 1) * (1 - one),
            "mean_norm": jnp.where(taken, mean, state["mean_norm"]),
        }


DEFAULT = UpdateGuard()


def init() -> GuardState:
    """Counts of updates taken, skipped and skipped in a row, int32, and the running mean norm."""
    counts = {name: jnp.zeros((), jnp.int32) for name in ("taken", "skipped", "in_a_row")}
    return counts | {"mean_norm": jnp.zeros((), jnp.float32)}


def choose(taken: jax.Array, new: Any, old: Any) -> Any:
    """The new tree where the update is taken, the old one elsewhere; NaN does not leak."""
    return jax.tree.map(lambda n, o: jnp.where(taken, n, o), new, old)
