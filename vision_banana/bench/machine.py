"""What the machine is and the best it reaches: matrix products and copies."""

import concurrent.futures
import itertools
import os
import platform
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from vision_banana.training import provenance

# Rows, inner and columns: a square, a wide layer, and a pocket batch through its MLP.
SHAPES = ((1024, 1024, 1024), (2048, 512, 512), (2304, 192, 512))
REPEATS = 4  # products of one round, so that starting one does not count


def describe() -> dict[str, Any]:
    """Processor, cores and versions, for the record."""
    return {
        "processor": provenance.processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None,
        "device": jax.devices()[0].device_kind,
        "jax": jax.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
    }


def matrix_products() -> dict[str, tuple[Callable[[], Any], float]]:
    """Products to time: name -> (function, operations), in JAX and PyTorch.

    In both float32, and bfloat16 operands: JAX returns float32 from them, PyTorch bfloat16, since
    it has no other such product on a CPU.
    """
    import torch

    products: dict[str, tuple[Callable[[], Any], float]] = {}
    for (m, k, n), dtype in itertools.product(SHAPES, ("float32", "bfloat16")):
        a, b = jnp.ones((m, k), dtype), jnp.ones((k, n), dtype)
        x, y = (torch.ones(shape, dtype=getattr(torch, dtype)) for shape in ((m, k), (k, n)))

        def in_jax(a: jax.Array = a, b: jax.Array = b) -> None:
            for _ in range(REPEATS):
                _product(a, b).block_until_ready()

        def in_torch(x: Any = x, y: Any = y) -> None:
            for _ in range(REPEATS):
                torch.mm(x, y)

        work = REPEATS * 2.0 * m * k * n
        products[f"JAX {dtype} {m} x {k} x {n}"] = in_jax, work
        products[f"PyTorch {dtype} {m} x {k} x {n}"] = in_torch, work
    return products


@jax.jit
def _product(a: jax.Array, b: jax.Array) -> jax.Array:
    return jnp.einsum("mk,kn->mn", a, b, preferred_element_type=jnp.float32)


def copy(megabytes: int = 128) -> tuple[Callable[[], Any], float]:
    """A copy by all cores to time, and the bytes that it reads and writes."""
    workers = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1
    sources = [np.ones(megabytes * 2**20 // workers, np.uint8) for _ in range(workers)]
    targets = [np.ones_like(x) for x in sources]
    pool = concurrent.futures.ThreadPoolExecutor(workers)

    def run() -> None:
        list(pool.map(np.copyto, targets, sources))

    return run, 2.0 * sum(x.nbytes for x in sources)
