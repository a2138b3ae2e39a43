"""The optimiser: AdamW, with Muon for the blocks' matrices where a rate for them is given.

Both follow one schedule: a warm-up, a constant part and a linear decay to zero. Muon (K. Jordan et
al., https://kellerjordan.github.io/posts/muon, by way of optax) makes the update of a matrix
orthogonal; arrays that are no products between hidden features stay with AdamW.
"""

import dataclasses
from typing import Any

import jax
import optax
from optax import contrib


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
        """A learning rate as a function of the step."""
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

    def build(self, steps: int) -> optax.GradientTransformation:
        """The optimiser of a run of the given number of steps."""
        rate = self.schedule(steps, self.learning_rate)
        if self.muon_rate:
            update = contrib.muon(
                self.schedule(steps, self.muon_rate),
                muon_weight_dimension_numbers=_matrices,
                adam_b1=self.b1,
                adam_b2=self.b2,
                adam_learning_rate=rate,
            )
        else:
            update = optax.adam(rate, self.b1, self.b2)

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


# Names of the blocks' matrices: how many of their last axes are input and output features.
_MATRICES = {
    "attention/query": (1, 2),
    "attention/key": (1, 2),
    "attention/value": (1, 2),
    "attention/out": (2, 1),
    "mlp/gate": (1, 1),
    "mlp/up": (1, 1),
    "mlp/down": (1, 1),
    "text_key": (1, 2),
    "text_value": (1, 2),
}


def _matrices(params: Any) -> Any:
    """For each array that Muon updates, which axes of it are a matrix's; None for the others."""

    def one(path: tuple, leaf: Any) -> contrib.MuonDimensionNumbers | None:
        names = [str(getattr(k, "key", k)) for k in path]
        counts = _MATRICES.get("/".join(names[1:]))
        if counts is None:
            return None
        first = leaf.ndim - sum(counts)
        split = first + counts[0]
        return contrib.MuonDimensionNumbers(
            tuple(range(first, split)), tuple(range(split, leaf.ndim))
        )

    return jax.tree_util.tree_map_with_path(one, params)
