"""The one shape of a metric: four pure functions over a small state that can be merged."""

from collections.abc import Callable
from typing import Any, NamedTuple

State = Any


class Metric(NamedTuple):
    """A score that is accumulated batch by batch and merged over hosts.

    Attributes:
      init: `() -> state`, the state of nothing seen.
      update: `(state, prediction, label, **extras) -> state`.
      merge: `(state, state) -> state`, as if both had been seen by one.
      compute: `state -> dict` of metric name to float; fractions lie in [0, 1], angles are in
        degrees, and a value that nothing determines is NaN.
    """

    init: Callable[[], State]
    update: Callable[..., State]
    merge: Callable[[State, State], State]
    compute: Callable[[State], dict[str, float]]
