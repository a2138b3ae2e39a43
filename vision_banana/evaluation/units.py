"""Answers in their own units: mirrored back, voted on, blended across tiles. Never in colour.

What an answer consists of is known by the names of its arrays, the same for every task that
answers in that unit. A task with a new unit adds a row to `UNITS`.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from scipy import optimize

from vision_banana.metrics import segmentation, surface_normals
from vision_banana.tasks.task import Answer

DELTA1 = 1.25  # depths agree within this factor (strict)
AGREE_DEG = 11.25  # normals agree below this angle
AGREE_IOU = 0.5  # instances of two answers are one from this IoU on

Vote = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]


class Unit(NamedTuple):
    """What can be done with one picture's values.

    Attributes:
      mirror: the values of the mirrored picture, (..., H, W, ...) -> the same.
      vote: `(values, weights) -> (value, agrees)`: the value that N answers (N, ...) come to, and
        which of them agree with it, (N, H, W) bool. Weights (N, H, W) lie in [1, 2) and settle
        ties: none outweighs a majority.
      blend: `(values, weights) -> value`: the mean, in this unit, of what N tiles say of the same
        pixels; of instances, what `join` has numbered.
    """

    mirror: Callable[[np.ndarray], np.ndarray]
    vote: Vote
    blend: Callable[[np.ndarray, np.ndarray], np.ndarray]


DRAWN = ("off_path",)


def unit_of(answer: Answer) -> str:
    """The name of an answer's unit; ValueError where it has none that can be combined."""
    names = [name for name in UNITS if name in answer]
    if len(names) != 1:
        raise ValueError(
            f"an answer of {sorted(answer)} cannot be combined with others: it must hold one of "
            f"{', '.join(UNITS)}"
        )
    return names[0]


def changed(answer: Answer, **values: np.ndarray) -> Answer:
    """An answer with other values, without those that tell how one picture was drawn."""
    return {name: x for name, x in answer.items() if name not in DRAWN} | values


def mirror(answer: Answer) -> Answer:
    """The answer about a mirrored picture as one about the picture; batches of one."""
    name = unit_of(answer)
    sure = np.asarray(answer["confidence"])[..., ::-1]
    return changed(answer, **{name: UNITS[name].mirror(np.asarray(answer[name]))}, confidence=sure)


def vote(answers: Sequence[Answer]) -> Answer:
    """Combines answers to one question, batches of one, about one picture.

    Depth takes the median (of an even number the mean of the middle two), normals the mean
    direction, labels and masks the majority; instances are matched first (see `match`). A tie goes
    to the surer side. Confidence is the mean over the answers of their confidence where they agree
    with the outcome and 0 where they do not: within a factor of 1.25, an angle below 11.25 degrees,
    the same label, mask or instance.

    Returns:
      The first answer with these values in place of its own.
    """
    name = unit_of(answers[0])
    sure = np.stack([np.asarray(answer["confidence"])[0] for answer in answers])
    values = np.stack([np.asarray(answer[name])[0] for answer in answers])
    value, agrees = UNITS[name].vote(values, 1 + sure / (1 + len(answers)))
    confidence = (agrees * sure).mean(0).astype(np.float32)
    return changed(answers[0], **{name: value[None]}, confidence=confidence[None])


