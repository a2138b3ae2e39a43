"""Numbers that tell whether an array still holds the bits it was saved with.

A fingerprint is the sum, modulo 2^32, of an array's 32-bit words, each multiplied by an odd number
that depends on its place. Integer sums do not depend on their order, so that every mesh finds the
same number, and a single changed bit always changes it.
"""

import hashlib
import json
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax


@jax.jit
def _on_devices(x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The fingerprint of one array, () uint32, and whether all of it is finite."""
    finite = jnp.all(jnp.isfinite(x)) if jnp.issubdtype(x.dtype, jnp.inexact) else jnp.array(True)
    unsigned = jnp.dtype(f"uint{8 * x.dtype.itemsize}")
    words = lax.bitcast_convert_type(x, unsigned).astype(jnp.uint32)
    place = jnp.zeros(x.shape, jnp.uint32)
    for axis, size in enumerate(x.shape):
        place = place * np.uint32(size) + lax.broadcasted_iota(jnp.uint32, x.shape, axis)
    return jnp.sum(words * (2 * place + 1), dtype=jnp.uint32), finite


def _on_host(x: np.ndarray) -> tuple[Any, Any]:
    """The same numbers; for each new shape compiling takes longer than this."""
    finite = np.all(np.isfinite(x)) if jnp.issubdtype(x.dtype, jnp.inexact) else True
    words = x.reshape(-1).view(f"uint{8 * x.dtype.itemsize}").astype(np.uint32)
    place = np.arange(words.size, dtype=np.uint32)
    return np.sum(words * (2 * place + 1), dtype=np.uint32), finite


def _one(x: jax.Array | np.ndarray) -> tuple[Any, Any]:
    if isinstance(x, jax.Array):
        platforms = {device.platform for device in x.devices()}
        if platforms != {"cpu"} or not x.is_fully_addressable:
            return jax.device_get(_on_devices(x))
    return _on_host(np.asarray(x))


def take(tree: Any) -> tuple[dict[str, int], list[str]]:
    """Fingerprints a tree of arrays of up to 32 bits an element.

    Returns:
      Path ("params/blocks/mlp/up") -> fingerprint, and the paths of arrays that hold NaN or
      infinity.
    """
    with_paths = jax.tree_util.tree_flatten_with_path(tree)[0]
    names = [path_name(path) for path, _ in with_paths]
    # One after the other: many small programs at once can starve one another of a CPU's threads.
    found = [_one(leaf) for _, leaf in with_paths]
    prints = {name: int(number) for name, (number, _) in zip(names, found, strict=True)}
    return prints, [name for name, (_, finite) in zip(names, found, strict=True) if not finite]


def of(tree: Any) -> str:
    """Names a tree of arrays by its paths, types, shapes and bits: 12 hexadecimal digits.

    Every process that holds a part of the arrays must call it; all find the same on every mesh.
    """
    prints, _ = take(tree)
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    kinds = {path_name(path): f"{np.dtype(x.dtype)} {tuple(x.shape)}" for path, x in leaves}
    said = json.dumps([prints, kinds], sort_keys=True)
    return hashlib.sha256(said.encode()).hexdigest()[:12]


def path_name(path: tuple) -> str:
    """A tree path as text, "opt_state/1/mu/ends/out"."""
    return jax.tree_util.keystr(path, simple=True, separator="/")
