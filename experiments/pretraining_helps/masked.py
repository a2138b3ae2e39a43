"""Masked pictures as a source: the generator is pre-trained as an auto-encoder of what it sees.

The reference is a scene with most of its patches grey, the target the whole scene, and the loss
counts the hidden patches alone (masked auto-encoders, arXiv 2111.06377, section 3). Hidden patches
stay in the sequence as grey ones, as in SimMIM (arXiv 2111.09886, section 3.2), since the generator
reads whole pictures. With every training time at 0 the noisy target tells nothing, so that the
loss is the squared error of a picture drawn from the visible patches in one pass.
"""

import numpy as np

from vision_banana.data import scenes
from vision_banana.tasks.task import Example

INSTRUCTION = "fill in the gray patches"
GRAY = 0.5
_MASKS = 7  # keeps the masks' random numbers apart from those of the scenes


class MaskedScenes:
    """Scenes with hidden patches, to be filled in. Implements `source.Source`.

    Args:
      split: "train" or "heldout".
      size: side of the square pictures, in pixels.
      patch: side of a patch, in pixels.
      hidden: share of the patches that are hidden.

    Raises:
      ValueError: a size that patches do not fill, or a share that hides none or all of them.
    """

    tasks = ("image_editing",)

    def __init__(
        self, split: str = "train", size: int = 64, patch: int = 8, hidden: float = 0.75
    ) -> None:
        self._scenes = scenes.Scenes(split, size)
        self._side, self._patch = size // patch, patch
        self._count = round(hidden * self._side**2)
        if size % patch:
            raise ValueError(f"size is {size}: it must be a multiple of the patch, {patch}")
        if not 0 < self._count < self._side**2:
            raise ValueError(f"hidden is {hidden}: it must hide some of {self._side**2} patches")
        self.name = f"masked_scenes/{split}"

    def __len__(self) -> int:
        return len(self._scenes)

    def example(self, index: int, task: str) -> Example:
        """Scene `index`, with a mask of its own; see `source.Source`."""
        if task not in self.tasks:
            raise ValueError(f"{self.name} cannot answer {task!r}: it has {self.tasks}")
        picture = self._scenes.scene(index).rgb
        rng = np.random.default_rng((*scenes.seed(self._scenes.split, int(index)), _MASKS))
        hidden = np.zeros(self._side**2, bool)
        hidden[rng.permutation(hidden.size)[: self._count]] = True
        hidden = np.kron(
            hidden.reshape(self._side, self._side), np.ones((self._patch, self._patch), bool)
        )
        seen = np.where(hidden[..., None], np.float32(GRAY), picture)
        words = {"instruction": INSTRUCTION}
        return Example(task, f"{self.name}/{index}", (seen,), picture, hidden, words)