def majority(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The value of the greatest weight at each pixel: (N, H, W) int -> (H, W)."""
    found = np.unique(values)
    best, most = np.full(values.shape[1:], found[0]), np.zeros(values.shape[1:])
    for value in found:
        weight = np.where(values == value, weights, 0).sum(0)
        best, most = np.where(weight > most, value, best), np.maximum(weight, most)
    return best.astype(values.dtype)


def match(ids: np.ndarray) -> np.ndarray:
    """Renumbers instances so that those of several answers that are one share a number.

    Answer by answer: its instances are paired with those known so far (the pixels that at least
    half of its members hold), Hungarian on IoU, and kept as one from `AGREE_IOU` on; the rest are
    new ones. In the vote a new one must then win its pixels from the background alone.

    Args:
      ids: (N, H, W) int, 0 is the background.

    Returns:
      (N, H, W) int32.
    """
    known: list[np.ndarray] = []  # (H, W) how many members hold each pixel
    members: list[int] = []
    result = np.zeros(ids.shape, np.int32)
    for n, drawn in enumerate(ids):
        masks = [drawn == i for i in np.unique(drawn[drawn != 0])]
        cores = [2 * held >= count for held, count in zip(known, members, strict=True)]
        for mask, k in zip(masks, _pairs(masks, cores), strict=True):
            if k is None:
                k = len(known)
                known.append(np.zeros(drawn.shape, np.int64))
                members.append(0)
            known[k] = known[k] + mask
            members[k] += 1
            result[n][mask] = k + 1
    return result


def _pairs(masks: Sequence[np.ndarray], cores: Sequence[np.ndarray]) -> list[int | None]:
    """For each mask the core that it belongs to, or None."""
    if not masks or not cores:
        return [None] * len(masks)
    a, b = (np.stack(x).reshape(len(x), -1).astype(np.float32) for x in (masks, cores))
    shared = a @ b.T
    iou = shared / (a.sum(1)[:, None] + b.sum(1)[None] - shared)
    pairs = dict(zip(*(x.tolist() for x in optimize.linear_sum_assignment(-iou)), strict=True))
    return [k if k is not None and iou[i, k] >= AGREE_IOU else None
            for i, k in ((i, pairs.get(i)) for i in range(len(masks)))]  # fmt: skip


def _vote_depth(values: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    middle = np.median(values, axis=0)
    # Where half of them see sky the two middle values straddle it, and their mean is sky however
    # unsure those are: then the surer half decides, by the middle value on its side.
    near = np.isfinite(values)
    straddles = 2 * near.sum(0) == len(values)
    nearer = straddles & (2 * (weights * near).sum(0) >= weights.sum(0))
    middle = np.where(nearer, np.where(near, values, -np.inf).max(0), middle)
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = np.maximum(values / middle, middle / values)
    return middle.astype(np.float32), (values == middle) | (ratio < DELTA1)


def _blend_depth(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The weighted mean in metres; sky, infinitely far, where it has more than half the weight."""
    near = np.isfinite(values)
    total, seen = weights.sum(0), (weights * near).sum(0)
    mean = (weights * np.where(near, values, 0)).sum(0) / np.where(seen > 0, seen, 1)
    return np.where(2 * seen >= total, mean, np.inf).astype(np.float32)


def _mean_direction(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    total = (values * weights[..., None]).sum(0)
    length = np.linalg.norm(total, axis=-1, keepdims=True)
    # Opposite vectors have no mean: then the heaviest stands.
    first = np.take_along_axis(values, weights.argmax(0)[None, ..., None], 0)[0]
    mean = np.where(length > 1e-6, total / np.where(length > 1e-6, length, 1), first)
    return mean.astype(np.float32)


def _vote_normals(values: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    mean = _mean_direction(values, np.ones_like(weights))
    angle = surface_normals.angle_deg(values, np.broadcast_to(mean, values.shape))
    return mean, angle < AGREE_DEG


def _vote_labels(values: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    best = majority(values, weights)
    return best, values == best


def _blend_masks(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    held = (values * weights[:, None]).sum(0)
    return 2 * held > weights.sum(0)


def _vote_masks(values: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    best = _blend_masks(values, weights)
    return best, (values == best).all(1)


def join(ids: Sequence[np.ndarray], boxes: Sequence[tuple[slice, slice]]) -> list[np.ndarray]:
    """Renumbers instances of tiles: two are one where they agree in the overlap of their tiles.

    Args:
      ids: of each tile, (H, W) int each.
      boxes: the rows and columns of the picture that each tile covers.

    Returns:
      The tiles, int32, with the same number for what is one, from 1 on.
    """
    found = [np.unique(tile) for tile in ids]
    places = [(n, i) for n, values in enumerate(found) for i in values[values != 0].tolist()]
    number = {place: k + 1 for k, place in enumerate(places)}
    for n in range(len(ids)):
        for m in range(n):
            both = tuple(
                slice(max(a.start, b.start), min(a.stop, b.stop))
                for a, b in zip(boxes[n], boxes[m], strict=True)
            )
            if any(part.start >= part.stop for part in both):
                continue
            seen = [ids[k][within(both, boxes[k])] for k in (n, m)]
            here, there, table = segmentation.contingency(*seen)
            shared = table[1]
            union = shared.sum(1)[:, None] + shared.sum(0) - shared
            agree = (shared > 0) & (shared >= AGREE_IOU * union)
            agree &= (here != 0)[:, None] & (there != 0)
            for i, j in zip(*np.nonzero(agree), strict=True):
                old, new = number[n, int(here[i])], number[m, int(there[j])]
                number = {p: new if k == old else k for p, k in number.items()}
    joined = []
    for n, (values, tile) in enumerate(zip(found, ids, strict=True)):
        numbers = np.array([number.get((n, i), 0) for i in values.tolist()], np.int32)
        joined.append(numbers[np.searchsorted(values, tile)])
    return joined


def within(part: Sequence[slice], box: Sequence[slice]) -> tuple[slice, ...]:
    """Where a part of a picture lies in a tile that covers `box`."""
    return tuple(slice(p.start - b.start, p.stop - b.start) for p, b in zip(part, box, strict=True))


def _vote_ids(values: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    matched = match(values)
    best = majority(matched, weights)
    return compact(best), matched == best


def compact(ids: np.ndarray) -> np.ndarray:
    """Ids numbered 1, 2, ... without gaps."""
    found = np.unique(np.append(ids, 0))
    return np.searchsorted(found, ids).astype(np.int32)


def _columns(values: np.ndarray) -> np.ndarray:
    return values[..., ::-1]


def _mirror_normals(normals: np.ndarray) -> np.ndarray:
    return normals[..., ::-1, :] * np.asarray([-1, 1, 1], normals.dtype)


UNITS = {
    "depth": Unit(_columns, _vote_depth, _blend_depth),
    "normals": Unit(_mirror_normals, _vote_normals, _mean_direction),
    "labels": Unit(_columns, _vote_labels, majority),
    "masks": Unit(_columns, _vote_masks, _blend_masks),
    "ids": Unit(_columns, _vote_ids, majority),
}
