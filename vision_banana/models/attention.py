"""Attention itself: queries, keys and values in, mixed values out, by a choice of kernels.

* `xla`: two matrix products and a softmax, on every processor.
* `cudnn`: cuDNN's fused kernel, on an NVIDIA GPU.
* `splash`: the Pallas splash kernel that comes with JAX, on a TPU.

The fused kernels never write the logits to memory. They take bfloat16 alone.
"""

import functools
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import PartitionSpec as P

from vision_banana.models.mesh_axes import BATCH_AXES
from vision_banana.models.precision import Precision, einsum

KERNELS = {"xla": ("cpu", "gpu", "tpu"), "cudnn": ("gpu",), "splash": ("tpu",)}
HIDDEN = -1e30  # the logit of a token that may not be seen
LANES = 128  # splash takes sequences in multiples of it


class KeysValues(NamedTuple):
    """What one stream offers to attention: keys and values, each (..., N, S, K)."""

    keys: jax.Array
    values: jax.Array


def check(kernel: str, processor: str, dtype: str) -> None:
    """Checks a choice of kernel.

    Raises:
      ValueError: for an unknown one, or one that the processor does not run in this dtype.
    """
    if kernel not in KERNELS:
        raise ValueError(
            f"model.attention_kernel is {kernel!r}; choose one of {', '.join(KERNELS)}"
        )
    if processor not in KERNELS[kernel]:
        raise ValueError(
            f"model.attention_kernel is {kernel!r}, which runs on {KERNELS[kernel][0]}, not on "
            f"{processor}; write 'xla'"
        )
    if kernel != "xla" and dtype != "bfloat16":
        raise ValueError(
            f"model.attention_kernel is {kernel!r}, which takes bfloat16, and model.dtype is "
            f"{dtype!r}; write 'xla' or 'bfloat16'"
        )


def runnable(kernel: str, processor: str) -> str:
    """The kernel itself where the processor runs it, else "xla"."""
    return kernel if processor in KERNELS.get(kernel, ()) else "xla"


def attend(
    queries: jax.Array,
    streams: Sequence[KeysValues],
    mask: jax.Array | None,
    precision: Precision,
    kernel: str = "xla",
) -> jax.Array:
    """softmax(q k / sqrt(K)) v, over the tokens of all streams.

    Args:
      queries: (..., N, T, K).
      streams: keys and values, each (..., N, S, K) with an S of its own. One that lacks the axis
        before N, as (G, N, S, K) beside queries (G, Q, N, T, K), is shared along it.
      mask: (..., S) bool, which tokens may be seen, at least one, those of all streams behind one
        another; or None for all.
      precision: number formats.
      kernel: one of `KERNELS`.

    Returns:
      (..., N, T, K).
    """
    if kernel == "xla":
        return _xla(queries, streams, mask, precision)
    lead, (n, t, k) = queries.shape[:-3], queries.shape[-3:]
    keys, values = _join(streams, queries)
    s = keys.shape[-2]
    q, key, v = (
        x.astype(jnp.bfloat16).reshape(-1, n, x.shape[-2], k) for x in (queries, keys, values)
    )
    seen = jnp.ones((*lead, s), bool) if mask is None else jnp.broadcast_to(mask, (*lead, s))
    fused = {"cudnn": _cudnn, "splash": _splash}[kernel]
    return fused(q, key, v, seen.reshape(-1, s)).reshape(*lead, n, t, k).astype(queries.dtype)


def _join(streams: Sequence[KeysValues], queries: jax.Array) -> KeysValues:
    """The tokens of all streams behind one another, each query's own."""

    def own(x: jax.Array) -> jax.Array:
        x = x if x.ndim == queries.ndim else jnp.expand_dims(x, -4)
        return jnp.broadcast_to(x, (*queries.shape[:-2], *x.shape[-2:]))

    return jax.tree.map(lambda *parts: jnp.concatenate([own(x) for x in parts], -2), *streams)


def _xla(
    queries: jax.Array,
    streams: Sequence[KeysValues],
    mask: jax.Array | None,
    precision: Precision,
) -> jax.Array:
    # Stream by stream, so that no keys are copied and a shared stream is read once.
    f32, several = jnp.dtype(jnp.float32), queries.shape[-4] if queries.ndim > 3 else 1
    queries = queries * queries.shape[-1] ** -0.5
    ends = np.cumsum([stream.keys.shape[-2] for stream in streams])[:-1]
    masks = [None] * len(streams) if mask is None else jnp.split(mask, ends, axis=-1)
    shared = [stream.keys.ndim < queries.ndim for stream in streams]
    logits = []
    for (keys, _), together, seen in zip(streams, shared, masks, strict=True):
        axes = "abc"[: keys.ndim - 3]
        q = _fold(queries) if together else queries
        x = einsum(f"{axes}ntk,{axes}nsk->{axes}nts", q, keys, precision, out=f32)
        x = _unfold(x, several) if together else x
        logits.append(x if seen is None else jnp.where(seen[..., None, None, :], x, HIDDEN))
    tops = [x.max(axis=-1, keepdims=True) for x in logits]
    top = jax.lax.stop_gradient(functools.reduce(jnp.maximum, tops))  # it cancels
    weights = [jnp.exp(x - top) for x in logits]
    mixed = []
    for x, (_, values), together in zip(weights, streams, shared, strict=True):
        axes = "abc"[: values.ndim - 3]
        x = _fold(x) if together else x
        y = einsum(f"{axes}nts,{axes}nsk->{axes}ntk", x, values, precision, out=f32)
        mixed.append(_unfold(y, several) if together else y)
    total = functools.reduce(jnp.add, [x.sum(axis=-1, keepdims=True) for x in weights])
    return (functools.reduce(jnp.add, mixed) / total).astype(precision.activations)


