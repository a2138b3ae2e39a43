"""Several processes as one program.

Every process runs the same command. On Cloud TPU they find each other; elsewhere each is told the
address of process 0, how many they are and which one it is.
"""

import argparse
import contextlib
import importlib.util
import os
import pathlib
import sys
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import numpy as np
from absl import logging
from jax._src import distributed as jax_distributed  # its store and barriers have no public name
from jax.experimental import multihost_utils

from vision_banana.training import folders

_FAILED, _ENDING = "vision_banana/failed", "vision_banana/ending"
_LOOK_S = 1.0  # between two looks at whether a process has failed
_OWN_S = 5.0  # for a process to fail by itself and say why, once another one has
_TOGETHER_S = 10.0  # for all to be ready to end

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


def total(mine: Sequence[int]) -> list[int]:
    """Sums of each process's numbers, below 2^60; all of them must ask."""
    if jax.process_count() == 1:
        return list(mine)
    # JAX passes on numbers of 32 bits; a pod reads more records than that.
    words = np.array([divmod(number, 2**30) for number in mine], np.int32)
    high, low = np.asarray(multihost_utils.process_allgather(words)).sum(0, np.int64).T
    return (high * 2**30 + low).tolist()


@contextlib.contextmanager
def failing_together(
    mistakes: tuple[type[Exception], ...], agreed: type[Exception]
) -> Iterator[None]:
    """Ends all processes within seconds, with one exit code, where one of them fails inside.

    Without it the others wait for that one in the middle of a step, it waits for them to end, and
    minutes later all are aborted. While all is well, a thread looks once a second and nothing
    else happens; one process alone passes everything on.

    Args:
      mistakes: what no restart helps against ends them with exit code 2, all else with 1.
      agreed: what all processes raise at the same step, and which passes.
    """
    if not jax.distributed.is_initialized():
        yield
        return
    client: Any = jax_distributed.global_state.client
    done = threading.Event()
    threading.Thread(target=_watch, args=(client, done), daemon=True).start()
    try:
        yield
    except agreed:
        raise
    except Exception as error:
        code = 2 if isinstance(error, mistakes) else 1
        logging.error("%s", error, exc_info=code == 1 and not isinstance(error, folders.NoRoom))
        done.set()
        told = f"{code} process {jax_distributed.global_state.process_id} failed: {error}"
        client.key_value_set(_FAILED, told, allow_overwrite=True)
        _end(client, code)
    finally:
        done.set()


def _watch(client: Any, done: threading.Event) -> None:
    """Ends this process once another one has failed, whatever its main thread is waiting for."""
    while not done.wait(_LOOK_S):
        try:
            code, _, told = client.key_value_try_get(_FAILED).partition(" ")
        except jax.errors.JaxRuntimeError:  # no such key
            continue
        if not done.wait(_OWN_S):
            logging.error("%s", told)
            _end(client, int(code))


def _end(client: Any, code: int) -> None:
    """Leaves together with the others; as Python ends by itself it would wait for them too long."""
    with contextlib.suppress(jax.errors.JaxRuntimeError):  # some are gone, or do not come
        client.wait_at_barrier(_ENDING, int(_TOGETHER_S * 1000))
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


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
