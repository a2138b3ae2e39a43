"""Asks the generator: a batch of prompts and reference pictures in, RGB pictures out."""

import functools
import math
import numbers
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from vision_banana.diffusion import samplers
from vision_banana.models import generator
from vision_banana.models.generator import Generator, Params
from vision_banana.training import sharding

# Drawing from words; seeing takes one step and no guidance. Weights of the text from 1 to 6 are
# compared in experiments/recipe/README.md.
DRAWING_STEPS, DRAWING_GUIDANCE = 20, 4.0
# An edit is mostly determined by the picture, so that one step answers it best: the card of
# the packaged model has a larger error after 4 steps, and a larger one still after 20.
EDITING_STEPS = 1

Predict = Callable[[Params, jax.Array, Mapping[str, Any]], jax.Array]


def suited(task: str) -> tuple[int, float]:
    """Sampling steps and weight of the text that suit a task, for where none are given."""
    if task == "image_generation":
        return DRAWING_STEPS, DRAWING_GUIDANCE
    return (EDITING_STEPS if task == "image_editing" else 1), 1.0


def checked(sampling: Mapping[str, Any]) -> dict[str, Any]:
    """Options of `draw` with their guidance weights checked, as floats.

    Raises:
      ValueError: a weight that is no finite number above 0; that of the references may be 0, which
        leaves out what they say without the text.
    """
    weights = ("text_guidance", "reference_guidance")
    return {name: _weight(name, x) if name in weights else x for name, x in sampling.items()}


def _weight(name: str, value: Any) -> float:
    known = isinstance(value, numbers.Real) and math.isfinite(value)
    zero = name == "reference_guidance"
    if not known or value < 0 or (value == 0 and not zero):
        least = "of 0 or more" if zero else "above 0"
        raise ValueError(f"{name} is {value!r}; it must be a finite number {least}, 1 for none")
    return float(value)


def build(model: Generator, **sampling: Any) -> Predict:
    """Builds a jitted predict function.

    Weights that are laid out over a mesh share the work over it too: its batch axes divide the
    groups, and groups that do not divide are filled up with copies. All processes of the mesh then
    ask together.

    Args:
      model: the generator.
      **sampling: see `draw`.

    Returns:
      `(params, key, batch) -> rgb`. The batch has `tokens` (G, Q, L) int, `references`
      (G, R, H, W, 3) RGB in [0, 1], `reference_mask` (G, Q, R) bool and `shape` or `target`,
      which gives H and W; rgb is (G, Q, H, W, 3) float32 in [0, 1]. The key is one for all, or
      (G, Q) keys. The same key draws the same picture.

    Raises:
      ValueError: a guidance weight out of its range; see `checked`.
    """
    sampling = checked(sampling)

    def predict(params: Params, key: jax.Array, batch: Mapping[str, Any]) -> jax.Array:
        mesh = sharding.mesh_of(params)
        jitted = jit_draw(model, mesh, **sampling)
        size = batch["shape"] if "shape" in batch else batch["target"].shape[-3:-1]
        seen = [batch[name] for name in ("tokens", "references", "reference_mask")]
        if mesh is None:
            return jitted(params, key, *seen, tuple(size))
        groups, shards = len(seen[0]), sharding.batch_shards(mesh)
        fill = np.arange(-(-groups // shards) * shards) % groups
        key = key[fill] if key.ndim else key
        seen = [_spread(np.asarray(x)[fill], mesh) for x in seen]
        with jax.set_mesh(mesh):
            rgb = jitted(params, key, *seen, tuple(size))
        if not rgb.is_fully_addressable:
            rgb = multihost_utils.process_allgather(rgb, tiled=True)
        return rgb[:groups]

    return predict


def _spread(x: np.ndarray, mesh: Mesh) -> jax.Array:
    """An array that every process holds whole, its rows over the mesh's batch axes."""
    return jax.make_array_from_callback(x.shape, sharding.batch_sharding(mesh), lambda i: x[i])


@functools.lru_cache(maxsize=16)  # so that the next picture, or panel, is not compiled for anew
def jit_draw(model: Generator, mesh: Mesh | None = None, **sampling: Any) -> Any:
    """`draw`, jitted; over a mesh, weights lie as in training and groups over the batch axes."""
    run = functools.partial(draw, model, **checked(sampling))
    if mesh is None:
        return jax.jit(run, static_argnums=5)
    weights = sharding.tree_shardings(jax.eval_shape(model.init, jax.random.key(0)), mesh)
    rows = sharding.batch_sharding(mesh)
    return jax.jit(
        run,
        static_argnums=5,
        in_shardings=(weights, NamedSharding(mesh, P()), rows, rows, rows),
        out_shardings=rows,
    )


def draw(
    model: Generator,
    params: Params,
    key: jax.Array,
    tokens: jax.Array,
    references: jax.Array,
    mask: jax.Array,
    size: tuple[int, int],
    *,
    steps: int = 1,
    solver: str = "euler",
    text_guidance: float = 1.0,
    reference_guidance: float = 1.0,
    interval: tuple[float, float] = (0.0, 1.0),
    shift: float = 1.0,
    on_time: Callable[..., None] | None = None,
) -> jax.Array:
    """Draws pictures.

    Args:
      model: the generator.
      params: its weights.
      key: a random key, or (G, Q) keys, one for each picture's noise.
      tokens: (G, Q, L) int.
      references: (G, R, H, W, 3) RGB in [0, 1].
      mask: (G, Q, R) bool, which references a query sees.
      size: H and W of the pictures.
      steps: sampling steps.
      solver: "euler" or "heun".
      text_guidance: weight of the text, 1 for none; see `samplers.guidance_factors`.
      reference_guidance: weight of the references, 1 for none.
      interval: times in which guidance acts.
      shift: resolution shift of the time grid.
      on_time: called on the host with the time in [0, 1) whenever the network is asked, for
        showing how far a picture is. None costs nothing.

    Returns:
      (G, Q, H, W, 3) float32 in [0, 1].
    """
    factors = samplers.guidance_factors(text_guidance, reference_guidance)
    nothing = jnp.zeros_like(tokens)
    conditions = [(tokens, mask), (nothing, mask), (nothing, jnp.zeros_like(mask))]
    used = [i for i, factor in enumerate(factors) if factor]
    # As so many queries of one group, so that the references are encoded once for all conditions.
    said, seen = (
        jnp.concatenate(parts, 1) for parts in zip(*(conditions[i] for i in used), strict=True)
    )
    context = model.encode(params, said, generator.to_model(references), seen)

    def predictions(z: jax.Array, t: jax.Array) -> list[jax.Array]:
        z = jnp.concatenate([z] * len(used), 1)
        x = model.denoise(params, z, jnp.broadcast_to(t, z.shape[:2]), context)
        return jnp.split(x, len(used), 1)

    denoise = samplers.guide(predictions, [factors[i] for i in used], interval)
    if on_time is not None:
        denoise = _told(denoise, on_time)
    normal = functools.partial(jax.random.normal, shape=(*size, 3))
    each = jax.vmap(jax.vmap(normal))
    noise = each(key) if key.ndim else jax.random.normal(key, (*tokens.shape[:2], *size, 3))
    x = samplers.sample(denoise, noise, steps=steps, solver=solver, shift=shift)
    return generator.to_rgb(x)


def _told(denoise: samplers.Denoiser, on_time: Callable[..., None]) -> samplers.Denoiser:
    def told(z: jax.Array, t: jax.Array) -> jax.Array:
        jax.debug.callback(on_time, t)
        return denoise(z, t)

    return told
