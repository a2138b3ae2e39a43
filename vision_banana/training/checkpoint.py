"""Checkpoints: the whole state with its step, saved asynchronously by Orbax.

A checkpoint holds four items: `params`, `ema`, `train` (optimiser and step) and `description`, a
JSON object with the config, the versions and the language that the weights speak (tokenizer,
colour codes, prompt version, image range). Weights can be restored without the rest, and any mesh
can restore what another has saved.
"""

from collections.abc import Mapping
from typing import Any

import jax
import orbax.checkpoint as ocp
from etils import epath
from jax.sharding import Mesh

from vision_banana.models.generator import Generator, Params
from vision_banana.training import sharding
from vision_banana.training.train_state import TrainState


class Checkpoints:
    """The checkpoints of one run, in `<workdir>/checkpoints`."""

    def __init__(self, workdir: str, keep: int = 2, read_only: bool = False) -> None:
        """Opens the folder.

        Args:
          workdir: the run's folder, local or in a bucket.
          keep: number of newest checkpoints that stay.
          read_only: open without creating or deleting anything.
        """
        self.folder = epath.Path(workdir).expanduser().absolute() / "checkpoints"
        if read_only and not self.folder.exists():
            raise FileNotFoundError(
                f"{self.folder} does not exist; give the --workdir of a run that has trained"
            )
        options = ocp.CheckpointManagerOptions(
            max_to_keep=None if read_only else keep, create=not read_only, read_only=read_only
        )
        self._manager = ocp.CheckpointManager(self.folder, options=options)

    def latest_step(self) -> int | None:
        """The newest complete checkpoint's step, None where there is none."""
        return self._manager.latest_step()

    def save(self, state: TrainState, description: Mapping[str, Any]) -> None:
        """Starts saving a state; errors of the writing surface in a later call or in `close`."""
        step = int(state["step"])
        if step == self.latest_step():
            return
        items = ocp.args.Composite(
            params=ocp.args.StandardSave(state["params"]),
            ema=ocp.args.StandardSave(state["ema"]),
            train=ocp.args.StandardSave({"opt_state": state["opt_state"], "step": state["step"]}),
            description=ocp.args.JsonSave(dict(description)),
        )
        self._manager.save(step, args=items)

    def description(self) -> dict[str, Any]:
        """The newest checkpoint's description.

        Raises:
          FileNotFoundError: where there is no complete checkpoint.
        """
        items = ocp.args.Composite(description=ocp.args.JsonRestore())
        return self._manager.restore(self._step(), args=items)["description"]

    def restore(self, abstract: TrainState) -> TrainState:
        """Restores the newest state into the given shapes and shardings."""
        items = ocp.args.Composite(
            params=ocp.args.StandardRestore(abstract["params"]),
            ema=ocp.args.StandardRestore(abstract["ema"]),
            train=ocp.args.StandardRestore(
                {"opt_state": abstract["opt_state"], "step": abstract["step"]}
            ),
        )
        restored = self._manager.restore(self._step(), args=items)
        return {"params": restored["params"], "ema": restored["ema"], **restored["train"]}

    def restore_weights(self, model: Generator, mesh: Mesh, which: str = "ema") -> Params:
        """Restores only the weights, `ema` or `params`, of the newest checkpoint.

        Raises:
          FileNotFoundError: where there is no complete checkpoint.
          ValueError: where the checkpoint is of another model.
        """
        check_model(model, self.description()["config"]["model"], str(self.folder))
        shapes = jax.eval_shape(model.init, jax.random.key(0))
        abstract = jax.tree.map(
            lambda x, s: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=s),
            shapes,
            sharding.tree_shardings(shapes, mesh),
        )
        items = ocp.args.Composite(**{which: ocp.args.StandardRestore(abstract)})
        return self._manager.restore(self._step(), args=items)[which]

    def close(self) -> None:
        """Waits for a save under way and raises its error, if any."""
        self._manager.wait_until_finished()
        self._manager.close()

    def _step(self) -> int:
        step = self.latest_step()
        if step is None:
            raise FileNotFoundError(f"{self.folder} holds no complete checkpoint; train first")
        return step


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
