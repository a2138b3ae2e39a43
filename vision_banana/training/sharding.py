"""How arrays are laid out over a device mesh, decided by parameter path, outside the model.

Mesh axes: `replica` (data parallel across slices), `fsdp` (data parallel with sharded weights)
and `tensor` (heads and hidden channels).
"""

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.experimental import mesh_utils
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from vision_banana.models.mesh_axes import AXES, BATCH_AXES
from vision_banana.training.fingerprint import path_name

# Which mesh axis each trailing dimension of a parameter is spread over; the first pattern found
# in the path decides. Block parameters have a leading axis of blocks, which stays whole.
RULES: tuple[tuple[str, tuple[str | None, ...]], ...] = (
    (r"(query|key|value)$", ("fsdp", "tensor", None)),
    (r"attention/out$", ("tensor", None, "fsdp")),
    (r"mlp/(gate|up)$", ("fsdp", "tensor")),
    (r"mlp/down$", ("tensor", "fsdp")),
    (r"text_embedding/table$", ("tensor", "fsdp")),
    (r"stem/(cell_in|token_in|cells_back|cell_out|.*/conv|.*/mix)$", ("tensor", "fsdp")),
    (r"(target_in|target_up|token_up|text_in)$", (None, "fsdp")),
    (
        r"ends/(time1|time2|pooled|modulation|aligned|out|(out|other)_filter)$",
        ("fsdp", "tensor"),
    ),
)
SMALLEST_SHARDED = 2**14  # elements; smaller arrays stay whole
LARGE = 2**20  # elements; copies of such arrays are worth a warning


def make_mesh(shape: Mapping[str, int], devices: Sequence[Any] | None = None) -> Mesh:
    """Builds a mesh with axes `replica`, `fsdp` and `tensor`.

    Args:
      shape: size of each axis; one may be -1, which takes the devices that are left.
      devices: the devices to use, all by default. Of several TPU slices, each holds whole rows
        of `replica`, so that only the sums over it cross the data-centre network.

    Raises:
      ValueError: where the axes' names are wrong, the sizes do not fill the devices, or `replica`
        does not divide among the slices.
    """
    devices = list(jax.devices() if devices is None else devices)
    if set(shape) != set(AXES):
        raise ValueError(f"config.mesh has axes {sorted(shape)}; it needs {', '.join(AXES)}")
    sizes = [shape[axis] for axis in AXES]
    known = -math.prod(sizes)
    if sizes.count(-1) == 1 and known > 0 and len(devices) % known == 0:
        sizes[sizes.index(-1)] = len(devices) // known
    if math.prod(sizes) != len(devices) or min(sizes) < 1:
        raise ValueError(
            f"config.mesh {dict(shape)} does not fill {len(devices)} devices; "
            "set one axis to -1, the others to divisors of that number"
        )
    # Explicit axes, jax's default, refuse to reshape a sharded picture into patches.
    return Mesh(_arrange(devices, sizes), AXES, axis_types=(AxisType.Auto,) * 3)


def all_devices() -> Mesh:
    """The mesh of all devices, for weights that are only asked: spread within each slice."""
    return make_mesh({"replica": _slices(jax.devices()), "fsdp": -1, "tensor": 1})


def _slices(devices: Sequence[Any]) -> int:
    return len({getattr(device, "slice_index", 0) or 0 for device in devices})


