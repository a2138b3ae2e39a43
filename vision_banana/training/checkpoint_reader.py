"""Reads one checkpoint, and tells damage from everything else that can go wrong."""

import re
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import jax
import numpy as np
import orbax.checkpoint as ocp
from etils import epath

from vision_banana.training import distributed, fingerprint

T = TypeVar("T")

ITEMS = {"params": ("params",), "ema": ("ema",), "train": ("opt_state", "step", "guard")}
FINGERPRINT = "fingerprint"  # its key in the description
# What readers raise about files that are not there, too short or cannot be decoded. Everything else
# (the network, rights, memory, a disk's own errors) may pass, and says nothing about the files.
_DAMAGE = (
    *(FileNotFoundError, IsADirectoryError, NotADirectoryError, EOFError),
    *(ValueError, LookupError, TypeError),
)
# TensorStore raises ValueError for all that it meets, and gcsfs for refused logins.
_PASSING = re.compile(
    r"\b(ABORTED|CANCELLED|DEADLINE_EXCEEDED|INTERNAL|PERMISSION_DENIED|RESOURCE_EXHAUSTED|"
    r"UNAUTHENTICATED|UNAVAILABLE|UNKNOWN): |^Bad Request: "
)


class Damaged(Exception):
    """A checkpoint whose files are missing, short or of other content than was saved."""


class Reader:
    """Reads the checkpoints in a folder.

    Each process reads for itself, and all of them must ask for the same: after the reading, and
    before anything that they compute together, they agree whether one of them met a damaged file.
    """

    def __init__(self, folder: epath.Path) -> None:
        self._folder = folder
        me = jax.process_index()
        self._orbax = ocp.Checkpointer(
            ocp.CompositeCheckpointHandler(),
            multiprocessing_options=ocp.options.MultiprocessingOptions(
                primary_host=me, active_processes={me}, barrier_sync_key_prefix=f"reader{me}"
            ),
        )

    def close(self) -> None:
        """Frees what Orbax holds."""
        self._orbax.close()

    def description(self, step: int) -> dict[str, Any]:
        """A checkpoint's description; raises `Damaged` where a process cannot read it."""
        told = _agreed(lambda: self._told(step))
        return {name: told[name] for name in told if name != FINGERPRINT}

    def _told(self, step: int) -> dict[str, Any]:
        return self._read(step, "description", ocp.args.JsonRestore())

    def restore(self, step: int, abstract: Mapping[str, Any]) -> dict[str, Any]:
        """Reads parts of a state and compares them with their fingerprints.

        Args:
          step: the checkpoint's step.
          abstract: "params", "ema" or the whole state: shapes, dtypes and shardings.

        Raises:
          Damaged: a process cannot read them, or they do not hold what was saved.
          ValueError: the checkpoint has other arrays; names one.
        """
        expected, trees = _agreed(lambda: self._items(step, abstract))
        if expected is not None:
            found, _ = fingerprint.take(trees)
            wrong = [name for name, number in found.items() if expected.get(name) != number]
            if wrong:
                raise Damaged(
                    f"{wrong[0]} (and {len(wrong) - 1} other arrays) does not hold the bits that "
                    "were saved"
                )
        return {
            part: trees[name] if ITEMS[name] == (part,) else trees[name][part]
            for name in trees
            for part in ITEMS[name]
        }

    def _items(self, step: int, abstract: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
        """The fingerprints that were saved, and the items as this process reads them."""
        expected = self._told(step).get(FINGERPRINT)
        trees: dict[str, Any] = {}
        for name, tree in by_item(abstract).items():
            self._check_tree(step, name, tree)
            trees[name] = self._read(step, name, ocp.args.StandardRestore(tree))
        return expected, trees

    def _read(self, step: int, name: str, args: Any) -> Any:
        try:
            folder = self._folder / str(step)
            return self._orbax.restore(folder, args=ocp.args.Composite(**{name: args}))[name]
        except Exception as error:
            raise _blame(error, name) from error

    def _check_tree(self, step: int, name: str, abstract: Any) -> None:
        """Checks that an item holds exactly the arrays asked for; none is ever made up."""
        try:
            saved = ocp.StandardCheckpointHandler().metadata(self._folder / str(step) / name)
            there = _shapes(saved.tree)
        except Exception as error:
            raise _blame(error, name) from error
        here = _shapes(abstract)
        for path in sorted(there.keys() | here.keys()):
            if there.get(path) != here.get(path):
                raise ValueError(
                    f"{name}/{path} is {here.get(path, 'not there')} in this code and config, but "
                    f"{there.get(path, 'not there')} in checkpoint {step} of {self._folder}; use "
                    "the config and the version that wrote it"
                )


def _agreed(read: Callable[[], T]) -> T:
    """What a reading gives; where it is damaged for one process, all of them raise `Damaged`."""
    fault = None
    try:
        value = read()
    except Damaged as error:
        fault = error
    if distributed.anywhere(fault is not None):
        raise fault or Damaged("another process could not read it")
    return value


def by_item(state: Mapping[str, Any]) -> dict[str, Any]:
    """A state, or a part of it, as the items of a checkpoint."""
    return {
        name: state[parts[0]] if parts == (name,) else {part: state[part] for part in parts}
        for name, parts in ITEMS.items()
        if parts[0] in state
    }


def _shapes(tree: Any) -> dict[str, str]:
    """Path -> dtype and shape, "float32 (8, 64)"."""
    leaves = jax.tree_util.tree_flatten_with_path(tree)[0]
    return {fingerprint.path_name(p): f"{np.dtype(x.dtype)} {tuple(x.shape)}" for p, x in leaves}


def _blame(error: Exception, name: str) -> Exception:
    """`Damaged` where the files are to blame, else an error that a restart may help against."""
    cause: BaseException | None = error
    while cause is not None:
        ours = isinstance(cause, _DAMAGE) and not _PASSING.search(str(cause))
        if not ours:  # TensorStore's ValueError would count as a mistake, which nothing helps
            said = f"{name} cannot be read now: {error}"
            return OSError(said) if isinstance(error, ValueError) else error
        cause = cause.__cause__
    return Damaged(f"{name}: {type(error).__name__}: {' '.join(str(error).split())[:300]}")
