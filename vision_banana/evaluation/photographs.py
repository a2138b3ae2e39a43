"""The few real photographs that ship with the code, unlike all training data."""

import pathlib
from typing import NamedTuple

import numpy as np

from vision_banana.data import pictures

FOLDER = pathlib.Path(__file__).with_name("photos")


class Photograph(NamedTuple):
    """A real picture.

    Attributes:
      name: the file's name without its ending.
      picture: (H, W, 3) float32 RGB in [0, 1].
      shows: what is in it, a few words.
      credit: origin, licence and changes, one sentence.
    """

    name: str
    picture: np.ndarray
    shows: str
    credit: str


def load() -> list[Photograph]:
    """Reads every photograph that `photos/LICENSES.md` names."""
    found = []
    for line in (FOLDER / "LICENSES.md").read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if not line.startswith("| `"):
            continue
        file, shows, origin, licence, changes = cells
        path = FOLDER / file.strip("`")
        credit = f"{origin}; {licence}; changes: {changes}."
        found.append(Photograph(path.stem, pictures.read(path), shows, credit))
    return found
