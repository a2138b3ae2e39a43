"""Checkpoints: the whole state with its step, saved asynchronously by Orbax.

A checkpoint holds four items: `params`, `ema`, `train` (optimiser, step and guard) and
`description`, a JSON object with the config, the versions, the language that the weights speak
(tokenizer, colour codes, prompt version, image range) and a fingerprint of every array. Weights can
be restored without the rest, and any mesh and any number of processes can restore what another has
saved. What is read is compared with its fingerprint; a checkpoint that is torn or damaged is passed
over, with a message, for the one before it, and what holds NaN or infinity is never saved.
"""

import contextlib
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

import jax
import orbax.checkpoint as ocp
from absl import logging
from jax.sharding import Mesh
from orbax.checkpoint import checkpoint_managers

from vision_banana.models.generator import Generator, Params
from vision_banana.training import (
    checkpoint_reader,
    distributed,
    fingerprint,
    folders,
    sharding,
)
from vision_banana.training.checkpoint_reader import Damaged, Reader
from vision_banana.training.train_state import TrainState

T = TypeVar("T")


@contextlib.contextmanager
def _unwarned() -> Iterator[None]:
    """Within it Orbax does not warn that a folder is only read."""

    def is_news(record: Any) -> bool:
        return not str(record.msg).startswith("Given directory is read only")

    logger = logging.get_absl_logger()
    logger.addFilter(is_news)
    try:
        yield
    finally:
        logger.removeFilter(is_news)


