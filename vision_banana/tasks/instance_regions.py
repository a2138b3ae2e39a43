"""Candidate instances of a picture as tables of K regions: measured, selected, merged.

The rules are those of arXiv 2604.20329, appendix A, 3 to 5. Batches run in parallel; the loop over
merges is the only one, and it works on tables.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from vision_banana.tasks import connected_components, flatness

frame = connected_components.frame
neighbour = connected_components.neighbour
square_distance = connected_components.square_distance

TAU = flatness.TAU
MIN_AREA = 2e-4  # share of the picture
MIN_ERODED_INVERSE = 10  # a component must keep a tenth of its area under a 3x3 erosion
GAMMA = 5.0  # joint bounding box against the sum of the two


class Regions(NamedTuple):
    """Statistics of the K candidate components of each picture; an absent one has area 0.

    Attributes:
      area: (B, K) int32, pixels.
      mean: (B, K, 3) float32, grey levels.
      first: (B, K) int32, flat index of the first pixel in its picture.
      box: (B, K, 4) int32, top, left, bottom, right, the last two exclusive.
    """

    area: jax.Array
    mean: jax.Array
    first: jax.Array
    box: jax.Array


def eroded_pixels(slots: jax.Array) -> jax.Array:
    """Pixels whose 3x3 window has one label; the picture's edge erodes nothing."""
    keep, framed = jnp.ones(slots.shape, bool), frame(slots, -1)
    for dy, dx in connected_components.AROUND:
        other = neighbour(framed, dy, dx)
        keep = keep & ((other == slots) | (other == -1))
    return keep


def is_instance(area: jax.Array, eroded: jax.Array, pixels: int) -> jax.Array:
    """The paper's rules 3 and 4: neither tiny nor a halo."""
    return (area > 0) & (area >= MIN_AREA * pixels) & (eroded * MIN_ERODED_INVERSE >= area)


def candidates(
    labels: jax.Array, core: jax.Array, clean: jax.Array, count: int
) -> tuple[jax.Array, jax.Array]:
    """Numbers the `count` largest components of each picture.

    Args:
      labels: (B, H, W) int32 of `connected_components.label`.
      core: (B, H, W) bool, pixels that belong to a component.
      clean: (B,) bool; there, the rules for small components and halos apply already.
      count: K.

    Returns:
      (B, H, W) int32 in 0..K, K = no component, and (B, H, W) bool, pixels of a component for which
      there was no number left.
    """
    batch, height, width = labels.shape
    flat = labels.reshape(-1)
    area = jnp.zeros(flat.shape, jnp.int32).at[flat].add(core.reshape(-1).astype(jnp.int32))
    inner = (eroded_pixels(labels) & core).reshape(-1).astype(jnp.int32)
    eroded = jnp.zeros(flat.shape, jnp.int32).at[flat].add(inner)
    area, eroded = area.reshape(batch, -1), eroded.reshape(batch, -1)
    kept = is_instance(area, eroded, height * width) | ~clean[:, None]
    # float32: exact up to 2^24 pixels, and on the CPU top_k of integers sorts all of them.
    largest, pixel = lax.top_k(jnp.where(kept, area, 0).astype(jnp.float32), count)
    slot = jnp.where(largest > 0, jnp.arange(count), count).astype(jnp.int32)
    table = jnp.full(area.shape, count, jnp.int32)
    table = table.at[jnp.arange(batch)[:, None], pixel].set(slot).reshape(-1)
    slots = jnp.where(core, table[labels], count)
    return slots, core & kept.reshape(-1)[labels] & (slots == count)


def scatter(values: jax.Array, slots: jax.Array, count: int, how: str) -> jax.Array:
    """Reduces int32 (B, H, W) by label into (B, count); labels >= count fall away."""
    batch = slots.shape[0]
    where = (jnp.arange(batch, dtype=jnp.int32)[:, None], slots.reshape(batch, -1))
    values = values.reshape(batch, -1)
    if how == "add":
        return jnp.zeros((batch, count), values.dtype).at[where].add(values, mode="drop")
    high = jnp.full((batch, count), jnp.iinfo(values.dtype).max, values.dtype)
    return high.at[where].min(values, mode="drop")


