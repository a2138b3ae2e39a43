import importlib
import types

import jax
import numpy as np
import pytest
from jax.sharding import PartitionSpec as P

from vision_banana.models.generator import Generator
from vision_banana.training import sharding, train_state
from vision_banana.training.optimizer import Optimizer


def test_minus_one_takes_the_devices_that_are_left():
    mesh = sharding.make_mesh({"replica": 2, "fsdp": -1, "tensor": 2})
    assert dict(mesh.shape) == {"replica": 2, "fsdp": 2, "tensor": 2}


@pytest.mark.parametrize(
    "shape",
    [
        {"replica": 3, "fsdp": -1, "tensor": 1},
        {"replica": 1, "fsdp": 4, "tensor": 1},
        {"replica": -1, "fsdp": -1, "tensor": 1},
        {"replica": 0, "fsdp": -1, "tensor": 1},
    ],
)
def test_a_mesh_that_does_not_fill_the_devices_is_an_error(shape):
    with pytest.raises(ValueError, match="does not fill 8 devices"):
        sharding.make_mesh(shape)


def test_a_mesh_with_other_axes_is_an_error():
    with pytest.raises(ValueError, match="it needs replica, fsdp, tensor"):
        sharding.make_mesh({"data": 8})


def test_layouts_follow_the_parameters_path():
    mesh = sharding.make_mesh({"replica": 1, "fsdp": 4, "tensor": 2})
    spec = lambda path, *shape: sharding.spec_of(path, shape, mesh)  # noqa: E731
    assert spec("params/blocks/attention/query", 8, 192, 6, 32) == P(None, "fsdp", "tensor", None)
    assert spec("opt_state/1/mu/blocks/mlp/down", 8, 512, 192) == P(None, "tensor", "fsdp")
    # Three heads do not divide over two devices.
    assert spec("ema/blocks/attention/query", 8, 192, 3, 64) == P(None, "fsdp", None, None)
    assert spec("params/blocks/modulation", 8, 6, 192) == P()
    assert spec("params/blocks/attention/query", 1, 8, 1, 8) == P()  # tiny: stays whole


def test_large_copies_are_named_by_the_axis_that_does_not_divide_them():
    mesh = sharding.make_mesh({"replica": 1, "fsdp": 1, "tensor": 8})
    shape = lambda *sizes: jax.ShapeDtypeStruct(sizes, np.float32)  # noqa: E731
    tree = {
        "blocks": {"query": shape(12, 768, 12, 64), "small": shape(2**20 - 1)},
        "mlp": {"up": shape(768, 2048)},
        "odd": shape(2**20),
    }
    assert sharding.copied(tree, mesh) == {
        "tensor": ["blocks/query (12, 768, 12, 64)", "odd (1048576,)"]
    }


