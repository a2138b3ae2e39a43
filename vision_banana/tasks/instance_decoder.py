"""Decodes a picture in which every instance has a colour of its own, in parallel on the device.

The decoder of "Image Generators are Generalist Vision Learners" (arXiv 2604.20329, appendix A)
flood-fills from seed pixels: sequential, and one noisy seed decides for its whole region. Here a
picture that is flat (neighbouring colours equal or further than TAU apart) goes through the same
five rules, labelled in parallel, with the same result. Any other picture (noise, antialiased or
blurred borders, colours that drift) goes through a robust form of them:

1. The noise level is read from neighbouring differences; colours are smoothed within similar ones.
2. Pixels inside flat patches are the cores of instances and of the background; cores are joined
   where smoothed colours agree more tightly than TAU (a region cut in two is healed by rule 5; two
   regions run into one are lost).
3. The pixels between cores go to the neighbouring core of nearest colour.
4. The paper's rules 3 to 5 (small, halo, merge) apply to what results.
5. Pixels are reassigned to the nearest mean colour among the labels around them and the background,
   with a Potts term (iterated conditional modes; Besag 1986), which removes what noise is left.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from vision_banana.tasks import confidence as confidence_lib
from vision_banana.tasks import connected_components

frame = connected_components.frame
neighbour = connected_components.neighbour
square_distance = connected_components.square_distance

TAU = 14.0  # grey levels, Euclidean (appendix A)
MIN_AREA = 2e-4  # share of the picture
MIN_ERODED_INVERSE = 10  # a component must keep a tenth of its area under a 3x3 erosion
GAMMA = 5.0  # joint bounding box against the sum of the two

AROUND = tuple((dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1) if (dy, dx) != (0, 0))
WIDER = tuple((dy, dx) for dy in range(-2, 3) for dx in range(-2, 3) if (dy, dx) != (0, 0))


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


def is_clean(levels: jax.Array) -> jax.Array:
    """Tells which pictures are flat, so that the paper's rules apply as they stand.

    A picture is flat where any two of the 16-neighbours are equal or more than TAU apart: then
    a flood fill by seed colour finds exactly the connected pixels of equal colour. A picture
    downsampled with antialiasing can be flat in that sense too; it is told by its border pixels,
    which mix the colours of both sides in shares that change along the border.

    Args:
      levels: (3, B, H, W) float32, whole numbers 0 to 255.

    Returns:
      (B,) bool.
    """
    framed = frame(levels, jnp.nan)
    rough = jnp.zeros(levels.shape[1:], bool)
    for dy, dx in connected_components.OFFSETS:
        distance = square_distance(levels, neighbour(framed, dy, dx))
        rough = rough | (distance > 0) & (distance <= TAU**2)
    flat = ~jnp.any(rough, (1, 2))
    return lax.cond(
        jnp.any(flat), lambda: flat & ~_is_antialiased(framed), lambda: jnp.zeros_like(flat)
    )


def _is_antialiased(framed: jax.Array) -> jax.Array:
    levels = neighbour(framed, 0, 0)
    mixed = jnp.zeros(levels.shape[1:], bool)
    for dy, dx in connected_components.OFFSETS[:4]:
        a = neighbour(framed, dy, dx)
        along, step = neighbour(framed, -dy, -dx) - a, levels - a
        length = sum(along[c] * along[c] for c in range(3))
        share = sum(step[c] * along[c] for c in range(3))  # times length
        off = sum(step[c] * step[c] for c in range(3)) - share * share / jnp.maximum(length, 1)
        # 2 grey levels: three roundings to 8 bits.
        between = (share > 0.1 * length) & (share < 0.9 * length)
        mixed = mixed | (length > TAU**2) & between & (off <= 4.0)
    pairs = changes = jnp.zeros(levels.shape[1], jnp.int32)
    around = frame(mixed, False)
    for dy, dx in connected_components.OFFSETS[:4]:
        pair = mixed & neighbour(around, dy, dx)
        differs = square_distance(levels, neighbour(framed, dy, dx)) > 0
        pairs += jnp.sum(pair, (1, 2), dtype=jnp.int32)
        changes += jnp.sum(pair & differs, (1, 2), dtype=jnp.int32)
    return (changes >= 8) & (4 * changes >= pairs)


def noise_level(levels: jax.Array) -> jax.Array:
    """Estimates the standard deviation of the colour noise in grey levels.

    From the 60th percentile of the distance between horizontal neighbours (borders are a minority
    of pixels). Channels that are clipped at 0 or 255 make it too small by up to a half.

    Args:
      levels: (3, B, H, W) float32.

    Returns:
      (B,) float32.
    """
    step = max(1, levels.shape[-1] // 64)  # a sample is enough, and sorting is slow
    left, right = levels[..., ::step, :-1:step], levels[..., ::step, 1::step]
    distance = jnp.sqrt(square_distance(left, right)).reshape(levels.shape[1], -1)
    if distance.shape[1] == 0:
        return jnp.zeros(levels.shape[1])
    # sqrt(2): a difference of two; 1.716: 60th percentile of the norm of three normal variables.
    return jnp.percentile(distance, 60, axis=1) / (2**0.5 * 1.716)


def _median(x: jax.Array) -> jax.Array:
    """3x3 median of (..., H, W), the picture's edge repeated."""
    height, width = x.shape[-2:]
    padded = jnp.pad(x, [(0, 0)] * (x.ndim - 2) + [(1, 1), (1, 1)], mode="edge")
    padded = lax.optimization_barrier(padded)
    p = [padded[..., i : i + height, j : j + width] for i in range(3) for j in range(3)]
    # The 19 exchanges of Smith's median network (Paeth, Graphics Gems, 1990).
    for i, j in (
        *((1, 2), (4, 5), (7, 8), (0, 1), (3, 4), (6, 7), (1, 2), (4, 5), (7, 8), (0, 3)),
        *((5, 8), (4, 7), (3, 6), (1, 4), (2, 5), (4, 7), (4, 2), (6, 4), (4, 2)),
    ):
        p[i], p[j] = jnp.minimum(p[i], p[j]), jnp.maximum(p[i], p[j])
    return p[4]


