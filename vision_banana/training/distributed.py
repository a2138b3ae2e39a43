"""Several processes as one program.

Every process runs the same command. On Cloud TPU they find each other; elsewhere each is told the
address of process 0, how many they are and which one it is.
"""

import argparse
import importlib.util
import os
import pathlib

import jax
import numpy as np
from jax.experimental import multihost_utils

HELP = {
    "coordinator_address": "HOST:PORT of process 0, where several processes run as one",
    "num_processes": "how many processes run this command together",
    "process_id": "which of them this is, from 0",
}


def initialize(
    coordinator_address: str | None = None,
    num_processes: int | None = None,
    process_id: int | None = None,
) -> None:
    """Joins the other processes; to be called before anything is computed.

    Without arguments this does nothing, but on Cloud TPU, where every host of a slice, and every
    slice, is found by JAX itself.

    Raises:
      ValueError: some of the three arguments, but not all.
    """
    given = (coordinator_address, num_processes, process_id)
    if all(value is None for value in given):
        if _on_cloud_tpu():
            jax.distributed.initialize()
        return
    if any(value is None for value in given):
        raise ValueError(
            "--coordinator_address, --num_processes and --process_id go together; got "
            f"{coordinator_address!r}, {num_processes!r} and {process_id!r}"
        )
    jax.distributed.initialize(coordinator_address, num_processes, process_id)


def _on_cloud_tpu() -> bool:
    """Whether TPU chips hang on this machine and are not switched off."""
    wanted = os.environ.get("JAX_PLATFORMS") or "tpu"  # an empty one says nothing
    chips = [*pathlib.Path("/dev").glob("accel*"), *pathlib.Path("/dev").glob("vfio/[0-9]*")]
    return "tpu" in wanted and bool(chips) and importlib.util.find_spec("libtpu") is not None


def anywhere(mine: bool) -> bool:
    """Whether something is so on any process; all of them must ask."""
    if jax.process_count() == 1:
        return mine
    return bool(np.any(multihost_utils.process_allgather(np.array(mine))))


def wait(what: str) -> None:
    """Waits until every process has come to the place called `what`."""
    if jax.process_count() > 1:
        multihost_utils.sync_global_devices(what)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds `initialize`'s arguments to a command."""
    for name, kind in (("coordinator_address", str), ("num_processes", int), ("process_id", int)):
        parser.add_argument(f"--{name}", type=kind, help=HELP[name])


def initialize_from(arguments: argparse.Namespace) -> None:
    """Joins the other processes as a command's arguments say; see `initialize`."""
    initialize(*(getattr(arguments, name) for name in HELP))
