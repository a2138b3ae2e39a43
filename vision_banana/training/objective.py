"""What a train step minimises: noise, hidden conditions, prediction, loss."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from vision_banana.diffusion import flow_matching
from vision_banana.models import generator, patches


@dataclasses.dataclass(frozen=True)
class Objective:
    """What is minimised, and how conditions are hidden for classifier-free guidance.

    Attributes:
      time: how training times are drawn.
      clip: lower bound of 1 - t in the loss.
      drop_text: share of queries that see no text.
      drop_references: share of queries that see no reference.
      ema_decay: decay of the average of weights, reached by way of (1 + step) / (10 + step).
      kept_share: share of the target's patches that a step computes, drawn anew at each step by
        their weights (token dropping, as MaskDiT, arXiv 2306.09305, without its side loss).
    """

    time: flow_matching.TimeSampling
    clip: float = 0.05
    drop_text: float = 0.1
    drop_references: float = 0.05
    ema_decay: float = 0.999
    kept_share: float = 1.0

    def __post_init__(self) -> None:
        """Checks the ranges.

        Raises:
          ValueError: names the field.
        """
        for name in ("clip", "drop_text", "drop_references", "ema_decay", "kept_share"):
            value = getattr(self, name)
            lowest = "above 0" if name in ("clip", "kept_share") else "0 at least"
            if not 0 <= value <= 1 or (value == 0 and lowest == "above 0"):
                raise ValueError(
                    f"config.objective.{name} is {value}; it must be {lowest} and 1 at most"
                )


def noised(
    batch: dict[str, jax.Array],
    key: jax.Array,
    model: generator.Generator,
    objective: Objective,
) -> dict[str, jax.Array]:
    """Draws times, noise and hidden conditions: what the model sees of a batch.

    Args:
      batch: see `vision_banana.data.mixture`; RGB codes in [0, 1].
      key: a random key.
      model: the generator.
      objective: settings.

    Returns:
      `x` clean and `z` noisy targets in [-1, 1], `t`, `weight`, `tokens`, `references` in [-1, 1]
      and `reference_mask`, each with a leading axis of groups. Where a share of the patches is kept
      there are these alone, as from `patches.take`, in `x`, `z` and `weight`, and `kept`, their
      places. They are drawn by their weights and then count alike; only within a patch do weights
      still differ. Drawn without replacement, heavy patches come up once at most, so that weights
      tell less the larger the share is: a tenfold one of few patches acts as a fourfold one where a
      quarter is kept, as a twofold one with a half, and in full with all.
    """
    time_key, noise_key, text_key, reference_key = jax.random.split(key, 4)
    x, weight, queries = batch["target"], batch["weight"], batch["target"].shape[:2]
    places = {}
    if objective.kept_share < 1:
        patch = model.dims.patch
        kept = patches.draw_kept(jax.random.fold_in(key, 4), weight, patch, objective.kept_share)
        x, weight = (patches.take(whole, kept, patch) for whole in (x, weight))
        weight /= jnp.maximum(weight.mean(-1, keepdims=True), 1e-6)
        places = {"kept": kept}
    x = generator.to_model(x)
    keep_references = jax.random.uniform(reference_key, queries) >= objective.drop_references
    mask = batch["reference_mask"] & keep_references[..., None]
    t = objective.time.draw(time_key, jnp.any(mask, axis=-1))
    z = flow_matching.interpolate(x, jax.random.normal(noise_key, x.shape), t)
    keep_text = jax.random.uniform(text_key, queries) >= objective.drop_text
    tokens = batch["tokens"]
    tokens = tokens * keep_text.reshape(queries + (1,) * (tokens.ndim - 2)).astype(tokens.dtype)
    references = generator.to_model(batch["references"])
    seen = {"tokens": tokens, "references": references, "reference_mask": mask}
    return {"x": x, "z": z, "t": t, "weight": weight, **seen, **places}


def loss_fn(
    params: Any,
    seen: dict[str, jax.Array],
    model: generator.Generator,
    objective: Objective,
    size: tuple[int, int] | None = None,
) -> tuple[jax.Array, jax.Array]:
    """Mean loss over a batch, and the loss of each query, (G, Q) float32.

    Args:
      params: weights.
      seen: as from `noised`.
      model: the generator.
      objective: settings.
      size: (H, W) of the targets, where `seen` holds patches.
    """
    conditions = (seen["tokens"], seen["references"], seen["reference_mask"])
    predicted = model.apply(params, seen["z"], seen["t"], *conditions, seen.get("kept"), size)
    losses = flow_matching.velocity_loss(
        predicted, seen["x"], seen["t"], seen["weight"], objective.clip
    )
    return jnp.mean(losses), losses
