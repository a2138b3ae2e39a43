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


def test_no_large_array_is_replicated_by_accident():
    mesh = sharding.make_mesh({"replica": 1, "fsdp": 8, "tensor": 1})
    state = train_state.abstract_state(Generator(size="B"), Optimizer().build(10), mesh)
    whole = per_device = 0
    for leaf in jax.tree.leaves(state):
        whole += leaf.size
        per_device += np.prod(leaf.sharding.shard_shape(leaf.shape))
    assert per_device < 1.05 * whole / 8
