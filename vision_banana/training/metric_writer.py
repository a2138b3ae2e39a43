"""Writes a run's scalars and pictures: one JSON line per record, TensorBoard, Weights & Biases."""

import importlib.util
import io
import math
import uuid
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
import tensorboardX
from etils import epath
from tensorboardX import record_writer

from vision_banana.training import folders
from vision_banana.training.json_lines import JsonLines


class MetricWriter:
    """Writes to `<workdir>/metrics.jsonl` and `<workdir>/tensorboard`, on one process only.

    Where the config names a project of Weights & Biases, everything goes there too.
    """

    def __init__(self, workdir: str, start_step: int, config: Mapping[str, Any]) -> None:
        """Opens the files for appending.

        Args:
          workdir: the run's folder, local or in a bucket.
          start_step: the step that the run goes on from; what was written of later ones goes.
          config: the run's config, a plain dict.
        """
        self._board = self._wandb = None
        if jax.process_index() == 0:
            folder = epath.Path(workdir)
            self._lines = JsonLines(folder / "metrics.jsonl", start_step)
            self._board = tensorboardX.SummaryWriter(
                str(folder / "tensorboard"), purge_step=start_step + 1 if start_step else None
            )
            if config.get("wandb_project"):  # weights of before know no such field
                self._wandb = _open_wandb(folder, config)

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Writes named numbers; those that nothing determines (NaN) are left out."""
        if self._board is None:
            return
        known = {k: float(v) for k, v in values.items() if math.isfinite(v)}
        self._lines.write({"step": step, **known})
        for name, value in known.items():
            self._board.add_scalar(name, value, step)
        if self._wandb is not None:
            self._wandb.log(known, step=step)

    def picture(self, step: int, name: str, rgb: np.ndarray) -> None:
        """Writes an (H, W, 3) uint8 picture."""
        if self._board is not None:
            self._board.add_image(name, rgb, step, dataformats="HWC")
        if self._wandb is not None:
            import wandb

            self._wandb.log({name: wandb.Image(rgb)}, step=step)

    def flush(self) -> None:
        """Makes sure that everything lies in the files."""
        if self._board is not None:
            self._lines.flush()
            self._board.flush()

    def close(self) -> None:
        """Writes what is left and closes the files."""
        if self._board is not None:
            self._lines.close()
            self._board.close()
        if self._wandb is not None:
            self._wandb.finish()


def check_wandb(project: str) -> None:
    """Checks that Weights & Biases is there where a project of it is named.

    Raises:
      ValueError: it is not installed.
    """
    found = importlib.util.find_spec("wandb") if project else None
    if project and (found is None or found.origin is None):  # a mere folder "wandb" has none
        raise ValueError(
            f"config.wandb_project is {project!r}, but Weights & Biases is not installed: "
            "pip install 'vision-banana[wandb]', or leave the field empty"
        )


def _open_wandb(folder: epath.Path, config: Mapping[str, Any]) -> Any:
    """The run of Weights & Biases that belongs to a work folder; a restart goes on in it."""
    import wandb

    noted = folder / "wandb_run.txt"
    if not noted.exists():
        noted.write_text(uuid.uuid4().hex[:8])
    return wandb.init(
        project=config["wandb_project"],
        id=noted.read_text(),
        name=folder.name,
        dir=None if folders.in_bucket(folder) else str(folder),
        config=dict(config),
        resume="allow",
    )


class _BucketEvents:
    """A TensorBoard event file in a bucket, uploaded whole at every flush."""

    def __init__(self, path: str) -> None:
        self._path = epath.Path(path)
        self._events = io.BytesIO()

    def write(self, data: bytes) -> None:
        self._events.write(data)

    def flush(self) -> None:
        self._path.write_bytes(self._events.getvalue())

    def close(self) -> None:
        self.flush()


class _Bucket:
    """What tensorboardX asks of a storage scheme; the project's own file layer answers."""

    def open(self, path: str) -> _BucketEvents:
        return _BucketEvents(path)

    def directory_check(self, path: str) -> None:
        """Buckets have no folders."""


for _scheme in ("gs", "s3"):
    record_writer.register_writer_factory(_scheme, _Bucket())
