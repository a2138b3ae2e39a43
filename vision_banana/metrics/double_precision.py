"""Per-pixel arithmetic of the metrics: compiled, in float64, on the host."""

import functools
import os
from collections.abc import Callable
from typing import Any

import jax
import numpy as np


def jit(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compiles a function of arrays that keeps all digits of float64, as NumPy would.

    It runs on the CPU, where the labels are and where float64 is native, also when the model's
    arrays live on an accelerator; the rest of the program keeps JAX's float32.

    Args:
      function: takes arrays and scalars, returns an array or a tree of them; jax.numpy only.

    Returns:
      The same function of NumPy arrays, returning NumPy arrays. It raises RuntimeError where the
      environment hides the CPU from JAX.
    """
    compiled = jax.jit(function)

    @functools.wraps(function)
    def call(*arrays: Any) -> Any:
        with jax.enable_x64(True):
            arrays = jax.device_put(arrays, _cpu())
            return jax.tree.map(np.asarray, compiled(*arrays))

    return call


def _cpu() -> jax.Device:
    try:
        return jax.local_devices(backend="cpu")[0]
    except RuntimeError as e:
        platforms = os.environ.get("JAX_PLATFORMS")
        raise RuntimeError(
            f"metrics are computed on the CPU, which JAX_PLATFORMS={platforms} hides from JAX: "
            f"set it to {platforms},cpu"
        ) from e
