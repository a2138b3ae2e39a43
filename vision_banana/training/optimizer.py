"""The optimiser: AdamW with Nesterov's momentum (NAdam, Dozat 2016), with Muon for the blocks'
matrices where a rate for them is given.

Both follow one schedule: a warm-up, a constant part and a linear decay to zero. Arrays that are no
products between hidden features (embeddings, norms, patches in and out) stay with AdamW.
"""

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from vision_banana.models.precision import FLOAT32, Precision
from vision_banana.training import muon

NEVER = 2**30  # a step that no run reaches


class Schedule(NamedTuple):
    """Learning rates over the steps, as a share of their peak.

    Attributes:
      warmup: the step at which the rise from 0 ends, int32.
      fall: the step at which the fall begins.
      end: the step at which it reaches 0.
    """

    warmup: jax.Array | int
    fall: jax.Array | int
    end: jax.Array | int

    def share(self, step: jax.Array | int) -> jax.Array:
        """The share at a step, float32 in [0, 1]."""
        rising = step / self.warmup
        falling = (self.end - step) / jnp.maximum(1, self.end - self.fall)
        return jnp.clip(jnp.minimum(rising, falling), 0.0, 1.0)


@dataclasses.dataclass(frozen=True)
class Optimizer:
    """Settings of the optimiser.

    Attributes:
      learning_rate: peak learning rate of AdamW.
      muon_rate: peak learning rate of Muon; 0 leaves everything to AdamW.
      warmup: steps of linear warm-up; at most half of a run whose rate falls.
      decay_share: share of the steps, at their end, over which the rate falls to 0; no more than
        the warm-up leaves.
      weight_decay: decoupled decay of matrices, at `learning_rate`, Muon's too; vectors, biases and
        all that modulates have none.
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

    def __post_init__(self) -> None:
        """Checks the ranges.

        Raises:
          ValueError: names the field.
        """
        for name, value in dataclasses.asdict(self).items():
            if value < 0:
                raise ValueError(f"config.optimizer.{name} is {value}; it must not be negative")
        for name, most in (("decay_share", 1.0), ("b1", 0.9999), ("b2", 0.9999999)):
            if getattr(self, name) > most:
                raise ValueError(
                    f"config.optimizer.{name} is {getattr(self, name)}; it is a share, {most} at "
                    "most"
                )
        if not self.clip_norm:
            raise ValueError("config.optimizer.clip_norm is 0; it must be above 0")

    def schedule(self, steps: int) -> Schedule:
        """The share of the peak rates over the steps of a run."""
        if not self.decay_share:
            return Schedule(max(1, self.warmup), NEVER, NEVER)
        warmup = max(1, min(self.warmup, steps // 2))
        fall = max(warmup, steps - max(1, int(self.decay_share * steps)))
        return Schedule(warmup, fall, max(steps, fall + 1))

    def build(self, precision: Precision = FLOAT32) -> optax.GradientTransformation:
        """The optimiser at its peak rates, Muon's products in `precision`."""
        update = optax.adam(self.learning_rate, self.b1, self.b2, nesterov=True)
        if self.muon_rate:
            matrices = muon.muon(self.muon_rate, precision)
            update = optax.partition({"muon": matrices, "adam": update}, muon.labels)
        decay = -self.weight_decay * self.learning_rate  # is added to a finished update
        return optax.chain(
            optax.clip_by_global_norm(self.clip_norm),
            update,
            optax.add_decayed_weights(decay, mask=_decays),
        )


def _decays(params: Any) -> Any:
    def one(path: tuple, leaf: jax.Array) -> bool:
        name = path[-1].key
        kept = any(word in name for word in ("norm", "modulation", "bias"))
        return leaf.ndim >= 2 and not kept

    return jax.tree_util.tree_map_with_path(one, params)