def _smooth(levels: jax.Array, noise: jax.Array) -> jax.Array:
    """Averages each colour with the similar ones in the 5x5 window."""
    # Where there is little noise the median would only round corners off.
    base = jnp.where(noise[:, None, None] > 1.5, _median(levels), levels)
    limit = jnp.square(8.0 + 1.5 * noise)[:, None, None]
    framed = frame(base, -1e4)
    base = neighbour(framed, 0, 0)
    total, count = [base[c] for c in range(3)], jnp.ones(base.shape[1:], base.dtype)
    for dy, dx in WIDER:
        other = neighbour(framed, dy, dx)
        near = square_distance(base, other) <= limit
        total = [t + jnp.where(near, other[c], 0.0) for c, t in enumerate(total)]
        count = count + near.astype(base.dtype)
    return jnp.stack(total) / count


def _cores(smooth: jax.Array, tolerance: jax.Array) -> jax.Array:
    """Returns (B, H, W) bool: pixels with at least 5 of 9 similar in their 3x3 window.

    A border that is blurred over a pixel or two has 3: its mixtures change across it.
    """
    limit = jnp.square(tolerance)[:, None, None]
    framed = frame(smooth, jnp.nan)
    count = jnp.ones(smooth.shape[1:], jnp.int32)
    for dy, dx in AROUND:
        # Outside the picture all is similar: no comparison with NaN is true.
        far = square_distance(smooth, neighbour(framed, dy, dx)) > limit
        count += (~far).astype(jnp.int32)
    return count >= 5


