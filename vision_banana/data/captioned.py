"""A picture with a caption, as the example of generation that every caption source yields."""

import numpy as np

from vision_banana.data import pictures
from vision_banana.tasks.task import Example


def example(key: str, picture: np.ndarray, caption: str) -> Example:
    """Generation of a picture from its caption, about whose objects nothing is known.

    Args:
      key: which record this is.
      picture: (H, W, 3) float32 RGB in [0, 1].
      caption: what it shows.
    """
    return Example(
        task="image_generation",
        key=key,
        references=(),
        label=picture,
        valid=np.ones(picture.shape[:2], bool),
        words={"caption": caption, "objects": (), "relations": ()},
    )


def picture(file: pictures.Source, max_pixels: int) -> np.ndarray:
    """Reads a picture file, (H, W, 3) float32 RGB in [0, 1]; ValueError says why it cannot."""
    try:
        return pictures.read(file, max_pixels)
    except (ValueError, TypeError) as e:
        raise ValueError(f"unreadable picture: {e}") from e


def text(data: bytes) -> str:
    """A caption's text; ValueError where it is no UTF-8."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as e:
        raise ValueError(f"caption is no UTF-8: {e}") from e
