"""Muon: momentum whose direction is made orthogonal, for matrices between hidden features.

K. Jordan et al., https://kellerjordan.github.io/posts/muon. Written here rather than taken from
optax since its products, a quarter of a small model's step in float32, run in bfloat16.
"""

import math
from typing import Any

import jax
import jax.numpy as jnp
import optax

from vision_banana.models.precision import Precision, einsum

COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # of the quintic iteration (the same source)
STEPS = 5
MOMENTUM = 0.95

# Names of the matrices between hidden features: how many of their last axes are input and output.
_MATRICES = {
    "attention/query": (1, 2),
    "attention/key": (1, 2),
    "attention/value": (1, 2),
    "attention/out": (2, 1),
    "mlp/gate": (1, 1),
    "mlp/up": (1, 1),
    "mlp/down": (1, 1),
    "text_key": (1, 2),
    "text_value": (1, 2),
    "pixel_hidden": (1, 1),
    "pixel": (1, 1),
    "word": (1, 1),
    **{f"{block}/{name}": (1, 1) for block in ("down1", "down2", "up") for name in ("conv", "mix")},
}


def muon(rate: float, precision: Precision) -> optax.GradientTransformation:
    """Updates of spectral norm about `rate` sqrt(max(1, fan-out / fan-in)).

    Args:
      rate: learning rate.
      precision: number formats of the orthogonalisation.
    """

    def orthogonalize(updates: Any, params: Any) -> Any:
        del params
        return jax.tree_util.tree_map_with_path(
            lambda path, x: _orthogonalized(x, _axes(path), precision), updates
        )

    return optax.chain(
        optax.trace(MOMENTUM, nesterov=True),
        optax.stateless(orthogonalize),
        optax.scale_by_learning_rate(rate),
    )


def labels(params: Any) -> Any:
    """For each array, "muon" where it is a block's matrix, else "adam"."""
    return jax.tree_util.tree_map_with_path(
        lambda path, _: "muon" if _axes(path) else "adam", params
    )


def newton_schulz(x: jax.Array, precision: Precision) -> jax.Array:
    """Brings the singular values of a matrix (M, N), M <= N, near 1, float32."""
    a, b, c = COEFFICIENTS
    x = x / (jnp.linalg.norm(x) + 1e-7)
    for _ in range(STEPS):
        gram = einsum("mn,kn->mk", x, x, precision)
        poly = b * gram + c * einsum("mk,kl->ml", gram, gram, precision)
        x = a * x + einsum("mk,kn->mn", poly, x, precision)
    return x.astype(jnp.float32)


def _axes(path: tuple) -> tuple[int, int] | None:
    return _MATRICES.get("/".join(str(k.key) for k in path[1:]))


def _orthogonalized(x: jax.Array, axes: tuple[int, int] | None, precision: Precision) -> jax.Array:
    assert axes is not None  # `labels` let no other array through
    out = math.prod(x.shape[x.ndim - axes[1] :])
    matrix = x.reshape(*x.shape[: x.ndim - sum(axes)], -1, out)
    rows = matrix.shape[-2]

    def one(matrix: jax.Array) -> jax.Array:
        if rows <= out:
            return newton_schulz(matrix, precision)
        return newton_schulz(matrix.T, precision).T

    # Block after block: small matrices multiply faster singly, large ones need less memory so.
    y = jax.lax.map(one, matrix.reshape(-1, rows, out))
    return y.reshape(x.shape) * max(1.0, out / rows) ** 0.5
