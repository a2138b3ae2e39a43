"""Writes a run's scalars and pictures: one JSON line per record, and TensorBoard."""

import io
import math
from collections.abc import Mapping

import jax
import numpy as np
import tensorboardX
from etils import epath
from tensorboardX import record_writer

from vision_banana.training.json_lines import JsonLines


class MetricWriter:
    """Writes to `<workdir>/metrics.jsonl` and `<workdir>/tensorboard`, on one process only."""

    def __init__(self, workdir: str, start_step: int = 0) -> None:
        """Opens the files for appending.

        Args:
          workdir: the run's folder, local or in a bucket.
          start_step: the step that the run goes on from; what was written of later ones goes.
        """
        self._board = None
        if jax.process_index() == 0:
            folder = epath.Path(workdir)
            self._lines = JsonLines(folder / "metrics.jsonl", start_step)
            self._board = tensorboardX.SummaryWriter(
                str(folder / "tensorboard"), purge_step=start_step + 1 if start_step else None
            )

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Writes named numbers; those that nothing determines (NaN) are left out."""
        if self._board is None:
            return
        known = {k: float(v) for k, v in values.items() if math.isfinite(v)}
        self._lines.write({"step": step, **known})
        for name, value in known.items():
            self._board.add_scalar(name, value, step)

    def picture(self, step: int, name: str, rgb: np.ndarray) -> None:
        """Writes an (H, W, 3) picture, RGB in [0, 1]."""
        if self._board is not None:
            self._board.add_image(name, np.asarray(rgb), step, dataformats="HWC")

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
