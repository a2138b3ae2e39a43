"""A large picture answered in overlapping tiles, blended in decoded units, never in colour.

A mixture of two colours of a code is neither's meaning, so each tile is decoded first. What is
blended then: metres, directions, labels by weight, masks by weight, instances that agree where
their tiles overlap (`units.UNITS`). A tile's weight falls linearly from its middle to its edge.
"""

import itertools
from collections.abc import Sequence

import numpy as np

from vision_banana.evaluation import units
from vision_banana.tasks.task import Answer

OVERLAP = 0.25  # of a tile's side, at least
MOST = 64  # tiles of one picture

Box = tuple[slice, slice]


def places(shape: tuple[int, int], side: int) -> list[Box]:
    """Square tiles, evenly spread, that cover (H, W), each overlapping the next by a quarter.

    Raises:
      ValueError: there are more than `MOST`, or the picture is smaller than a tile.
    """
    if min(shape) < side:
        raise ValueError(f"a picture of {shape} pixels cannot be cut into tiles of {side}")
    starts = []
    for length in shape:
        count = 1 + int(np.ceil((length - side) / (side * (1 - OVERLAP))))
        starts.append(np.rint(np.linspace(0, length - side, count)).astype(int).tolist())
    if len(starts[0]) * len(starts[1]) > MOST:
        raise ValueError(
            f"a picture of {shape[0]} x {shape[1]} pixels takes {len(starts[0]) * len(starts[1])} "
            f"tiles of {side}: ask at a smaller size, at most {MOST} tiles"
        )
    return [(slice(y, y + side), slice(x, x + side)) for y, x in itertools.product(*starts)]


def weight(side: int) -> np.ndarray:
    """(side, side) float, 1 in the middle, falling linearly to 1 / side at the edge's pixels."""
    ramp = 1 - np.abs(2 * (np.arange(side) + 0.5) / side - 1)
    return ramp[:, None] * ramp[None, :]


def blend(answers: Sequence[Answer], boxes: Sequence[Box], shape: tuple[int, int]) -> Answer:
    """One answer of (H, W) from those of its tiles, batches of one."""
    name = units.unit_of(answers[0])
    side = boxes[0][0].stop - boxes[0][0].start
    weights = np.zeros((len(boxes), *shape))
    sure = np.zeros_like(weights)
    values = None
    for n, (answer, box) in enumerate(zip(answers, boxes, strict=True)):
        one = np.asarray(answer[name])[0]
        axis = one.ndim - 2 if name == "masks" else 0
        canvas = (slice(None),) * axis + box
        if values is None:
            whole = (*one.shape[:axis], *shape, *one.shape[axis + 2 :])
            values = np.zeros((len(boxes), *whole), one.dtype)
        values[n][canvas] = one
        weights[n][box] = weight(side)
        sure[n][box] = np.asarray(answer["confidence"])[0]
    assert values is not None
    confidence = (weights * sure).sum(0) / weights.sum(0)
    blended = units.UNITS[name].blend(values, weights)[None]
    return units.changed(
        answers[0], **{name: blended}, confidence=confidence.astype(np.float32)[None]
    )