class Checkpoints:
    """The checkpoints of one run, in `<workdir>/checkpoints`."""

    def __init__(
        self,
        workdir: str,
        keep: int = 2,
        read_only: bool = False,
        *,
        keep_every: int = 0,
        keep_best: int = 0,
        best_metric: str = "loss",
    ) -> None:
        """Opens the folder.

        Args:
          workdir: the run's folder, local or in a bucket.
          keep: number of newest checkpoints that stay.
          read_only: open without creating, moving or deleting anything.
          keep_every: checkpoints of steps that this divides stay for ever; 0 for none.
          keep_best: number of checkpoints with the smallest `best_metric` that stay.
          best_metric: a name among the metrics given to `save`, such as "loss/depth".
        """
        self.folder = folders.full(workdir) / "checkpoints"
        self._read_only = read_only
        if read_only and not self.folder.exists():
            raise FileNotFoundError(
                f"{self.folder} does not exist; give the --workdir of a run that has trained"
            )
        if keep < 1:
            raise ValueError(f"config.keep is {keep}; at least the newest checkpoint must stay")
        stay: list[Any] = [checkpoint_managers.LatestN(keep)]
        if keep_every:
            stay.append(checkpoint_managers.EveryNSteps(keep_every))

        def measure(metrics: Mapping[str, float]) -> float:
            # A run may go on with another `best_metric` than a checkpoint was saved with.
            return metrics.get(best_metric, math.inf)

        if keep_best:
            smallest = checkpoint_managers.BestN(
                get_metric_fn=measure,
                reverse=True,
                n=keep_best,
                keep_checkpoints_without_metrics=False,
            )
            stay.append(smallest)
        self._best_metric = best_metric if keep_best else None
        options = ocp.CheckpointManagerOptions(
            preservation_policy=checkpoint_managers.AnyPreservationPolicy(stay),
            best_fn=measure if keep_best else None,  # without it metrics are not written
            create=not read_only,
            read_only=read_only,
            cleanup_tmp_directories=not read_only,
            save_interval_steps=0 if read_only else 1,
        )
        with _unwarned():
            self._manager = ocp.CheckpointManager(self.folder, options=options)
        self._reader = Reader(self.folder)

    def steps(self) -> list[int]:
        """Steps of the complete checkpoints, the newest first."""
        return sorted(self._manager.all_steps(), reverse=True)

    def latest_step(self) -> int | None:
        """The newest complete checkpoint's step, None where there is none."""
        return self._manager.latest_step()

    def save(
        self,
        state: TrainState,
        description: Mapping[str, Any],
        metrics: Mapping[str, float] | None = None,
    ) -> None:
        """Starts saving a state; a failure of the writing surfaces in a later call or in `close`.

        Args:
          state: see `train_state.create`.
          description: a JSON object that goes with it.
          metrics: what `best_metric` names one of; a save without it is none of the best.

        Raises:
          FloatingPointError: the state is not finite; nothing is written.
          OSError: this save or the one before it failed.
        """
        step = int(state["step"])
        if step in self._manager.all_steps():
            return
        prints, bad = fingerprint.take(checkpoint_reader.by_item(state))
        if bad:
            raise FloatingPointError(
                f"{bad[0]} (and {len(bad) - 1} other arrays) holds NaN or infinity at step {step}; "
                f"nothing is saved, and the newest checkpoint is of step {self.latest_step()}. "
                f"Go back to an earlier checkpoint, or begin a new --workdir with "
                f"--config.init_from={self.folder.parent} and a lower "
                "config.optimizer.learning_rate"
            )
        if metrics is not None and self._best_metric not in (None, *metrics):
            logging.warning(
                "checkpoint %d is none of the best: there is no config.best_metric=%r, only %s",
                step,
                self._best_metric,
                ", ".join(sorted(metrics)) or "skipped updates",
            )
            metrics = None
        arrays = {
            name: ocp.args.StandardSave(tree)
            for name, tree in checkpoint_reader.by_item(state).items()
        }
        told = ocp.args.JsonSave({**description, checkpoint_reader.FINGERPRINT: prints})
        with self._writing():
            self._manager.save(
                step,
                args=ocp.args.Composite(**arrays, description=told),
                metrics=None if metrics is None else dict(metrics),
            )

    def last_saved(self) -> int | None:
        """The newest checkpoint's step, once a save under way is done."""
        with self._writing():
            self._manager.wait_until_finished()
        return self.latest_step()

    def close(self) -> None:
        """Waits for a save under way; raises OSError where it failed."""
        self._reader.close()
        with self._writing():
            self._manager.close()

    def newest_good(self, read: Callable[[int], T], step: int | None = None) -> tuple[int, T]:
        """Reads the newest checkpoint that is whole; all processes read the same one.

        Args:
          read: `(step) -> value`, which raises `Damaged` as this class's own reading does.
          step: the only one to try; None tries all, from the newest.

        Returns:
          The step, and what `read` gave.

        Raises:
          FileNotFoundError: there is no such checkpoint.
          ValueError: all are damaged; says how.
        """
        candidates = [s for s in self.steps() if step in (None, s)]
        if not candidates:
            wanted = "no complete checkpoint" if step is None else f"no checkpoint of step {step}"
            raise FileNotFoundError(f"{self.folder} holds {wanted} (there are {self.steps()})")
        faults: dict[int, str] = {}
        for candidate in candidates:
            try:
                value, fault = read(candidate), ""
            except Damaged as error:
                fault = str(error)
            if not distributed.anywhere(bool(fault)):
                self._set_aside(faults)
                return candidate, value
            faults[candidate] = fault or "another process could not read it"
            logging.warning(
                "checkpoint %d of %s is damaged and passed over: %s",
                candidate,
                self.folder,
                faults[candidate],
            )
        raise ValueError(
            f"no checkpoint of {self.folder} can be read ("
            + "; ".join(f"step {s}: {fault}" for s, fault in faults.items())
            + "); bring back a copy of one, or train anew in another --workdir"
        )

    def description(self, step: int | None = None) -> dict[str, Any]:
        """The description of a checkpoint, or of the newest good one.

        Raises:
          FileNotFoundError: where there is no complete checkpoint.
          Damaged: the one of the given step cannot be read.
        """
        if step is not None:
            return self._reader.description(step)
        return self.newest_good(self._reader.description)[1]

    def restore(self, abstract: TrainState) -> TrainState:
        """Restores the newest good state into the given shapes and shardings.

        Raises:
          FileNotFoundError, ValueError: see `newest_good`; also a state of another shape.
        """
        return self.newest_good(lambda step: self._reader.restore(step, abstract))[1]

    def read_weights(self, model: Generator, mesh: Mesh, which: str, step: int) -> Params:
        """The weights of one checkpoint, "ema" or "params".

        Raises:
          Damaged: they cannot be read.
          ValueError: the checkpoint is of another model.
        """
        check_model(model, self.description(step)["config"]["model"], str(self.folder))
        shapes = jax.eval_shape(model.init, jax.random.key(0))
        abstract = jax.tree.map(
            lambda x, s: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=s),
            shapes,
            sharding.tree_shardings(shapes, mesh),
        )
        return self._reader.restore(step, {which: abstract})[which]

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        """Orbax's errors of writing, of many types, as one."""
        try:
            yield
        except Exception as error:
            said = " ".join(str(error).split())
            raise OSError(f"a checkpoint could not be written to {self.folder}: {said}") from error

    def _set_aside(self, faults: Mapping[int, str]) -> None:
        """Moves damaged checkpoints out of the way of new ones of the same steps."""
        if not faults or self._read_only:
            return
        aside = self.folder.parent / "damaged_checkpoints"
        if jax.process_index() == 0:
            aside.mkdir(parents=True, exist_ok=True)
            for step, fault in faults.items():
                number = 0
                while (told := aside / f"{step}-{number}.txt").exists():
                    number += 1
                told.write_text(fault + "\n")
                (self.folder / str(step)).rename(told.with_suffix(""))
        distributed.wait("damaged checkpoints set aside")
        self._manager.reload()


def saved_steps(workdir: str) -> list[int]:
    """Steps of a run's complete checkpoints, the newest first; writes nothing."""
    found = ocp.utils.checkpoint_steps(folders.full(workdir) / "checkpoints")
    return sorted(found, reverse=True)


def check_model(model: Generator, saved: Mapping[str, Any], where: str) -> None:
    """Checks that saved weights fit a model.

    Raises:
      ValueError: naming the first field that differs.
    """
    for field in ("size", "attention", "vocabulary", "text_features"):
        if field in saved and saved[field] != getattr(model, field):
            raise ValueError(
                f"{where} holds a model with {field} = {saved[field]!r}, but this one has "
                f"{getattr(model, field)!r}; use the config that the checkpoint was trained with"
            )
