"""A picture with a caption, as the example of generation that every caption source yields."""

import numpy as np

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
