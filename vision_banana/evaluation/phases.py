"""The phases of a training: runs of which each began with the weights of the one before."""

import json
import os
from typing import Any, NamedTuple

from etils import epath

from vision_banana.training import json_lines


class Phase(NamedTuple):
    """One run.

    Attributes:
      name: its folder's name ("pretrain").
      folder: where it is.
      records: the lines of its `metrics.jsonl`.
    """

    name: str
    folder: str
    records: list[dict[str, Any]]


def find(workdir: str) -> list[Phase]:
    """A run's phases, the first one first.

    They are followed back through `init_from` of each folder's config, as far as the folders are
    still there; a run without a log of its steps is left out.

    Args:
      workdir: the folder of the last phase; it need not exist.
    """
    found: list[Phase] = []
    seen: set[str] = set()
    folder = str(workdir)
    while folder and os.path.normpath(folder) not in seen:
        seen.add(os.path.normpath(folder))
        log, config = (epath.Path(folder) / name for name in ("metrics.jsonl", "config.json"))
        if log.exists():
            name = os.path.basename(os.path.normpath(folder))
            found.insert(0, Phase(name, folder, json_lines.read(log)))
        folder = json.loads(config.read_text()).get("init_from", "") if config.exists() else ""
    return found
