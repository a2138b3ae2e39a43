"""Which records a run was trained on: one JSON line a step and process, in `<workdir>/records`."""

import collections
from collections.abc import Sequence

import jax
from etils import epath

from vision_banana.training import json_lines
from vision_banana.training.json_lines import JsonLines

FOLDER = "records"
_FILES = "*-of-*.jsonl"  # what evaluations score lies in this folder too


class RecordLog:
    """Writes this process's part; does nothing unless it is switched on."""

    def __init__(self, workdir: str, start_step: int, on: bool) -> None:
        """Opens the log.

        Args:
          workdir: the run's folder, local or in a bucket.
          start_step: the step that the run goes on from; what was written of later ones goes.
          on: whether anything is written.
        """
        self._lines = None
        if not on:
            return
        folder = epath.Path(workdir) / FOLDER
        own = f"{jax.process_index():05d}-of-{jax.process_count():05d}.jsonl"
        if jax.process_index() == 0 and folder.exists():
            # The run may have had another number of processes before.
            for path in sorted(folder.glob(_FILES)):
                if not path.name.endswith(own[5:]):
                    JsonLines(path, start_step).close()
        self._lines = JsonLines(folder / own, start_step)

    def write(self, step: int, rows: Sequence[int], records: Sequence[str]) -> None:
        """Notes the records that step `step` (the first is 1) was taken on.

        Args:
          step: its number.
          rows: which groups of the global batch this process read.
          records: keys of their records, in the order of `rows`, as many for each.
        """
        if self._lines is not None:
            self._lines.write({"step": step, "rows": list(rows), "records": list(records)})

    def flush(self) -> None:
        """Makes sure that everything lies in the file."""
        if self._lines is not None:
            self._lines.flush()

    def close(self) -> None:
        """Writes what is left and closes the file."""
        if self._lines is not None:
            self._lines.close()


def read(workdir: str) -> dict[int, list[str]]:
    """The keys of each step's global batch in its order, whichever process read which rows."""
    steps: dict[int, dict[int, list[str]]] = collections.defaultdict(dict)
    for path in sorted((epath.Path(workdir) / FOLDER).glob(_FILES)):
        for line in json_lines.read(path):
            each = len(line["records"]) // len(line["rows"])
            for place, row in enumerate(line["rows"]):
                steps[line["step"]][row] = line["records"][place * each :][:each]
    return {
        step: [key for _, keys in sorted(rows.items()) for key in keys]
        for step, rows in sorted(steps.items())
    }