def measure(slots: jax.Array, levels: jax.Array, core: jax.Array, count: int) -> Regions:
    """Measures the labels 0..count-1; the mean colour is that of core pixels."""
    height, width = slots.shape[1:]
    area = scatter(jnp.ones(slots.shape, jnp.int32), slots, count, "add")
    row = jnp.broadcast_to(jnp.arange(height, dtype=jnp.int32)[:, None], slots.shape)
    column = jnp.broadcast_to(jnp.arange(width, dtype=jnp.int32), slots.shape)
    first, left, bottom, right = (
        scatter(x, slots, count, "min") for x in (row * width + column, column, -row, -column)
    )
    box = jnp.stack([first // width, left, 1 - bottom, 1 - right], -1)
    return Regions(area, means(slots, levels, core, count), first, box)


def means(slots: jax.Array, levels: jax.Array, core: jax.Array, count: int) -> jax.Array:
    """Mean colour of the core pixels of the labels 0..count-1, (B, count, 3)."""
    slots = jnp.where(core, slots, count)
    area = scatter(jnp.ones(slots.shape, jnp.int32), slots, count, "add")
    # Whole numbers: a float32 sum over a large flat region would not give its colour back.
    total = [scatter(x.astype(jnp.int32), slots, count, "add") for x in levels]
    return jnp.stack(total, -1).astype(jnp.float32) / jnp.maximum(area, 1)[..., None]


def is_border(
    slots: jax.Array, levels: jax.Array, core: jax.Array, background: jax.Array, count: int
) -> jax.Array:
    """Tells which regions are blurred borders, before growing would make them thick.

    A border has no pixel whose 3x3 window is its own, touches a region that has one, and its mean
    lies between that region's and the background.

    Args:
      slots: (B, H, W) int32, labels 0..count-1.
      levels: (3, B, H, W) grey levels.
      core: (B, H, W) bool.
      background: (3, B) grey levels.
      count: K.

    Returns:
      (B, K) bool.
    """
    regions = measure(slots, levels, core, count)
    inner = scatter(eroded_pixels(slots).astype(jnp.int32), slots, count, "add")
    solid = (inner > 0)[:, None, :]
    thin = ((inner == 0) & (regions.area > 0))[:, :, None]
    ramp = jnp.moveaxis(regions.mean, -1, 0) - background[..., None]
    length = jnp.sum(jnp.square(ramp), 0)[:, None, :]
    share = jnp.einsum("cbi,cbj->bij", ramp, ramp) / jnp.maximum(length, 1)
    off = square_distance(ramp[..., :, None], share * ramp[..., None, :])
    a, b = regions.box[:, :, None], regions.box[:, None]
    # A ramp of up to two pixels may part their boxes.
    touch = jnp.all((a[..., :2] <= b[..., 2:] + 2) & (b[..., :2] <= a[..., 2:] + 2), -1)
    mixed = (share > 0.05) & (share < 0.9) & (off <= TAU**2) & touch
    return jnp.any(thin & solid & mixed, 2)


def _box_area(box: jax.Array) -> jax.Array:
    size = (box[..., 2:] - box[..., :2]).astype(jnp.float32)
    return size[..., 0] * size[..., 1]


def canonical_order(area: jax.Array, first: jax.Array) -> jax.Array:
    """Indices by area, largest first, then by first pixel; (B, K)."""
    return jnp.lexsort((first, -area), axis=-1)


def merge(regions: Regions, tolerance: jax.Array) -> tuple[Regions, jax.Array]:
    """Merges components of one colour that lie near each other (an occluded instance).

    Pairs are tried in canonical order; the first that qualifies is merged into the earlier of the
    two, which then has the joint area, mean and box, and the search begins again.

    Args:
      regions: the components.
      tolerance: (B,) grey levels up to which two means are one colour.

    Returns:
      The regions, in canonical order at the start, and (B, K) int32: where each given slot went.
    """
    batch, count = regions.area.shape
    order = canonical_order(regions.area, regions.first)
    regions = jax.tree.map(
        lambda x: jnp.take_along_axis(x, order[(..., *[None] * (x.ndim - 2))], 1), regions
    )
    rows = jnp.arange(batch)
    upper = jnp.triu(jnp.ones((count, count), bool), 1)
    limit = jnp.square(tolerance)[:, None, None]

    def mergeable(r: Regions) -> jax.Array:
        a, b = r.box[:, :, None], r.box[:, None]
        joint = jnp.concatenate(
            [jnp.minimum(a[..., :2], b[..., :2]), jnp.maximum(a[..., 2:], b[..., 2:])], -1
        )
        own = _box_area(r.box)
        present = r.area > 0
        mean = jnp.moveaxis(r.mean, -1, 0)
        near = square_distance(mean[..., None], mean[:, :, None]) <= limit
        compact = _box_area(joint) <= GAMMA * (own[:, :, None] + own[:, None])
        return upper & present[:, :, None] & present[:, None] & near & compact

    def step(state: tuple[Regions, jax.Array, jax.Array]) -> tuple[Regions, jax.Array, jax.Array]:
        r, target, pairs = state
        flat = pairs.reshape(batch, -1)
        found = jnp.any(flat, 1)
        pair = jnp.argmax(flat, 1)
        # A picture that is done merges its last slot into itself, which changes nothing.
        i = jnp.where(found, pair // count, count - 1)
        j = jnp.where(found, pair % count, count - 1)
        a, b = (jax.tree.map(lambda x, k=k: x[rows, k], r) for k in (i, j))
        area = a.area + b.area
        weight = (b.area / jnp.maximum(area, 1))[:, None]
        joint = Regions(
            area,
            a.mean + weight * (b.mean - a.mean),
            jnp.minimum(a.first, b.first),
            jnp.concatenate(
                [
                    jnp.minimum(a.box[:, :2], b.box[:, :2]),
                    jnp.maximum(a.box[:, 2:], b.box[:, 2:]),
                ],
                -1,
            ),
        )
        merged = jax.tree.map(lambda x, y: x.at[rows, i].set(y), r, joint)
        merged = merged._replace(area=merged.area.at[rows, j].set(0))
        r = jax.tree.map(
            lambda new, old: jnp.where(found[(..., *[None] * (new.ndim - 1))], new, old), merged, r
        )
        target = jnp.where(found[:, None] & (target == j[:, None]), i[:, None], target)
        return r, target, mergeable(r)

    target = jnp.broadcast_to(jnp.arange(count), (batch, count))
    regions, target, _ = lax.while_loop(
        lambda state: jnp.any(state[2]), step, (regions, target, mergeable(regions))
    )
    went = jnp.zeros((batch, count), jnp.int32).at[rows[:, None], order].set(target)
    return regions, went
