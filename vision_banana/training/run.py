"""The parts of a run, built from a config's sections."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import optax
from absl import logging
from jax.sharding import Mesh

from vision_banana.diffusion.flow_matching import TimeSampling
from vision_banana.models.generator import Generator
from vision_banana.training import sharding, update_guard
from vision_banana.training.objective import Objective
from vision_banana.training.optimizer import Optimizer, Schedule
from vision_banana.training.update_guard import UpdateGuard


class Run(NamedTuple):
    """What a train step is made of.

    Attributes:
      model: the generator.
      mesh: the devices.
      optimizer: the optimiser, at its peak rates.
      schedule: the share of these rates over the steps.
      objective: settings of the loss.
      seed: of weights, noise and hidden conditions.
      guard: which updates are skipped.
      micro_batches: parts of the batch that pass one after the other.
    """

    model: Generator
    mesh: Mesh
    optimizer: optax.GradientTransformation
    schedule: Schedule
    objective: Objective
    seed: int
    guard: UpdateGuard = update_guard.DEFAULT
    micro_batches: int = 1


def build(config: Mapping[str, Any], devices: Sequence[Any] | None = None) -> Run:
    """Builds a run's parts.

    Args:
      config: a plain dict with the sections `model`, `mesh`, `optimizer`, `objective`, `time`,
        `guard` and the numbers `steps`, `seed`, `log_every`, `checkpoint_every` and
        `micro_batches`.
      devices: what the mesh is made of, all of this machine's by default.

    Raises:
      TypeError: for an unknown or missing key of a section.
      ValueError: for a value that does not make sense.
    """
    for name in ("steps", "log_every", "checkpoint_every"):
        if config[name] < 1:
            raise ValueError(f"config.{name} is {config[name]}; it must be 1 or more")
    if not 0 <= config["seed"] < 2**31:
        raise ValueError(f"config.seed is {config['seed']}; it must be in [0, 2^31)")
    mesh = sharding.make_mesh(config["mesh"], devices)
    processor = mesh.devices.flat[0].platform
    model = Generator(**config["model"], processor=processor)
    optimizer = Optimizer(**config["optimizer"])
    objective = Objective(time=TimeSampling(**config["time"]), **config["objective"])
    guard = UpdateGuard(**config["guard"])
    _warn_of_copies(model, mesh)
    groups = config["data"]["groups"]
    shards = sharding.batch_shards(mesh)
    if groups % shards:
        raise ValueError(
            f"config.data.groups is {groups}; it must be a multiple of the {shards} shards of the "
            f"mesh {dict(mesh.shape)}"
        )
    micro_batches = config["micro_batches"]
    if micro_batches < 1 or groups % (shards * micro_batches):
        raise ValueError(
            f"config.micro_batches is {micro_batches}; it must divide the {groups // shards} of "
            f"config.data.groups={groups} that each shard of the mesh has"
        )
    if config["data"]["size"] % model.dims.patch:
        raise ValueError(
            f"config.data.size is {config['data']['size']}; model.size {model.size!r} needs a "
            f"multiple of its patch, {model.dims.patch}"
        )
    jax.config.update("jax_threefry_partitionable", True)  # same noise on every mesh
    return Run(
        model,
        mesh,
        optimizer.build(model.precision),
        optimizer.schedule(config["steps"]),
        objective,
        config["seed"],
        guard,
        micro_batches,
    )


def _warn_of_copies(model: Generator, mesh: Mesh) -> None:
    """Says which large weights a mesh does not divide, so that its devices hold copies of them."""
    if mesh.size == mesh.shape["replica"] or jax.process_index():
        return
    shapes = jax.eval_shape(model.init, jax.random.key(0))
    for axis, arrays in sharding.copied(shapes, mesh).items():
        logging.warning(
            "config.mesh.%s is %d: it does not divide %s (and %d other large arrays), so that each "
            "of its devices holds a copy; another mesh may spare the memory",
            axis,
            mesh.shape[axis],
            arrays[0],
            len(arrays) - 1,
        )