def _arrange(devices: Sequence[Any], sizes: list[int]) -> np.ndarray:
    """Devices in the mesh's shape; those of a TPU so that neighbours in it are joined by links."""
    if devices[0].platform != "tpu":
        return np.array(devices).reshape(sizes)
    slices = _slices(devices)
    if sizes[0] % slices:
        raise ValueError(
            f"config.mesh.replica is {sizes[0]}; with {slices} slices it must be a multiple of that"
        )
    inner = [sizes[0] // slices, *sizes[1:]]
    if slices == 1:
        return mesh_utils.create_device_mesh(inner, devices, allow_split_physical_axes=True)
    return mesh_utils.create_hybrid_device_mesh(
        inner, (slices, 1, 1), devices, allow_split_physical_axes=True
    )


def spec_of(path: str, shape: tuple[int, ...], mesh: Mesh) -> P:
    """The layout of one array, by the end of its path ("blocks/attention/query").

    A dimension is sharded only where the mesh axis divides it.
    """
    if math.prod(shape) < SMALLEST_SHARDED:
        return P()
    axes = _rule(path)
    axes = (None,) * (len(shape) - len(axes)) + axes
    fits = [
        axis if axis and size % mesh.shape[axis] == 0 else None
        for axis, size in zip(axes, shape, strict=True)
    ]
    return P(*fits)


def _rule(path: str) -> tuple[str | None, ...]:
    """The axes that `RULES` name for an array, none where none of them is for it."""
    return next((axes for pattern, axes in RULES if re.search(pattern, path)), ())


def copied(tree: Any, mesh: Mesh) -> dict[str, list[str]]:
    """Large arrays that devices hold whole although the mesh has an axis to spread them over.

    Args:
      tree: parameters, arrays or their shapes.
      mesh: see `make_mesh`.

    Returns:
      Mesh axis -> "path shape" of the arrays of `LARGE` elements or more that it does not divide
      where their rule names it, or that no rule is for; only axes with such arrays.
    """
    found: dict[str, list[str]] = {}
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        if math.prod(leaf.shape) < LARGE:
            continue
        name = path_name(path)
        spread = spec_of(name, leaf.shape, mesh)
        for axis in _rule(name) or AXES[1:]:
            if axis is not None and mesh.shape[axis] > 1 and axis not in spread:
                found.setdefault(axis, []).append(f"{name} {leaf.shape}")
    return found


def tree_shardings(tree: Any, mesh: Mesh) -> Any:
    """Shardings of a tree of arrays; optimiser and EMA arrays follow their parameter's path."""

    def one(path: tuple, leaf: Any) -> NamedSharding:
        return NamedSharding(mesh, spec_of(path_name(path), leaf.shape, mesh))

    return jax.tree_util.tree_map_with_path(one, tree)


def mesh_of(tree: Any) -> Mesh | None:
    """The mesh that a tree of arrays is laid out over; None where they lie on one device."""
    first = next(iter(jax.tree.leaves(tree)), None)
    layout = getattr(first, "sharding", None)
    mesh = layout.mesh if isinstance(layout, NamedSharding) else None
    return mesh if isinstance(mesh, Mesh) and mesh.size > 1 else None


def batch_sharding(mesh: Mesh) -> NamedSharding:
    """Batches are spread over their leading axis of groups."""
    return NamedSharding(mesh, P(BATCH_AXES))


def batch_shards(mesh: Mesh) -> int:
    """Into how many parts a mesh divides the groups of a batch."""
    return math.prod(mesh.shape[axis] for axis in BATCH_AXES)


class BatchPart(NamedTuple):
    """The part of every batch that a process reads.

    Attributes:
      number: which part, from 0.
      parts: into how many parts a batch is divided.
      first: whether no process of a lower number reads the same part.
      shards: the numbers of its shards, ascending. On a TPU's grid they are not neighbours.
    """

    number: int
    parts: int
    first: bool
    shards: tuple[int, ...]

    def rows(self, groups: int) -> tuple[int, ...]:
        """The groups that the part has of a batch of `groups`, in the order of `to_devices`."""
        size = groups // (self.parts * len(self.shards))
        return tuple(shard * size + i for shard in self.shards for i in range(size))


def batch_part(mesh: Mesh, process: int | None = None) -> BatchPart:
    """Derives from a mesh which part of a batch a process must read for its own devices.

    A shard of a batch lies on all devices of one place of `replica` and `fsdp`. Processes whose
    devices share shards, along `tensor`, read the same part.

    Args:
      mesh: see `make_mesh`.
      process: its number, this process's by default.

    Raises:
      ValueError: where two processes share some of their shards and not all, or hold different
        numbers of them, so that no equal parts exist.
    """
    process = jax.process_index() if process is None else process
    held: dict[int, set[int]] = {}
    for shard, devices in enumerate(mesh.devices.reshape(-1, mesh.devices.shape[-1])):
        for device in devices:
            held.setdefault(device.process_index, set()).add(shard)
    parts = sorted({tuple(sorted(shards)) for shards in held.values()})
    together = [shard for part in parts for shard in part]
    if len(set(together)) < len(together) or len({len(part) for part in parts}) > 1:
        raise ValueError(
            f"config.mesh {dict(mesh.shape)} gives {len(held)} processes unequal or overlapping "
            f"parts of a batch (shards {', '.join(map(str, parts))}); set config.mesh.tensor to a "
            "divisor or a multiple of the devices of a process"
        )
    mine = tuple(sorted(held[process]))
    readers = [number for number, shards in held.items() if tuple(sorted(shards)) == mine]
    return BatchPart(parts.index(mine), len(parts), process == min(readers), mine)


def to_devices(batch: Mapping[str, np.ndarray], mesh: Mesh) -> dict[str, jax.Array]:
    """Makes global arrays of this process's rows of a batch, those of its `batch_part`.

    JAX places them on the process's shards in ascending order, wherever these lie in the batch.
    """
    sharding = batch_sharding(mesh)
    return {
        name: jax.make_array_from_process_local_data(sharding, array)
        for name, array in batch.items()
    }
