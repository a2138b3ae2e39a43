"""Writes a run's scalars and pictures: one JSON line per record, and TensorBoard."""

import json
import math
from collections.abc import Mapping

import jax
import numpy as np
import tensorboardX
from etils import epath


class MetricWriter:
    """Writes to `<workdir>/metrics.jsonl` and `<workdir>/tensorboard`, on one process only."""

    def __init__(self, workdir: str) -> None:
        """Opens the files for appending."""
        self._board = None
        if jax.process_index() == 0:
            folder = epath.Path(workdir)
            folder.mkdir(parents=True, exist_ok=True)
            self._lines = (folder / "metrics.jsonl").open("a")
            self._board = tensorboardX.SummaryWriter(str(folder / "tensorboard"))

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Writes named numbers; those that nothing determines (NaN) are left out."""
        if self._board is None:
            return
        known = {k: float(v) for k, v in values.items() if math.isfinite(v)}
        self._lines.write(json.dumps({"step": step, **known}) + "\n")
        self._lines.flush()
        for name, value in known.items():
            self._board.add_scalar(name, value, step)

    def picture(self, step: int, name: str, rgb: np.ndarray) -> None:
        """Writes an (H, W, 3) picture, RGB in [0, 1]."""
        if self._board is not None:
            self._board.add_image(name, np.asarray(rgb), step, dataformats="HWC")

    def close(self) -> None:
        """Writes what is left and closes the files."""
        if self._board is not None:
            self._lines.close()
            self._board.close()