def _front(
    levels: jax.Array, background: jax.Array, clean: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
    """Returns colours to join by, core and background pixels (B, H, W), tolerance (B,)."""

    def exact(_: None) -> tuple[jax.Array, jax.Array, jax.Array]:
        return levels, jnp.ones(levels.shape[1:], bool), jnp.full(clean.shape, TAU)

    def robust(_: None) -> tuple[jax.Array, jax.Array, jax.Array]:
        noise = noise_level(levels)
        smooth = _smooth(levels, noise)
        tolerance = 6.0 + 0.5 * jnp.minimum(noise, 12.0)
        core = _cores(smooth, tolerance)
        return (
            jnp.where(clean[:, None, None], levels, smooth),
            core | clean[:, None, None],
            jnp.where(clean, TAU, tolerance),
        )

    colors, core, tolerance = lax.cond(jnp.all(clean), exact, robust, None)
    empty = square_distance(colors, background[..., None, None]) < TAU**2
    return colors, core & ~empty, empty, tolerance


def _eroded(slots: jax.Array) -> jax.Array:
    """Pixels whose 3x3 window has one label; the picture's edge erodes nothing."""
    keep, framed = jnp.ones(slots.shape, bool), frame(slots, -1)
    for dy, dx in AROUND:
        other = neighbour(framed, dy, dx)
        keep = keep & ((other == slots) | (other == -1))
    return keep


def _is_instance(area: jax.Array, eroded: jax.Array, pixels: int) -> jax.Array:
    return (area > 0) & (area >= MIN_AREA * pixels) & (eroded * MIN_ERODED_INVERSE >= area)


def _candidates(labels: jax.Array, core: jax.Array, clean: jax.Array, count: int) -> jax.Array:
    """Numbers the `count` largest components of each picture.

    Args:
      labels: (B, H, W) int32 of `connected_components.label`.
      core: (B, H, W) bool, pixels that belong to a component.
      clean: (B,) bool; there, the rules for small components and halos apply already.
      count: K.

    Returns:
      (B, H, W) int32 in 0..K, K = no component.
    """
    batch, height, width = labels.shape
    flat = labels.reshape(-1)
    area = jnp.zeros(flat.shape, jnp.int32).at[flat].add(core.reshape(-1).astype(jnp.int32))
    inner = (_eroded(labels) & core).reshape(-1).astype(jnp.int32)
    eroded = jnp.zeros(flat.shape, jnp.int32).at[flat].add(inner)
    area, eroded = area.reshape(batch, -1), eroded.reshape(batch, -1)
    kept = _is_instance(area, eroded, height * width) | ~clean[:, None]
    # float32: exact up to 2^24 pixels, and on the CPU top_k of integers sorts all of them.
    largest, pixel = lax.top_k(jnp.where(kept, area, 0).astype(jnp.float32), count)
    slot = jnp.where(largest > 0, jnp.arange(count), count).astype(jnp.int32)
    table = jnp.full(area.shape, count, jnp.int32)
    table = table.at[jnp.arange(batch)[:, None], pixel].set(slot).reshape(-1)
    return jnp.where(core, table[labels], count)


def _scatter(values: jax.Array, slots: jax.Array, count: int, how: str) -> jax.Array:
    """Reduces int32 (B, H, W) by label into (B, count); labels >= count fall away."""
    batch = slots.shape[0]
    where = (jnp.arange(batch, dtype=jnp.int32)[:, None], slots.reshape(batch, -1))
    values = values.reshape(batch, -1)
    if how == "add":
        return jnp.zeros((batch, count), values.dtype).at[where].add(values, mode="drop")
    high = jnp.full((batch, count), jnp.iinfo(values.dtype).max, values.dtype)
    return high.at[where].min(values, mode="drop")


def _measure(slots: jax.Array, levels: jax.Array, core: jax.Array, count: int) -> Regions:
    """Measures the labels 0..count-1; the mean colour is that of core pixels."""
    height, width = slots.shape[1:]
    area = _scatter(jnp.ones(slots.shape, jnp.int32), slots, count, "add")
    row = jnp.broadcast_to(jnp.arange(height, dtype=jnp.int32)[:, None], slots.shape)
    column = jnp.broadcast_to(jnp.arange(width, dtype=jnp.int32), slots.shape)
    first, left, bottom, right = (
        _scatter(x, slots, count, "min") for x in (row * width + column, column, -row, -column)
    )
    box = jnp.stack([first // width, left, 1 - bottom, 1 - right], -1)
    return Regions(area, _means(slots, levels, core, count), first, box)


def _means(slots: jax.Array, levels: jax.Array, core: jax.Array, count: int) -> jax.Array:
    """Mean colour of the core pixels of the labels 0..count-1, (B, count, 3)."""
    slots = jnp.where(core, slots, count)
    area = _scatter(jnp.ones(slots.shape, jnp.int32), slots, count, "add")
    # Whole numbers: a float32 sum over a large flat region would not give its colour back.
    total = [_scatter(x.astype(jnp.int32), slots, count, "add") for x in levels]
    return jnp.stack(total, -1).astype(jnp.float32) / jnp.maximum(area, 1)[..., None]


def _box_area(box: jax.Array) -> jax.Array:
    size = (box[..., 2:] - box[..., :2]).astype(jnp.float32)
    return size[..., 0] * size[..., 1]


def _canonical_order(area: jax.Array, first: jax.Array) -> jax.Array:
    """Indices by area, largest first, then by first pixel; (B, K)."""
    return jnp.lexsort((first, -area), axis=-1)


def _merge(regions: Regions) -> tuple[Regions, jax.Array]:
    """Merges components of one colour that lie near each other (an occluded instance).

    Pairs are tried in canonical order; the first that qualifies is merged into the earlier of the
    two, which then has the joint area, mean and box, and the search begins again.

    Returns:
      The regions, in canonical order at the start, and (B, K) int32: where each given slot went.
    """
    batch, count = regions.area.shape
    order = _canonical_order(regions.area, regions.first)
    regions = jax.tree.map(
        lambda x: jnp.take_along_axis(x, order[(..., *[None] * (x.ndim - 2))], 1), regions
    )
    rows = jnp.arange(batch)
    upper = jnp.triu(jnp.ones((count, count), bool), 1)

    def candidates(r: Regions) -> jax.Array:
        a, b = r.box[:, :, None], r.box[:, None]
        joint = jnp.concatenate(
            [jnp.minimum(a[..., :2], b[..., :2]), jnp.maximum(a[..., 2:], b[..., 2:])], -1
        )
        own = _box_area(r.box)
        present = r.area > 0
        mean = jnp.moveaxis(r.mean, -1, 0)
        near = square_distance(mean[..., None], mean[:, :, None]) <= TAU**2
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
        return r, target, candidates(r)

    target = jnp.broadcast_to(jnp.arange(count), (batch, count))
    regions, target, _ = lax.while_loop(
        lambda state: jnp.any(state[2]), step, (regions, target, candidates(regions))
    )
    went = jnp.zeros((batch, count), jnp.int32).at[rows[:, None], order].set(target)
    return regions, went


def _lookup(table: jax.Array, slots: jax.Array) -> jax.Array:
    """table (B, K) at slots (B, H, W)."""
    return table[jnp.arange(table.shape[0])[:, None, None], slots]


def _table(mean: jax.Array, background: jax.Array) -> jax.Array:
    """Mean colours, then the background at K and, at K + 1, one that is nearest to nothing.

    (B, K, 3) and (3, B) to (3, B, K + 2).
    """
    nothing = jnp.full_like(background, 1e4)
    mean = jnp.moveaxis(mean, -1, 0)
    return jnp.concatenate([mean, background[..., None], nothing[..., None]], -1)


def _paint(table: jax.Array, slots: jax.Array) -> jax.Array:
    """Colours (3, B, H, W) of labels."""
    return jnp.stack([_lookup(plane, slots) for plane in table])


def _grow(slots: jax.Array, levels: jax.Array, table: jax.Array) -> jax.Array:
    """Gives each unassigned pixel (label K + 1) to the neighbour of nearest colour.

    One pixel further a round; what is not reached after 16 rounds becomes background.
    """
    nothing = table.shape[-1] - 1

    def step(state: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        slots, round_ = state
        colors, framed = frame(_paint(table, slots), 1e4), frame(slots, nothing)
        best, cost = slots, jnp.full(slots.shape, 1e7)
        for dy, dx in AROUND:
            distance = square_distance(levels, neighbour(colors, dy, dx))
            best = jnp.where(distance < cost, neighbour(framed, dy, dx), best)
            cost = jnp.minimum(cost, distance)
        return jnp.where(slots == nothing, best, slots), round_ + 1

    def unfinished(state: tuple[jax.Array, jax.Array]) -> jax.Array:
        return jnp.any(state[0] == nothing) & (state[1] < 16)

    slots, _ = lax.while_loop(unfinished, step, (slots, jnp.array(0)))
    return jnp.where(slots == nothing, nothing - 1, slots)


def _reassign(slots: jax.Array, levels: jax.Array, table: jax.Array, noise: jax.Array) -> jax.Array:
    """One round of iterated conditional modes over the labels in the 3x3 window and background.

    Cost of a label: squared colour distance / (2 noise^2) - weight x the neighbours that have it.
    """
    background = table.shape[-1] - 2
    # A floor of 4 grey levels: what a good generator errs by.
    scale = 0.5 / jnp.square(jnp.maximum(noise, 4.0))[:, None, None]
    weight = jnp.clip(noise / 4, 0.25, 1.0)[:, None, None]
    framed = frame(slots, -1)
    colors = frame(_paint(table, slots), 1e4)
    around = [neighbour(framed, dy, dx) for dy, dx in AROUND]
    options = [(slots, neighbour(colors, 0, 0))]
    options.append((jnp.full_like(slots, background), table[..., background, None, None]))
    options += [
        (other, neighbour(colors, dy, dx)) for (dy, dx), other in zip(AROUND, around, strict=True)
    ]
    best, lowest = slots, jnp.full(slots.shape, 1e9)
    for label, color in options:
        same = sum((other == label).astype(jnp.float32) for other in around)
        # A pixel that is half covered belongs to the instance, as where a mask is downsampled.
        share = jnp.where(label == background, 1.2, 1.0)
        cost = square_distance(levels, color) * scale * share - weight * same
        better = (cost < lowest) & (label >= 0)
        best, lowest = jnp.where(better, label, best), jnp.where(better, cost, lowest)
    return best


@functools.partial(jax.jit, static_argnames="max_instances")
def _decode(
    rgb: jax.Array, background: jax.Array, max_instances: int
) -> tuple[jax.Array, jax.Array]:
    levels = jnp.moveaxis(jnp.round(jnp.clip(rgb, 0, 1) * 255), -1, 0)
    background = jnp.moveaxis(jnp.round(jnp.clip(background, 0, 1) * 255), -1, 0)
    _, batch, height, width = levels.shape
    # Twice as many candidates as instances: occlusion cuts instances in pieces.
    count = min(max(128, 2 * max_instances), height * width)
    clean = is_clean(levels)
    untouched = clean[:, None, None]
    joined, core, empty, tolerance = _front(levels, background, clean)
    labels = connected_components.label(connected_components.links(joined, core, tolerance))
    slots = _candidates(labels, core, clean, count)
    slots = jnp.where((slots == count) & ~empty & ~untouched, count + 1, slots)

    def grow(slots: jax.Array, mean: jax.Array) -> jax.Array:
        def apply(_: None) -> jax.Array:
            return _grow(slots, levels, _table(mean, background))

        return lax.cond(jnp.all(clean), lambda _: slots, apply, None)

    slots = grow(slots, _means(slots, levels, core, count))
    regions = _measure(slots, levels, core, count)
    eroded = _scatter(_eroded(slots).astype(jnp.int32), slots, count, "add")
    kept = _is_instance(regions.area, eroded, height * width)
    regions, went = _merge(regions._replace(area=jnp.where(kept, regions.area, 0)))

    lost = jnp.where(clean, count, count + 1)[:, None]
    went = jnp.concatenate([jnp.where(kept, went, lost), jnp.full((batch, 1), count)], 1)
    slots = grow(_lookup(went, slots), regions.mean)
    table = _table(regions.mean, background)

    def refine(slots: jax.Array) -> jax.Array:
        noise, new = noise_level(levels), slots
        for _ in range(2):
            new = _reassign(new, levels, table, noise)
        return jnp.where(untouched, slots, new)

    slots = lax.cond(jnp.all(clean), lambda s: s, refine, slots)
    return _number(slots, levels, table, max_instances)


def _number(
    slots: jax.Array, levels: jax.Array, table: jax.Array, max_instances: int
) -> tuple[jax.Array, jax.Array]:
    """Numbers instances from 1 by area, then by first pixel, and drops those beyond the bound."""
    batch, height, width = slots.shape
    count = table.shape[-1] - 2
    pixel = jnp.arange(height * width, dtype=jnp.int32).reshape(height, width)
    area = _scatter(jnp.ones(slots.shape, jnp.int32), slots, count, "add")
    first = _scatter(jnp.broadcast_to(pixel, slots.shape), slots, count, "min")
    order = _canonical_order(area, first)
    rank = jnp.zeros((batch, count), jnp.int32)
    rank = rank.at[jnp.arange(batch)[:, None], order].set(jnp.arange(1, count + 1))
    rank = jnp.concatenate([rank, jnp.zeros((batch, 2), jnp.int32)], 1)
    ids = _lookup(rank, slots)
    distance = jnp.sqrt(square_distance(levels, _paint(table, slots))) / 255
    confidence = confidence_lib.from_distance(distance)
    beyond = ids > max_instances
    return jnp.where(beyond, 0, ids), jnp.where(beyond, 0.0, confidence)


def decode(
    rgb: jax.Array, background: jax.Array, max_instances: int = 64
) -> tuple[jax.Array, jax.Array]:
    """Finds the instances in drawn pictures.

    Args:
      rgb: (..., H, W, 3) float in [0, 1]; read as 8-bit colours.
      background: (..., 3) float in [0, 1], or (3,) for all pictures.
      max_instances: the most instances that are told apart.

    Returns:
      ids, (..., H, W) int32, 0 = background, instances from 1 in falling order of area (then of
      their first pixel), and confidence, (..., H, W) float32 in [0, 1], by the distance to the
      colour of the pixel's instance or background. Instances beyond `max_instances` (the
      smallest) are 0 with confidence 0.

    Raises:
      ValueError: for another shape, or max_instances below 1.
    """
    rgb, background = jnp.asarray(rgb), jnp.asarray(background)
    if rgb.ndim < 3 or rgb.shape[-1] != 3 or 0 in rgb.shape:
        raise ValueError(f"rgb has shape {rgb.shape}; give (..., H, W, 3), none of them 0")
    if max_instances < 1:
        raise ValueError(f"max_instances={max_instances}; give 1 or more")
    lead = rgb.shape[:-3]
    background = jnp.broadcast_to(background, (*lead, 3)).reshape(-1, 3)
    ids, confidence = _decode(
        rgb.reshape(-1, *rgb.shape[-3:]).astype(jnp.float32),
        background.astype(jnp.float32),
        max_instances,
    )
    return ids.reshape(rgb.shape[:-1]), confidence.reshape(rgb.shape[:-1])
