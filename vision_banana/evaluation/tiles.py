"""A large picture answered in overlapping tiles, blended in decoded units, never in colour.

A mixture of two colours of a code is neither's meaning, so each tile is decoded first. What is
blended then: metres, directions, labels by weight, masks by weight, instances that agree where
their tiles overlap (`units.UNITS`). A tile's weight falls linearly from its middle to its edge.
"""

import itertools
from collections.abc import Iterator, Sequence

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
    values = [np.asarray(answer[name])[0] for answer in answers]
    sures = [np.asarray(answer["confidence"])[0] for answer in answers]
    if name == "ids":
        values = units.join(values, boxes)
    one = values[0]
    axis = one.ndim - 2 if name == "masks" else 0
    before = (slice(None),) * axis
    blended = np.zeros((*one.shape[:axis], *shape, *one.shape[axis + 2 :]), one.dtype)
    confidence = np.zeros(shape, np.float32)
    ramp = weight(boxes[0][0].stop - boxes[0][0].start)
    for cell, over in _cells(boxes):
        places = [(n, units.within(cell, boxes[n])) for n in over]
        weights = np.stack([ramp[place] for _, place in places])
        sure = np.stack([sures[n][place] for n, place in places])
        said = np.stack([values[n][before + place] for n, place in places])
        confidence[cell] = (weights * sure).sum(0) / weights.sum(0)
        blended[before + cell] = units.UNITS[name].blend(said, weights)
    if name == "ids":
        blended = units.compact(blended)
    return units.changed(answers[0], **{name: blended[None]}, confidence=confidence[None])


def _cells(boxes: Sequence[Box]) -> Iterator[tuple[Box, list[int]]]:
    """The parts that the tiles' edges cut a picture into, and which tiles cover each."""
    edges = [sorted({x for box in boxes for x in (box[a].start, box[a].stop)}) for a in (0, 1)]
    for rows, columns in itertools.product(*(itertools.pairwise(x) for x in edges)):
        over = [
            n
            for n, (y, x) in enumerate(boxes)
            if y.start <= rows[0] < y.stop and x.start <= columns[0] < x.stop
        ]
        yield (slice(*rows), slice(*columns)), over
