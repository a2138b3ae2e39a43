"""How long a step takes at least: the largest of compute, memory, links and network time.

Each resource is taken at its peak and all are taken to work at once, so the true time is longer.
"""

import collections
import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple

from vision_banana.pods.chips import Chip
from vision_banana.pods.collectives import Collective
from vision_banana.pods.topology import Topology


class Roofline(NamedTuple):
    """Seconds that each resource needs for a step, on each chip.

    Attributes:
      compute: matrix products, recomputation included.
      hbm: the chip's memory.
      ici: links between the chips of a slice.
      dcn: the network between slices.
    """

    compute: float
    hbm: float
    ici: float
    dcn: float

    @property
    def binds(self) -> str:
        """The slowest resource."""
        return max(self._fields, key=lambda name: getattr(self, name))

    @property
    def seconds(self) -> float:
        """The least time of a step."""
        return max(self)


def times(
    topology: Topology,
    devices: Sequence[Any],
    flops: float,
    hbm_bytes: float,
    collectives: Sequence[Collective],
) -> Roofline:
    """Times of one step.

    Args:
      topology: the chips.
      devices: the chips by number of partition, with their `coords` and `slice_index`.
      flops: operations of each chip.
      hbm_bytes: bytes that each chip moves between its memory and its cores.
      collectives: as from `collectives.find`.
    """
    ici = dcn = 0.0
    for collective in collectives:
        members = [devices[i] for i in collective.group]
        near, far = _split(collective, members)
        if near:
            links = bandwidth(members, topology)
            ici += near / links
        dcn += far / topology.chip.dcn_bandwidth
    chip = topology.chip
    return Roofline(flops / chip.flops, hbm_bytes / chip.hbm_bandwidth, ici, dcn)


def _split(collective: Collective, members: Sequence[Any]) -> tuple[float, float]:
    """Bytes over links and over the network; a collective over both goes by stages.

    With n_s slices of n_i members each: an all-reduce sums inside slices, each member then sums
    its n_i-th part across slices, and the parts are gathered inside slices.
    """
    slices = collections.Counter(getattr(d, "slice_index", 0) or 0 for d in members)
    n_s, n_i = len(slices), max(slices.values())
    if n_s == 1:
        return collective.bytes, 0.0
    payload = collective.payload * collective.times
    if collective.kind == "collective-permute":
        return 0.0, payload
    if collective.kind == "all-gather":
        return payload * n_s * (n_i - 1), payload * (n_s - 1)
    near, far = payload * (n_i - 1) / n_i, payload / n_i * (n_s - 1) / n_s
    if collective.kind == "all-to-all":
        return near, payload * (n_s - 1) / n_s
    twice = 2 if collective.kind == "all-reduce" else 1
    return twice * near, twice * far


def bandwidth(members: Sequence[Any], topology: Topology) -> float:
    """Bytes a second that a chip receives in a collective over the links of one slice.

    Along each axis of the torus that the members span, a chip has two neighbours if the members
    go all around a closed ring, else the one at the end has one. Groups that lie between one
    another share the links.
    """
    first = getattr(members[0], "slice_index", 0) or 0
    coords = [d.coords for d in members if (getattr(d, "slice_index", 0) or 0) == first]
    chip: Chip = topology.chip
    total = 0.0
    for axis, side in enumerate(topology.sides):
        places = sorted({c[axis] for c in coords})
        if len(places) < 2:
            continue
        gap = min(b - a for a, b in itertools.pairwise(places))
        ring = side >= chip.wraps and len(places) * gap == side
        total += (2 if ring else 1) * chip.link_bandwidth / gap
    return total or chip.link_bandwidth
