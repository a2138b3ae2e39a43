"""The generator as programs that run without this code: StableHLO, as `jax.export` writes it."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from vision_banana.evaluation import predict
from vision_banana.models.generator import Generator
from vision_banana.training import pretrained

PLATFORMS = ("cpu", "cuda", "tpu")


def export(model: Generator, size: int, references: int, **sampling: Any) -> bytes:
    """Exports the answer to any number of prompts as one program.

    The program is a function of

    * `weights`, a dict of the arrays in `weights.safetensors` by name, in bfloat16,
    * `seed`, uint32,
    * `tokens`, (Q, L) int32, the token ids of Q prompts, padded with 0,
    * `pictures`, (R, size, size, 3) float32 RGB in [0, 1], which every prompt sees,

    and gives (Q, size, size, 3) float32 RGB in [0, 1]. Only R and L are fixed.

    Args:
      model: the generator.
      size: side of the square on which it works, in pixels.
      references: R, 0 for drawing from words alone.
      **sampling: `steps`, `solver`, guidance; see `predict.draw`.

    Returns:
      What `jax.export.deserialize` reads.
    """
    draw = predict.jit_draw(model, **sampling)

    def program(
        weights: Mapping[str, jax.Array], seed: jax.Array, tokens: jax.Array, pictures: jax.Array
    ) -> jax.Array:
        params = pretrained.unflatten({n: x.astype(jnp.float32) for n, x in weights.items()})
        # The key of a first batch, so that the same seed draws what `ask` draws.
        key = jax.random.fold_in(jax.random.key(seed), 0)
        mask = jnp.ones((1, tokens.shape[0], references), bool)
        return draw(params, key, tokens[None], pictures[None], mask, (size, size))[0]

    shapes = pretrained.flatten(jax.eval_shape(model.init, jax.random.key(0)))
    (queries,) = jax.export.symbolic_shape("q")
    arguments = (
        {n: jax.ShapeDtypeStruct(x.shape, jnp.bfloat16) for n, x in shapes.items()},
        jax.ShapeDtypeStruct((), jnp.uint32),
        jax.ShapeDtypeStruct((queries, model.text_length), jnp.int32),
        jax.ShapeDtypeStruct((references, size, size, 3), jnp.float32),
    )
    exported = jax.export.export(jax.jit(program), platforms=PLATFORMS)(*arguments)
    return bytes(exported.serialize())
