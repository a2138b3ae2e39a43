"""The optimiser: AdamW with a warm-up, a constant part and a linear decay to zero."""

import dataclasses
from typing import Any

import jax
import optax


@dataclasses.dataclass(frozen=True)
class Optimizer:
    """Settings of the optimiser.

    Attributes:
      learning_rate: peak learning rate.
      warmup: steps of linear warm-up.
      decay_share: share of the steps, at their end, over which the rate falls to 0.
      weight_decay: decoupled decay of matrices; vectors and tables of modulation have none.
      b1: decay of the first moment.
      b2: decay of the second moment.
      clip_norm: gradients of a larger global norm are scaled down to it.
    """

    learning_rate: float = 1e-3
    warmup: int = 100
    decay_share: float = 0.3
    weight_decay: float = 0.01
    b1: float = 0.9
    b2: float = 0.99
    clip_norm: float = 1.0

    def schedule(self, steps: int) -> optax.Schedule:
        """The learning rate as a function of the step."""
        decay = max(1, int(self.decay_share * steps))
        warmup = max(1, min(self.warmup, steps - decay))
        return optax.join_schedules(
            [
                optax.linear_schedule(0.0, self.learning_rate, warmup),
                optax.constant_schedule(self.learning_rate),
                optax.linear_schedule(self.learning_rate, 0.0, decay),
            ],
            [warmup, max(warmup, steps - decay)],
        )

    def build(self, steps: int) -> optax.GradientTransformation:
        """The optimiser of a run of the given number of steps."""
        return optax.chain(
            optax.clip_by_global_norm(self.clip_norm),
            optax.scale_by_adam(self.b1, self.b2),
            optax.add_decayed_weights(self.weight_decay, mask=_decays),
            optax.scale_by_learning_rate(self.schedule(steps)),
        )


def _decays(params: Any) -> Any:
    def one(path: tuple, leaf: jax.Array) -> bool:
        name = path[-1].key
        return leaf.ndim >= 2 and "norm" not in name and "modulation" not in name

    return jax.tree_util.tree_map_with_path(one, params)
