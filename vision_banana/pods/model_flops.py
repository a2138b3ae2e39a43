"""Floating-point operations of a step, from the architecture and from the traced program.

Only matrix products are counted, a multiplication and an addition as two operations. The backward
pass takes twice the forward pass's.
"""

import math
from typing import Any

from vision_banana.models.generator import Generator
from vision_banana.models.patches import PLACE_FEATURES


def forward(
    model: Generator, *, groups: int, queries: int, references: int, size: int
) -> dict[str, float]:
    """Operations of one forward pass over a batch, by part.

    Args:
      model: the generator.
      groups: G.
      queries: Q.
      references: R.
      size: side of a picture in pixels.

    Returns:
      `text` (the tower), `references`, `target` (both with their blocks) and `ends` (patches,
      time).
    """
    s, length = model.dims, model.text_length
    count, pixels = groups * queries, s.patch**2 * 3
    tokens = (size // s.patch) ** 2
    seen = length + (references + 1) * tokens
    patch_in = pixels * s.bottleneck + s.bottleneck * s.width if s.bottleneck else pixels * s.width

    def block(rows: int, keys: int) -> int:
        weights = 4 * s.width**2 + 3 * s.width * s.mlp_width
        return s.depth * (rows * weights + 2 * rows * keys * s.width)

    tower = s.text_depth * length * (4 + 6) * s.text_width**2
    tower += s.text_depth * 2 * length**2 * s.text_width
    if model.text_features:
        tower += length * model.text_features * s.text_width
    if model.attention == "prefix":
        target = block(tokens, seen) + s.depth * 2 * length * s.text_width * s.width
        reference = references * block(tokens, tokens)
    else:
        target = block(seen, seen) + length * s.text_width * s.width
        reference = 0
    if references:
        reference += tokens * s.width**2 + references * tokens * patch_in
    time = 256 * s.width + 9 * s.width**2 + s.text_width * s.width
    places = (2 if references else 1) * tokens * PLACE_FEATURES * s.width
    out = 2 * s.width * pixels  # colours, and the gate of the reference's pixels
    ends = count * (tokens * (patch_in + out) + time) + places
    parts = {
        "text": count * tower,
        "references": groups * reference,
        "target": count * target,
        "ends": ends,
    }
    return {name: 2.0 * macs for name, macs in parts.items()}


def traced(jaxpr: Any) -> float:
    """Operations of the matrix products in a traced program, recomputation included.

    Args:
      jaxpr: as from `jax.jit(f).trace(...).jaxpr`.

    Raises:
      ValueError: for a loop whose number of trips is not in the program.
    """
    total = 0.0
    for eqn in getattr(jaxpr, "jaxpr", jaxpr).eqns:
        name = eqn.primitive.name
        if name == "dot_general":
            (contracted, _), _ = eqn.params["dimension_numbers"]
            left = eqn.invars[0].aval.shape
            inner = math.prod(left[i] for i in contracted)
            total += 2.0 * math.prod(eqn.outvars[0].aval.shape) * inner
        elif name == "cond":
            total += max(traced(branch) for branch in eqn.params["branches"])
        else:
            inside = sum(traced(part) for part in _parts(eqn.params))
            if inside and name in ("while", "pallas_call"):
                raise ValueError(f"cannot count the operations inside {name}")
            total += inside * (eqn.params["length"] if name == "scan" else 1)
    return total


def _parts(params: dict[str, Any]) -> list[Any]:
    values = [v for value in params.values() for v in _flat(value)]
    return [v for v in values if hasattr(getattr(v, "jaxpr", v), "eqns")]


def _flat(value: Any) -> list[Any]:
    return list(value) if isinstance(value, (tuple, list)) else [value]
