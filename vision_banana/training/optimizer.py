"""The optimiser: AdamW, with Muon for the blocks' matrices where a rate for them is given.

Both follow one schedule: a warm-up, a constant part and a linear decay to zero. Arrays that are no
products between hidden features (embeddings, norms, patches in and out) stay with AdamW.
"""

import dataclasses
from typing import Any

import jax
import optax

from vision_banana.models.precision import FLOAT32, Precision
from vision_banana.training import muon


@dataclasses.dataclass(frozen=True)
class Optimizer:
    """Settings of the optimiser.

    Attributes:
      learning_rate: peak learning rate of AdamW.
      muon_rate: peak learning rate of Muon; 0 leaves everything to AdamW.
      warmup: steps of linear warm-up.
      decay_share: share of the steps, at their end, over which the rate falls to 0.
      weight_decay: decoupled decay of matrices; vectors and tables of modulation have none.
      b1: decay of the first moment.
      b2: decay of the second moment.
      clip_norm: gradients of a larger global norm are scaled down to it.
    """

    learning_rate: float = 1e-3
    muon_rate: float = 0.0
    warmup: int = 100
    decay_share: float = 0.3
    weight_decay: float = 0.01
    b1: float = 0.9
    b2: float = 0.99
    clip_norm: float = 1.0

    def schedule(self, steps: int, peak: float) -> optax.Schedule:
        """A learning rate as a function of the step.

        Without a decay it does not depend on the number of steps, nor does the compiled step.
        """
        if not self.decay_share:
            return optax.linear_schedule(0.0, peak, max(1, self.warmup))
        decay = max(1, int(self.decay_share * steps))
        warmup = max(1, min(self.warmup, steps - decay))
        return optax.join_schedules(
            [
                optax.linear_schedule(0.0, peak, warmup),
                optax.constant_schedule(peak),
                optax.linear_schedule(peak, 0.0, decay),
            ],
            [warmup, max(warmup, steps - decay)],
        )

    def build(self, steps: int, precision: Precision = FLOAT32) -> optax.GradientTransformation:
        """The optimiser of a run of the given number of steps, Muon's products in `precision`."""
        rate = self.schedule(steps, self.learning_rate)
        update = optax.adam(rate, self.b1, self.b2, nesterov=True)
        if self.muon_rate:
            matrices = muon.muon(self.schedule(steps, self.muon_rate), precision)
            update = optax.partition({"muon": matrices, "adam": update}, muon.labels)

        def decay(step: jax.Array) -> jax.Array:  # is added to a finished update
            return -self.weight_decay * rate(step)

        return optax.chain(
            optax.clip_by_global_norm(self.clip_norm),
            update,
            optax.add_decayed_weights(decay, mask=_decays),
        )


def _decays(params: Any) -> Any:
    def one(path: tuple, leaf: jax.Array) -> bool:
        name = path[-1].key
        return leaf.ndim >= 2 and "norm" not in name and "modulation" not in name

    return jax.tree_util.tree_map_with_path(one, params)
