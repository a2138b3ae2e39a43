"""What an example must be before it is trained on; one that is not is a bad record.

A source refuses what it cannot read. This check, at the door of the mixture, refuses what was read
but contradicts itself: a label of another size than its picture, numbers outside their range, ids
that name nothing.
"""

from collections.abc import Callable

import numpy as np

from vision_banana.data.source import BadRecord
from vision_banana.tasks import surface_normals
from vision_banana.tasks.semantic_segmentation import NONE
from vision_banana.tasks.task import Example

_ROUNDING = 1e-5  # by which resampling may leave [0, 1]


def check(example: Example, task: str) -> None:
    """Checks an example against what its task promises.

    Args:
      example: what a source gave.
      task: the task that it was asked for.

    Raises:
      BadRecord: with a reason whose part before the colon names the kind of damage.
    """

    def refuse(kind: str, seen: object) -> None:
        raise BadRecord(example.key, f"{kind}: {seen}")

    if example.task != task:
        refuse("another task", f"{example.task!r} where {task!r} was asked")
    valid = example.valid
    if valid.ndim != 2 or valid.dtype != bool or 0 in valid.shape:
        refuse("valid is no mask", f"{valid.dtype} of shape {valid.shape}")
    if not valid.any():
        refuse("nothing is labelled", "valid is False everywhere")
    for i, picture in enumerate(example.references):
        # The truth lies on the first; a further one may have its own size (`transforms.apply`).
        _picture(picture, "picture", valid.shape if i == 0 else picture.shape[:2], refuse)
    if task in _LABELS:
        _LABELS[task](example, refuse)


Refuse = Callable[[str, object], None]


def _picture(rgb: np.ndarray, name: str, size: tuple[int, ...], refuse: Refuse) -> None:
    if rgb.size == 0:
        refuse(f"{name} is empty", f"shape {rgb.shape}")
    if rgb.shape != (*size, 3):
        refuse(f"{name} of another size", f"shape {rgb.shape}, it must be {(*size, 3)}")
    if not np.isfinite(rgb).all():
        refuse(f"{name} is not finite", f"{int((~np.isfinite(rgb)).sum())} values")
    if rgb.dtype.kind != "f" or rgb.min() < -_ROUNDING or rgb.max() > 1 + _ROUNDING:
        refuse(f"{name} outside [0, 1]", f"{rgb.dtype} from {rgb.min()} to {rgb.max()}")


def _map(example: Example, refuse: Refuse, channels: tuple[int, ...] = ()) -> np.ndarray:
    """The label where it is claimed to be known, once its shape has been checked."""
    if example.label.shape != (*example.valid.shape, *channels):
        refuse("label of another size", f"{example.label.shape} for {example.valid.shape}")
    return example.label[example.valid]


def _depth(example: Example, refuse: Refuse) -> None:
    metres = _map(example, refuse)
    if np.isnan(metres).any():
        refuse("depth is not a number", f"{int(np.isnan(metres).sum())} values")
    if (metres < 0).any():
        refuse("negative depth", f"{metres.min()} m")


def _normals(example: Example, refuse: Refuse) -> None:
    normals = _map(example, refuse, (3,))
    length = np.linalg.norm(normals, axis=-1)
    # (0, 0, 0) is a pixel without a normal.
    wrong = ~(np.abs(length - 1) <= surface_normals.LENGTH_TOLERANCE) & ~(length == 0)
    if wrong.any():
        refuse("normals without unit length", f"{int(wrong.sum())} vectors, {length[wrong][0]}")


def _classes(example: Example, refuse: Refuse) -> None:
    ids, names = _map(example, refuse), example.words["classes"]
    wrong = (ids != NONE) & ((ids < 0) | (ids >= len(names)))
    if wrong.any():
        refuse("unknown class", f"{ids[wrong][0]} of {len(names)} classes")


def _instances(example: Example, refuse: Refuse) -> None:
    ids = _map(example, refuse)
    if (ids < 0).any():
        refuse("negative instance id", ids.min())


def _regions(example: Example, refuse: Refuse) -> None:
    masks, expressions = example.label, example.words["expressions"]
    if masks.ndim != 3 or masks.shape[1:] != example.valid.shape:
        refuse("label of another size", f"{masks.shape} for {example.valid.shape}")
    if len(masks) != len(expressions):
        refuse("masks without expressions", f"{len(masks)} masks, {len(expressions)} expressions")


def _drawing(words: str) -> Callable[[Example, Refuse], None]:
    def one(example: Example, refuse: Refuse) -> None:
        _picture(example.label, "label", example.valid.shape, refuse)
        if not str(example.words[words]).strip():
            refuse(f"no {words}", repr(example.words[words]))

    return one


_LABELS: dict[str, Callable[[Example, Refuse], None]] = {
    "depth": _depth,
    "surface_normals": _normals,
    "semantic_segmentation": _classes,
    "instance_segmentation": _instances,
    "referring_segmentation": _regions,
    "image_generation": _drawing("caption"),
    "image_editing": _drawing("instruction"),
}