def _fold(x: jax.Array) -> jax.Array:
    """(..., Q, N, T, K) to (..., N, Q * T, K): one product serves all of a group's queries.

    A CPU multiplies bfloat16 in products of this plain form alone.
    """
    *lead, q, n, t, k = x.shape
    return jnp.swapaxes(x, -4, -3).reshape(*lead, n, q * t, k)


def _unfold(x: jax.Array, queries: int) -> jax.Array:
    """The inverse of `_fold`, of rows of any length."""
    *lead, n, rows, k = x.shape
    return jnp.swapaxes(x.reshape(*lead, n, queries, rows // queries, k), -4, -3)


def _cudnn(q: jax.Array, k: jax.Array, v: jax.Array, seen: jax.Array) -> jax.Array:
    """(B, N, T, K), (B, N, S, K), (B, S) to (B, N, T, K); T and S padded to even ones."""
    t = q.shape[2]
    q, k, v = (_padded(x, 2) for x in (q, k, v))
    seen = jnp.pad(seen, ((0, 0), (0, -seen.shape[1] % 2)))
    # cuDNN does not repeat a mask along the queries.
    mask = jnp.broadcast_to(seen[:, None, None, :], (len(q), 1, q.shape[2], k.shape[2]))
    q, k, v = (jnp.swapaxes(x, 1, 2) for x in (q, k, v))
    mixed = jax.nn.dot_product_attention(q, k, v, mask=mask, implementation="cudnn")
    return jnp.swapaxes(mixed, 1, 2)[:, :, :t]


def _splash(q: jax.Array, k: jax.Array, v: jax.Array, seen: jax.Array) -> jax.Array:
    mesh = jax.sharding.get_abstract_mesh()
    if mesh.empty:
        return _splash_local(q, k, v, seen)
    # The compiler cannot divide a Pallas kernel: each device runs it on its examples and heads.
    heads = "tensor" if q.shape[1] % mesh.shape["tensor"] == 0 else None
    part = P(BATCH_AXES, heads)
    return jax.shard_map(
        _splash_local,
        in_specs=(part, part, part, P(BATCH_AXES)),
        out_specs=part,
        check_vma=False,
    )(q, k, v, seen)


def _splash_local(q: jax.Array, k: jax.Array, v: jax.Array, seen: jax.Array) -> jax.Array:
    """(B, N, T, K), (B, N, S, K), (B, S) to (B, N, T, K); T, S padded to multiples of `LANES`."""
    from jax.experimental.pallas.ops.tpu import splash_attention as splash

    n, t = q.shape[1:3]
    q, k, v = (_padded(x, LANES) for x in (q * q.shape[-1] ** -0.5, k, v))
    seen = jnp.pad(seen, ((0, 0), (0, -seen.shape[1] % LANES))).astype(jnp.int32)
    long_t, long_s = q.shape[2], k.shape[2]
    block_q, block_kv = _block(long_t), _block(long_s)
    sizes = splash.BlockSizes(
        block_q=block_q,
        block_kv=block_kv,
        block_q_dkv=block_q,
        block_kv_dkv=block_kv,
        block_q_dq=block_q,
        block_kv_dq=block_kv,
    )
    mask = splash.MultiHeadMask([splash.FullMask((long_t, long_s))] * n)
    kernel = splash.make_splash_mha(mask, block_sizes=sizes, head_shards=1, q_seq_shards=1)
    ids = splash.SegmentIds(jnp.ones((len(q), long_t), jnp.int32), seen)
    mixed = jax.vmap(kernel)(q, k, v, segment_ids=ids)
    return mixed[:, :, :t]


def _padded(x: jax.Array, unit: int) -> jax.Array:
    """(B, N, T, K) with zeros behind, T a multiple of `unit`."""
    return jnp.pad(x, ((0, 0), (0, 0), (0, -x.shape[2] % unit), (0, 0)))


def _block(length: int) -> int:
    """The largest multiple of `LANES` up to 512 that divides a padded length."""
    return max(b for b in range(LANES, 513, LANES) if length % b == 0)
