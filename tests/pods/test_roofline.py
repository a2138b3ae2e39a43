from typing import NamedTuple

import pytest

from vision_banana.pods import roofline, topology
from vision_banana.pods.collectives import Collective


class Device(NamedTuple):
    coords: tuple[int, ...]
    slice_index: int = 0


def grid(x, y, slices=1):
    return [Device((i, j, 0), s) for s in range(slices) for j in range(y) for i in range(x)]


V5E = topology.parse("v5e:16x16")
LINK = 45e9


def test_a_closed_ring_has_two_links_a_line_one():
    devices = grid(16, 16)
    assert roofline.bandwidth(devices[:16], V5E) == 2 * LINK
    assert roofline.bandwidth(devices[:8], V5E) == LINK
    assert roofline.bandwidth(devices, V5E) == 4 * LINK
    assert roofline.bandwidth(grid(8, 8)[:8], topology.parse("v5e:8x8")) == LINK
    assert (
        roofline.bandwidth([Device((i, 0, 0)) for i in range(4)], topology.parse("v5p:4x4x4"))
        == 180e9
    )


def test_interleaved_groups_share_the_ring():
    every_other_row = [Device((0, j, 0)) for j in range(0, 16, 2)]
    assert roofline.bandwidth(every_other_row, V5E) == LINK


def test_times_by_hand():
    gather = Collective("all-gather", 90e9 / 15, tuple(range(16)), 2, "bf16", 0.0)
    got = roofline.times(V5E, grid(16, 16), 197e12, 2 * 819e9, [gather])
    # 90 GB twice over two links of 45 GB/s.
    assert got == pytest.approx((1.0, 2.0, 2.0, 0.0))
    assert got._replace(ici=2.5).binds == "ici" and got._replace(ici=2.5).seconds == 2.5


def test_a_sum_over_slices_goes_by_stages():
    # Two slices of 16: sum and gather of 1.6 GB inside, a sixteenth of it over the network.
    place = topology.parse("v5e:16x16", slices=2)
    devices = grid(16, 16, slices=2)
    members = (*range(16), *range(256, 272))
    total = Collective("all-reduce", 1.6e9, members, 1, "f32", 0.0)
    got = roofline.times(place, devices, 0.0, 0.0, [total])
    assert got.ici == pytest.approx(2 * 1.5e9 / 90e9)
    assert got.dcn == pytest.approx(2 * 0.05e9 / 3.125e9)
    pair = Collective("all-reduce", 1e9, (0, 256), 1, "f32", 0.0)
    got = roofline.times(place, devices, 0.0, 0.0, [pair])
    assert (got.ici, got.dcn) == pytest.approx((0.0, 1e9 / 3.125e9))


@pytest.mark.parametrize(
    ("name", "slices", "match"),
    [
        ("v5e", 1, "write KIND:SHAPE"),
        ("h100:2x2", 1, "KIND one of v5e, v5p, v6e"),
        ("v5e:4x4x4", 1, "has 3 axes; v5e has 2"),
        ("v5e:16x32", 1, "at most 256"),
        ("v5e:4x4", 0, "slices is 0"),
    ],
)
def test_a_wrong_topology_is_an_error(name, slices, match):
    with pytest.raises(ValueError, match=match):
        topology.parse(name, slices)


def test_chips_of_a_topology():
    assert topology.parse("v5p:4x8x8").chips == 256
    assert topology.parse("v5e:16x16", 4).chips == 1024
    assert topology.parse("v5e:16x16", 4).name == "4 x v5e:16x16"
