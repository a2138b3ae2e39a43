"""Records a few steps of a run with JAX's profiler."""

import pathlib
import re
import tempfile
from typing import Any

import jax
from etils import epath


def parse(text: str) -> range:
    """Steps from text such as "20:25", which is 20 to 24; none from an empty one.

    Raises:
      ValueError: text of another form, or no step.
    """
    if not text:
        return range(0)
    found = re.fullmatch(r"(\d+):(\d+)", text)
    if found is None or int(found[1]) >= int(found[2]):
        raise ValueError(f"--profile_steps is {text!r}: write FIRST:END, as in 20:25")
    return range(int(found[1]), int(found[2]))


class StepProfile:
    """Writes a profile of some steps to `<workdir>/profile`, on process 0 alone.

    The profiler writes to a folder of this machine, which is then copied: a bucket will do.

    Args:
      workdir: the run's folder, local or in a bucket.
      steps: the steps, without a gap; none records nothing.
    """

    def __init__(self, workdir: str, steps: range) -> None:
        self._to = epath.Path(workdir) / "profile"
        self._steps = steps if jax.process_index() == 0 else range(0)
        self._folder: tempfile.TemporaryDirectory | None = None

    def before(self, step: int, state: Any) -> None:
        """To be called before each step; waits for `state` where a recording begins or ends."""
        if self._folder is None and step in self._steps:
            jax.block_until_ready(state)
            self._folder = tempfile.TemporaryDirectory()
            jax.profiler.start_trace(self._folder.name)
        elif self._folder is not None and step not in self._steps:
            jax.block_until_ready(state)
            self.close()

    def close(self) -> None:
        """Ends a recording and writes it."""
        if self._folder is None:
            return
        folder, self._folder = self._folder, None
        jax.profiler.stop_trace()
        with folder as name:
            for file in pathlib.Path(name).rglob("*"):
                if file.is_file():
                    to = self._to / str(file.relative_to(name))
                    to.parent.mkdir(parents=True, exist_ok=True)
                    to.write_bytes(file.read_bytes())
