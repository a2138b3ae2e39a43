"""Floating-point operations of the matrix products in a traced program."""

import math
from typing import Any


def count(jaxpr: Any) -> float:
    """Counts them, a multiplication and an addition as two, and recomputation as often as done.

    Args:
      jaxpr: as from `jax.jit(f).trace(...).jaxpr`.

    Returns:
      Operations of all devices together.

    Raises:
      ValueError: for a loop whose number of trips is not in the program.
    """
    total = 0.0
    for eqn in getattr(jaxpr, "jaxpr", jaxpr).eqns:
        if eqn.primitive.name == "dot_general":
            (contracted, _), _ = eqn.params["dimension_numbers"]
            left = eqn.invars[0].aval.shape
            inner = math.prod(left[i] for i in contracted)
            total += 2.0 * math.prod(eqn.outvars[0].aval.shape) * inner
        elif eqn.primitive.name == "cond":
            total += max(count(branch) for branch in eqn.params["branches"])
        elif inside := sum(count(part) for part in _parts(eqn.params)):
            total += inside * _times(eqn)
    return total


def _times(eqn: Any) -> int:
    """How often the program inside an equation runs."""
    match eqn.primitive.name:
        case "scan":
            return eqn.params["length"]
        case "shard_map":  # its program is that of one device
            return eqn.params["mesh"].size
        case "pallas_call":
            return math.prod(eqn.params["grid_mapping"].grid)
        case "while":
            raise ValueError("cannot count the operations inside while")
        case _:
            return 1


def _parts(params: dict[str, Any]) -> list[Any]:
    values = [v for value in params.values() for v in _flat(value)]
    return [v for v in values if hasattr(getattr(v, "jaxpr", v), "eqns")]


def _flat(value: Any) -> list[Any]:
    return list(value) if isinstance(value, (tuple, list)) else [value]
