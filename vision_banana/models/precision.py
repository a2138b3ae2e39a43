"""How numbers are held and multiplied, chosen from what the processor has.

Accelerators and processors with bfloat16 products multiply bfloat16 and accumulate in float32. A
TPU or GPU also keeps activations in bfloat16; a CPU keeps them in float32, where a bfloat16
result would leave its fast path. Processors without such products use float32 throughout.
"""

import functools
import pathlib
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp


class Precision(NamedTuple):
    """Number formats of a forward and backward pass.

    Attributes:
      activations: dtype of what travels between layers.
      products: dtype of a matrix product's operands; sums are always kept in float32.
    """

    activations: jnp.dtype
    products: jnp.dtype


FLOAT32 = Precision(jnp.dtype(jnp.float32), jnp.dtype(jnp.float32))


@functools.cache
def _cpu_has_bfloat16() -> bool:
    """Whether this machine's CPU multiplies bfloat16 (AVX-512 bf16 or AMX)."""
    try:
        flags = pathlib.Path("/proc/cpuinfo").read_text()
    except OSError:
        return False
    return "avx512_bf16" in flags or "amx_bf16" in flags


def choose(dtype: str, processor: str) -> Precision:
    """Picks number formats for a processor.

    Args:
      dtype: "bfloat16", used where the processor has such products, or "float32".
      processor: "cpu", "gpu" or "tpu", what the program will run on.

    Raises:
      ValueError: for another dtype.
    """
    if dtype not in ("bfloat16", "float32"):
        raise ValueError(f"model.dtype is {dtype!r}; write 'bfloat16' or 'float32'")
    f32, bf16 = jnp.dtype(jnp.float32), jnp.dtype(jnp.bfloat16)
    if dtype == "float32" or (processor == "cpu" and not _cpu_has_bfloat16()):
        return FLOAT32
    return Precision(f32 if processor == "cpu" else bf16, bf16)


def _product(spec: str, a: jax.Array, b: jax.Array, out: jnp.dtype) -> jax.Array:
    # Accelerators round float32 operands, to bfloat16 or TF32, unless they are told not to.
    exact = jax.lax.Precision.HIGHEST if a.dtype == jnp.float32 else None
    return jnp.einsum(spec, a, b, precision=exact, preferred_element_type=out)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 3, 4))
def _einsum(
    spec: str, a: jax.Array, b: jax.Array, products: jnp.dtype, out: jnp.dtype
) -> jax.Array:
    return _product(spec, a.astype(products), b.astype(products), out)


def _einsum_fwd(
    spec: str, a: jax.Array, b: jax.Array, products: jnp.dtype, out: jnp.dtype
) -> tuple[jax.Array, Any]:
    a16, b16 = a.astype(products), b.astype(products)
    empty = (jnp.zeros((0,), a.dtype), jnp.zeros((0,), b.dtype))  # carries the dtypes
    return _product(spec, a16, b16, out), (a16, b16, empty)


def _einsum_bwd(
    spec: str, products: jnp.dtype, out: jnp.dtype, residuals: Any, g: jax.Array
) -> tuple[jax.Array, jax.Array]:
    # The cotangent is rounded too, so that both backward products are of the fast kind.
    del out
    a16, b16, (a0, b0) = residuals
    inputs, result = spec.split("->")
    left, right = inputs.split(",")
    g16 = g.astype(products)
    da = _product(f"{result},{right}->{left}", g16, b16, a0.dtype)
    db = _product(f"{left},{result}->{right}", a16, g16, b0.dtype)
    return da, db


_einsum.defvjp(_einsum_fwd, _einsum_bwd)


def einsum(
    spec: str, a: jax.Array, b: jax.Array, precision: Precision, out: jnp.dtype | None = None
) -> jax.Array:
    """A product of two arrays in the given precision, forward and backward.

    Args:
      spec: an explicit two-operand einsum; each letter stands in at least two of the three terms.
      a: first operand.
      b: second operand.
      precision: number formats.
      out: dtype of the result, the activations' by default.
    """
    return _einsum(spec, a, b, precision.products, out or precision.activations)