@pytest.mark.parametrize("name", ["large_1b", "large_8b"])
@pytest.mark.parametrize("phase", ["pretrain", "tune"])
def test_the_large_configs_hold_no_copies(name, phase):
    c = importlib.import_module(f"configs.{name}").get_config(phase)
    mesh = types.SimpleNamespace(shape={**c.mesh, "replica": 256 // c.mesh.fsdp})
    shapes = jax.eval_shape(Generator(**c.model).init, jax.random.key(0))
    assert sharding.copied(shapes, mesh) == {}


def test_no_large_array_is_replicated_by_accident():
    mesh = sharding.make_mesh({"replica": 1, "fsdp": 8, "tensor": 1})
    state = train_state.abstract_state(Generator(size="B"), Optimizer().build(), mesh)
    whole = per_device = 0
    for leaf in jax.tree.leaves(state):
        whole += leaf.size
        per_device += np.prod(leaf.sharding.shard_shape(leaf.shape))
    assert per_device < 1.05 * whole / 8


def large_bytes(state, shard_bytes):
    """Bytes of a state's large arrays: as a whole, and of the parts that `shard_bytes` names."""
    large = [x for x in jax.tree.leaves(state) if x.size >= sharding.SMALLEST_SHARDED]
    return sum(x.size * x.dtype.itemsize for x in large), sum(map(shard_bytes, large))


@pytest.mark.parametrize("layout", [(1, 8, 1), (1, 4, 2), (4, 2, 1)])
def test_no_bytes_are_held_twice(layout):
    mesh = sharding.make_mesh(dict(zip(sharding.AXES, layout, strict=True)))
    state = train_state.abstract_state(Generator(size="tiny"), Optimizer().build(), mesh)
    whole, part = large_bytes(state, lambda x: 4 * int(np.prod(x.sharding.shard_shape(x.shape))))
    # Patch embeddings have no dimension to spread over `tensor`.
    assert 1.0 <= part / (whole / (layout[1] * layout[2])) <= (1.03 if layout[2] > 1 else 1.0)


def test_each_device_holds_its_share_of_bytes():
    mesh = sharding.make_mesh({"replica": 2, "fsdp": 2, "tensor": 2})
    state = train_state.create(Generator(size="tiny"), Optimizer().build(), mesh, seed=0)
    for device in jax.devices():
        whole, held = large_bytes(
            state,
            lambda x, d=device: sum(s.data.nbytes for s in x.addressable_shards if s.device == d),
        )
        assert 1.0 <= held / (whole / 4) <= 1.03


@pytest.mark.parametrize("config", ["large_1b", "large_8b"])
@pytest.mark.parametrize("chips", [256, 1024])
def test_every_large_array_of_the_large_sizes_is_sharded(config, chips):
    c = importlib.import_module(f"configs.{config}").get_config()
    fsdp = c.mesh["fsdp"]
    mesh = jax.sharding.AbstractMesh((chips // fsdp, fsdp, 1), sharding.AXES)
    state = train_state.abstract_state(
        Generator(**c.model.to_dict(), processor="tpu"), Optimizer().build(), mesh
    )
    whole = per_chip = 0
    for path, leaf in jax.tree_util.tree_leaves_with_path(state):
        shard = leaf.sharding.shard_shape(leaf.shape)
        part = np.prod(shard)
        if leaf.size >= 2**20:
            assert part == leaf.size // fsdp, jax.tree_util.keystr(path)
            # Rows of a shard fill the tiles of a TPU's memory, or the compiler does not gather
            # weights but sums padded ones, at twice the bytes.
            cut = [a for a, b in zip(shard, leaf.shape, strict=True) if a != b]
            assert all(size % 8 == 0 for size in cut), jax.tree_util.keystr(path)
        whole, per_chip = whole + leaf.size, per_chip + part
    assert per_chip < 1.02 * whole / fsdp


class Chip:
    """A stand-in for a TPU device."""

    platform, device_kind = "tpu", "TPU v5 lite"

    def __init__(self, number, slice_index):
        self.id, self.slice_index, self.process_index = number, slice_index, slice_index
        self.coords, self.core_on_chip = (number % 4, number // 4 % 4, 0), 0


def test_weights_to_ask_are_spread_within_each_slice(monkeypatch):
    assert dict(sharding.all_devices().shape) == {"replica": 1, "fsdp": 8, "tensor": 1}
    monkeypatch.setattr(jax, "devices", lambda: [Chip(i, i // 16) for i in range(32)])
    assert dict(sharding.all_devices().shape) == {"replica": 2, "fsdp": 16, "tensor": 1}


def test_slices_hold_whole_rows_of_the_replica_axis():
    chips = [Chip(i, i // 16) for i in range(32)]
    mesh = sharding.make_mesh({"replica": -1, "fsdp": 4, "tensor": 1}, chips)
    assert mesh.devices.shape == (8, 4, 1)
    for row in mesh.devices.reshape(2, 16):
        assert len({chip.slice_index for chip in row}) == 1
    for row in mesh.devices.reshape(8, 4):  # a ring along one axis of the torus
        x, y = zip(*(chip.coords[:2] for chip in row), strict=True)
        assert len(set(x)) == 1 or len(set(y)) == 1
    with pytest.raises(ValueError, match="with 2 slices it must be a multiple"):
        sharding.make_mesh({"replica": 1, "fsdp": 32, "tensor": 1}, chips)


def spread(layout, owners):
    """A mesh of a layout, whose devices in order belong to the given processes."""
    devices = np.array([types.SimpleNamespace(process_index=p) for p in owners])
    shape = dict(zip(sharding.AXES, layout, strict=True))
    return types.SimpleNamespace(devices=devices.reshape(layout), shape=shape)


@pytest.mark.parametrize(
    ("layout", "owners", "expected"),
    [
        ((1, 4, 1), "0011", [(0, 2, True, (0, 1)), (1, 2, True, (2, 3))]),
        ((1, 1, 4), "0011", [(0, 1, True, (0,)), (0, 1, False, (0,))]),  # one shard, on both
        ((2, 2, 2), "00112233", [(p, 4, True, (p,)) for p in range(4)]),
        ((1, 2, 4), "00112233", [(p // 2, 2, p % 2 == 0, (p // 2,)) for p in range(4)]),
        ((2, 2, 2), "00001111", [(0, 2, True, (0, 1)), (1, 2, True, (2, 3))]),
        ((1, 2, 2), "1100", [(1, 2, True, (1,)), (0, 2, True, (0,))]),  # by place, not by number
        ((1, 2, 2), "1010", [(0, 1, True, (0, 1)), (0, 1, False, (0, 1))]),
        # Hosts of a TPU's grid: a process's shards are not neighbours.
        ((1, 8, 1), "00110011", [(0, 2, True, (0, 1, 4, 5)), (1, 2, True, (2, 3, 6, 7))]),
        ((2, 2, 1), "1001", [(1, 2, True, (1, 2)), (0, 2, True, (0, 3))]),
        ((1, 1, 1), "0", [(0, 1, True, (0,))]),
    ],
)
def test_which_part_of_a_batch_a_process_reads(layout, owners, expected):
    mesh = spread(layout, map(int, owners))
    assert [sharding.batch_part(mesh, p) for p in range(len(expected))] == expected


def test_rows_of_a_part_lie_in_its_shards():
    part = sharding.BatchPart(1, 2, True, (1, 2))  # of four shards
    assert part.rows(4) == (1, 2)
    assert part.rows(12) == (3, 4, 5, 6, 7, 8)
    assert sharding.BatchPart(0, 2, True, (0, 3)).rows(12) == (0, 1, 2, 9, 10, 11)


@pytest.mark.parametrize(
    ("layout", "owners"),
    [
        ((1, 3, 2), "000111"),  # the second shard lies on both
        ((1, 4, 1), "0001"),
        ((1, 2, 2), "0001"),
    ],
)
def test_processes_without_equal_parts_are_refused(layout, owners):
    told = r"config.mesh \{.*\} gives 2 processes .*\(shards \(0.*; set config.mesh.tensor to"
    with pytest.raises(ValueError, match=told):
        sharding.batch_part(spread(layout, map(int, owners)), 0)


def test_one_process_reads_all_of_a_batch():
    mesh = sharding.make_mesh({"replica": 2, "fsdp": 2, "tensor": 2})
    assert sharding.batch_part(mesh) == (0, 1, True, (0, 1, 2, 3))
