"""Whether a drawn picture shows what its caption says, judged by rules on colours and outlines.

The judge knows the procedural scenes' colours and classes and nothing of the generator. It errs
too: give it the true renders and their scores stand for perfect ones.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from vision_banana.metrics import solid_blobs, solid_detector, solid_views
from vision_banana.metrics.metric import Metric
from vision_banana.metrics.solid_detector import Solid

RELATIONS = ("left of", "right of", "in front of", "behind", "above")
# How much worse than the best class a named class may fit a blob (on true renders of training
# scenes the true class does in 89 %, each other class in 6 %).
MARGIN = 0.02
# Difference of places that a relation needs, as a share of the picture's side. Captions state
# left and right from 0.1, in front of and behind from 0.05.
_APART, _LOWER = 0.05, 0.02

NAMES = ("color_present", "color_on_shape", "color_on_family", "count", "position", "all_correct")


class AgreementState(NamedTuple):
    """Statements that a picture bears out, and all statements, (6,) int64 in `NAMES`' order."""

    right: np.ndarray
    stated: np.ndarray


def caption_agreement() -> Metric:
    """Returns the shares of captions' statements that pictures bear out.

    `update(state, rgb, objects, relations)`: pictures (B, H, W, 3) in [0, 1]; for each picture
    its caption's objects, mappings with "class" and "color" and perhaps "count", and its
    relations (i, name, j) between the objects i and j. What the caption does not say is not
    judged. Each score pools its statements over all pictures:

    - color_present: for each object, a blob of its colour is there.
    - color_on_shape: for each object, the outline and shading of such a blob fit its class best,
      or worse than the best class by less than `MARGIN`.
    - color_on_family: for each object, some class of its family (`solid_views.FAMILIES`) fits
      such a blob in the same sense.
    - count: for each object with a count, as many such blobs fit its class (best, or in
      `color_on_shape`'s sense) as the count says.
    - position: for each relation, blobs of the two objects stand so: left and right by their
      centres, in front of and behind by their lower ends, above by both.
    - all_correct: for each picture whose caption names an object, that all of color_on_shape,
      count and position are right.

    Raises ValueError for a picture, colour, class or relation that is unknown here.
    """

    def init() -> AgreementState:
        return AgreementState(*(np.zeros(len(NAMES), np.int64) for _ in range(2)))

    def update(
        state: AgreementState,
        rgb: Any,
        objects: Sequence[Sequence[Mapping[str, Any]]],
        relations: Sequence[Sequence[tuple[int, str, int]]],
    ) -> AgreementState:
        rgb = np.asarray(rgb, np.float32)
        if rgb.ndim != 4 or rgb.shape[-1] != 3 or len(rgb) != len(objects):
            raise ValueError(
                f"caption_agreement: rgb has shape {rgb.shape} for {len(objects)} captions; give "
                "pictures (B, H, W, 3) and B lists of objects"
            )
        for picture, things, pairs in zip(rgb, objects, relations, strict=True):
            right, stated = judge(picture, things, pairs)
            state = AgreementState(state.right + right, state.stated + stated)
        return state

    def merge(a: AgreementState, b: AgreementState) -> AgreementState:
        return AgreementState(a.right + b.right, a.stated + b.stated)

    def compute(state: AgreementState) -> dict[str, float]:
        return {
            name: float(right / stated) if stated else float("nan")
            for name, right, stated in zip(NAMES, state.right, state.stated, strict=True)
        }

    return Metric(init, update, merge, compute)


def judge(
    rgb: np.ndarray,
    objects: Sequence[Mapping[str, Any]],
    relations: Sequence[tuple[int, str, int]],
) -> tuple[np.ndarray, np.ndarray]:
    """Counts of statements borne out and of statements for one picture (H, W, 3), (6,) each."""
    for thing in objects:
        _known("color", thing["color"], solid_blobs.COLORS)
        _known("class", thing["class"], solid_views.CLASSES)
    found = solid_detector.detect(rgb, {thing["color"] for thing in objects})
    tally: dict[str, list[bool]] = {name: [] for name in NAMES}
    for thing in objects:
        solids, kind = found[thing["color"]], thing["class"]
        tally["color_present"].append(bool(solids))
        tally["color_on_shape"].append(any(fits(s, kind) for s in solids))
        kin = solid_views.FAMILIES[solid_views.FAMILY[kind]]
        tally["color_on_family"].append(any(fits(s, name) for s in solids for name in kin))
        if "count" in thing:
            least = sum(s.kind == kind for s in solids)
            most = sum(fits(s, kind) for s in solids)
            tally["count"].append(least <= thing["count"] <= most)
    for i, relation, j in relations:
        _known("relation", relation, RELATIONS)
        pair = _pair(found, objects[i], objects[j])
        tally["position"].append(pair is not None and stands(rgb.shape, pair[0], relation, pair[1]))
    if objects:
        needed = ("color_on_shape", "count", "position")
        tally["all_correct"].append(all(all(tally[name]) for name in needed))
    return (
        np.array([sum(tally[name]) for name in NAMES], np.int64),
        np.array([len(tally[name]) for name in NAMES], np.int64),
    )


def _known(what: str, name: str, names: Any) -> None:
    if name not in names:
        raise ValueError(f"caption_agreement: {what} {name!r} is unknown; it knows {list(names)}")


def fits(solid: Solid, kind: str) -> bool:
    """Whether a class fits a solid best or nearly so."""
    mismatch = solid.mismatch
    return bool(mismatch[solid_views.CLASSES.index(kind)] <= mismatch.min() + MARGIN)


def _pair(
    found: Mapping[str, list[Solid]], one: Mapping[str, Any], two: Mapping[str, Any]
) -> tuple[Solid, Solid] | None:
    """The two different solids of two objects' colours that fit their classes best."""
    first, second = (solid_views.CLASSES.index(thing["class"]) for thing in (one, two))
    pairs = [
        (a.mismatch[first] - a.mismatch.min() + b.mismatch[second] - b.mismatch.min(), i, j)
        for i, a in enumerate(found[one["color"]])
        for j, b in enumerate(found[two["color"]])
        if a is not b
    ]
    if not pairs:
        return None
    _, i, j = min(pairs)
    return found[one["color"]][i], found[two["color"]][j]


def stands(shape: tuple[int, ...], one: Solid, relation: str, two: Solid) -> bool:
    """Whether `one` stands in a relation of `RELATIONS` to `two` in a picture of (H, W, ...)."""
    height, width = shape[:2]
    down = (one.blob.center[0] - two.blob.center[0]) / height
    right = (one.blob.center[1] - two.blob.center[1]) / width
    if relation in ("left of", "right of"):
        return (right if relation == "right of" else -right) > _APART
    if relation == "above":
        spread = two.blob.mask.any(0).sum() / width
        return down < -_APART and abs(right) < spread / 2
    lower = (_lowest(one) - _lowest(two)) / height
    return (lower if relation == "in front of" else -lower) > _LOWER


def _lowest(solid: Solid) -> int:
    """The last row of a solid."""
    return int(np.flatnonzero(solid.blob.mask.any(1))[-1])
