"""How the loss depends on the time: what is hard for a generator, near noise and near data."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from vision_banana.data import pipeline, scenes
from vision_banana.diffusion import flow_matching
from vision_banana.models import generator
from vision_banana.models.generator import Generator, Params
from vision_banana.tasks import TASKS


def measure(
    model: Generator,
    params: Params,
    size: int,
    times: Sequence[float],
    *,
    groups: int = 16,
    seed: int = 0,
) -> dict[str, np.ndarray]:
    """Loss of held-out scenes at given times.

    Args:
      model: the generator.
      params: its weights.
      size: side of a picture in pixels.
      times: t in [0, 1), 0 is noise and 1 is data.
      groups: scenes, each asked as many questions as there are tasks, tasks drawn alike.
      seed: of prompts and noise.

    Returns:
      Task name -> mean squared error of the predicted clean picture, (T,), in the model's range
      [-1, 1], where the truth is known. The training loss is this over (1 - t)^2, pixels weighed.

    Raises:
      ValueError: a time outside [0, 1).
    """
    outside = [t for t in times if not 0 <= t < 1]
    if outside:
        raise ValueError(f"time {outside[0]} is outside [0, 1): 0 is noise and 1 is data")
    names = list(TASKS)
    row = {
        "source": {"name": "scenes", "split": "heldout", "size": size},
        "tasks": dict.fromkeys(scenes.TASKS, 1.0),
        "weight": 1.0, "references": 1, "flip": False,
    }  # fmt: skip
    data = pipeline.dataset(
        [row], groups=groups, queries=len(names), height=size, width=size,
        text_length=model.text_length, seed=seed,
    )  # fmt: skip
    batch = {name: x for name, x in data[0].items() if name not in ("bad", "records")}

    @jax.jit
    def errors(params: Params, batch: dict[str, jax.Array], time: jax.Array) -> jax.Array:
        x = generator.to_model(batch["target"])
        t = jnp.full(x.shape[:2], time)
        noise = jax.random.normal(jax.random.key(seed), x.shape)
        seen = generator.to_model(batch["references"])
        z = flow_matching.interpolate(x, noise, t)
        predicted = model.apply(params, z, t, batch["tokens"], seen, batch["reference_mask"])
        # At t = 0 the division by (1 - t)^2 is by one: the plain error of the picture.
        # What the truth is known of counts alike, whatever it weighs in training.
        known = (batch["weight"] > 0).astype(x.dtype)
        return flow_matching.velocity_loss(predicted, x, jnp.zeros_like(t), known)

    found = np.stack([np.ravel(errors(params, batch, jnp.float32(t))) for t in times], axis=-1)
    task = np.ravel(batch["task"])
    return {name: found[task == i].mean(0) for i, name in enumerate(names) if (task == i).any()}
