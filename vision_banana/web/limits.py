"""What a page lets in: limits of an upload and of what is asked, and what is said beyond them."""

import math
import os
from typing import NamedTuple

import numpy as np

from vision_banana.data import pictures
from vision_banana.evaluation import resize

SIDE = 1024  # a larger picture is shrunk: the generator sees no more, and a browser shows no more


class Limits(NamedTuple):
    """What one visitor can ask for.

    Attributes:
      megabytes: the largest file, in 1024 * 1024 bytes.
      megapixels: the largest picture, in 1,000,000 pixels, decided before it is decoded.
      steps: the most sampling steps.
      guidance: the largest weight of prompt or picture.
      letters: the longest prompt.
      waiting: how many may wait while one is answered.
    """

    megabytes: float = 20.0
    megapixels: float = 25.0
    steps: int = 50
    guidance: float = 10.0
    letters: int = 1000
    waiting: int = 8

    @property
    def bytes(self) -> int:
        """The largest file."""
        return int(self.megabytes * 2**20)


def read_picture(path: str | os.PathLike[str], limits: Limits) -> np.ndarray:
    """Reads an upload.

    Args:
      path: of the file, on this machine.
      limits: see `Limits`.

    Returns:
      (H, W, 3) float32 RGB in [0, 1], at most `SIDE` pixels high and wide.

    Raises:
      ValueError: a file that is gone, too large, no picture, or of too many pixels, in one
        sentence that does not name the path.
      OSError: one that cannot be read.
    """
    if not os.path.isfile(path):  # a pipe would be waited for, a device may never end
        raise ValueError("the picture is no longer here: choose it again")
    size = os.path.getsize(path)
    if size > limits.bytes:
        raise ValueError(
            f"the file has {size / 2**20:.1f} MB; up to {limits.megabytes:g} MB are taken: make "
            "the picture smaller, or start the demo with a larger --max_megabytes"
        )
    with open(path, "rb") as file:
        data = file.read(size)  # no more, if it grows meanwhile
    try:
        picture = pictures.read(data, max_pixels=int(limits.megapixels * 1e6))
    except pictures.TooLarge as error:
        raise ValueError(f"{error}, or start the demo with a larger --max_megapixels") from error
    height, width = picture.shape[:2]
    shrink = max(height, width) / SIDE
    if shrink <= 1:
        return picture
    return resize.smooth(picture, (max(1, round(height / shrink)), max(1, round(width / shrink))))


def whole(name: str, value: float | None, least: int, most: int) -> int:
    """A whole number of a form.

    Raises:
      ValueError: none, or one outside the limits; names the field and its limits.
    """
    if value is None or not float(value).is_integer() or not least <= value <= most:
        raise ValueError(
            f"{name} is {_said(value)}; it must be a whole number from {least} to {most}"
        )
    return int(value)


def weight(name: str, value: float | None, most: float) -> float:
    """A guidance weight of a form; raises ValueError naming the field and its limits."""
    if value is None or not math.isfinite(value) or not 0 < value <= most:
        raise ValueError(f"{name} is {_said(value)}; it must be above 0 and at most {most:g}")
    return float(value)


def prompt(text: str | None, limits: Limits) -> str:
    """A prompt of a form; raises ValueError for none, or one that is too long."""
    text = (text or "").strip()
    if not text:
        raise ValueError("the prompt is empty; write what you want to see")
    if len(text) > limits.letters:
        raise ValueError(
            f"the prompt has {len(text)} letters; up to {limits.letters} are taken: shorten it"
        )
    return text


def _said(value: float | None) -> str:
    return "missing" if value is None else f"{value:g}"
