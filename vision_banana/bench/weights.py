"""Weights to time a model with."""

import jax
import numpy as np

from vision_banana.models.generator import Generator, Params

STD = 0.05


def draw(model: Generator) -> Params:
    """Draws weights of which none is 0, so that every one matters, without compiling anything.

    Their time is that of trained ones; `Generator.init` begins with zeros and takes a compilation.

    Returns:
      The tree of `Generator.init`, NumPy float32; norms' scales lie near 1.
    """
    rng = np.random.default_rng(0)

    def one(path: tuple, leaf: jax.ShapeDtypeStruct) -> np.ndarray:
        mean = 1.0 if "norm" in str(path[-1]) else 0.0
        return rng.normal(mean, STD, leaf.shape).astype(np.float32)

    shapes = jax.eval_shape(model.init, jax.random.key(0))
    return jax.tree_util.tree_map_with_path(one, shapes)
