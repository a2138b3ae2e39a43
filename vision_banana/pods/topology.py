"""Named TPU topologies as devices to compile for, on a machine that has none."""

import dataclasses
import math
import os
import re
from typing import Any

from vision_banana.pods.chips import CHIPS, Chip


@dataclasses.dataclass(frozen=True)
class Topology:
    """One or several equal slices.

    Attributes:
      kind: a key of `chips.CHIPS`.
      sides: chips along each axis of a slice's torus.
      slices: number of slices, which the data-centre network joins.
    """

    kind: str
    sides: tuple[int, ...]
    slices: int = 1

    @property
    def chip(self) -> Chip:
        """The chip's figures."""
        return CHIPS[self.kind]

    @property
    def chips(self) -> int:
        """Chips in all slices."""
        return math.prod(self.sides) * self.slices

    @property
    def name(self) -> str:
        """As "v5e:16x16", with "2 x " before it for two slices."""
        count = f"{self.slices} x " if self.slices > 1 else ""
        return f"{count}{self.kind}:{'x'.join(map(str, self.sides))}"


def parse(name: str, slices: int = 1) -> Topology:
    """Reads the name of a topology, as "v5e:16x16" or "v5p:4x4x8".

    Raises:
      ValueError: for an unknown kind of chip, a wrong shape or too many chips.
    """
    kind, _, shape = name.partition(":")
    if kind not in CHIPS or not re.fullmatch(r"\d+(x\d+)*", shape):
        raise ValueError(
            f"topology is {name!r}; write KIND:SHAPE as in v5e:16x16, with KIND one of "
            f"{', '.join(CHIPS)}"
        )
    sides = tuple(int(side) for side in shape.split("x"))
    chip = CHIPS[kind]
    if len(sides) != chip.axes or min(sides) < 1:
        raise ValueError(f"topology {name!r} has {len(sides)} axes; {kind} has {chip.axes}")
    if math.prod(sides) > chip.most_chips:
        raise ValueError(
            f"topology {name!r} has {math.prod(sides)} chips; a slice of {kind} has at most "
            f"{chip.most_chips}. Join several with --slices"
        )
    if slices < 1:
        raise ValueError(f"slices is {slices}; at least 1 is needed")
    return Topology(kind, sides, slices)


def devices(topology: Topology) -> list[Any]:
    """The topology's devices, for which JAX can compile but not run.

    Raises:
      ImportError: where libtpu, TPU's compiler, is not installed.
      ValueError: where the compiler does not know the topology.
    """
    try:
        import libtpu  # noqa: F401
    except ImportError as e:
        raise ImportError(
            "compiling for a TPU needs its compiler: pip install 'vision-banana[tpu]'"
        ) from e
    chip = topology.chip
    cores = math.prod(topology.sides) * chip.cores
    # Without these the compiler looks for a cloud machine's description of itself.
    os.environ.setdefault("TPU_SKIP_MDS_QUERY", "1")
    os.environ.setdefault("TPU_WORKER_HOSTNAMES", "localhost")
    os.environ.setdefault(
        "ALLOW_MULTIPLE_LIBTPU_LOAD", "1"
    )  # no chip is taken: several may compile
    os.environ.setdefault("TPU_ACCELERATOR_TYPE", f"{chip.accelerator}-{cores}")
    from jax.experimental import topologies

    more = {"num_slices": topology.slices} if topology.slices > 1 else {}
    shape = f"{topology.kind}:{'x'.join(map(str, topology.sides))}"
    try:
        found = topologies.get_topology_desc(platform="tpu", topology_name=shape, **more)
    except Exception as e:  # whatever the plug-in raises
        raise ValueError(f"the TPU compiler does not know topology {topology.name}: {e}") from e
    return list(found.devices)
