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
3. Thin regions that mix the background's colour with a neighbour's are borders; they and the
   pixels between cores go to the neighbouring core of nearest colour.
4. The paper's rules 3 to 5 (small, halo, merge) apply to what results, rule 5 with a tolerance of
   DRIFT, as a generator paints one instance in colours that drift; a region within FADE of the
   background is a piece of it.
5. Pixels are reassigned to the nearest mean colour among the labels around them and the background,
   with a Potts term (iterated conditional modes; Besag 1986), which removes what noise is left.
"""

import functools

import jax
import jax.numpy as jnp
from jax import lax

from vision_banana.tasks import confidence as confidence_lib
from vision_banana.tasks import connected_components, flatness, instance_regions

frame = connected_components.frame
neighbour = connected_components.neighbour
square_distance = connected_components.square_distance
AROUND = connected_components.AROUND

TAU = flatness.TAU
FADE = 40.0  # grey levels from the background within which it may drift
DRIFT = 25.0  # grey levels within which the pieces of one instance may drift


def _front(
    levels: jax.Array, background: jax.Array, clean: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array, jax.Array]:
    """Returns colours to join by, core, background (B, H, W), tolerance and noise level (B,)."""

    def exact(_: None) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
        none = jnp.zeros(clean.shape)
        return levels, jnp.ones(levels.shape[1:], bool), jnp.full(clean.shape, TAU), none

    def robust(_: None) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
        noise = flatness.noise_level(levels)
        smooth = flatness.smooth_similar(levels, noise)
        tolerance = 6.0 + 0.5 * jnp.minimum(noise, 12.0)
        core = flatness.cores(smooth, tolerance)
        return (
            jnp.where(clean[:, None, None], levels, smooth),
            core | clean[:, None, None],
            jnp.where(clean, TAU, tolerance),
            jnp.where(clean, 0.0, noise),
        )

    colors, core, tolerance, noise = lax.cond(jnp.all(clean), exact, robust, None)
    distance = square_distance(colors, background[..., None, None])
    empty = distance < TAU**2
    # On a clean picture background pixels take no part; else they do, to carry the background on.
    active = core & ~(empty & clean[:, None, None])
    # Nothing is joined across FADE: far pixels are moved out of reach of near ones.
    colors = jnp.where(~clean[:, None, None] & (distance > FADE**2), colors + 1e3, colors)
    return colors, active, empty, tolerance, noise


def _is_background(labels: jax.Array, core: jax.Array, empty: jax.Array) -> jax.Array:
    """Core pixels whose component is the background, at least a quarter of it within TAU.

    A drawn background drifts, and where it leaves TAU smoothly it is still the background.
    """
    vote = jnp.where(core, jnp.where(empty, 3, -1), 0).reshape(-1)
    votes = jnp.zeros(labels.size, jnp.int32).at[labels.reshape(-1)].add(vote)
    return core & (votes[labels] >= 0)


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
    clean = flatness.is_clean(levels)
    untouched = clean[:, None, None]
    joined, core, empty, tolerance, noise = _front(levels, background, clean)
    labels = connected_components.label(connected_components.links(joined, core, tolerance))
    beyond = _is_background(labels, core, empty)
    core, empty = core & ~beyond & ~empty, beyond | empty
    slots, surplus = instance_regions.candidates(labels, core, clean, count)
    slots = jnp.where((slots == count) & ~empty & ~untouched, count + 1, slots)

    def drop_borders(slots: jax.Array) -> jax.Array:
        border = instance_regions.is_border(slots, levels, core, background, count)
        border = jnp.pad(border & ~clean[:, None], ((0, 0), (0, 2)))
        return jnp.where(_lookup(border, slots), count + 1, slots)

    def fill_borders(slots: jax.Array) -> jax.Array:
        slots = drop_borders(slots)
        mean = instance_regions.means(slots, levels, core, count)
        return _grow(slots, levels, _table(mean, background))

    slots = lax.cond(jnp.all(clean), lambda s: s, fill_borders, slots)
    regions = instance_regions.measure(slots, levels, core, count)
    inner = instance_regions.eroded_pixels(slots).astype(jnp.int32)
    eroded = instance_regions.scatter(inner, slots, count, "add")
    kept = instance_regions.is_instance(regions.area, eroded, height * width)
    drifts = noise > 0  # fewer than 60 % of neighbours are equal: no colour is meant exactly
    regions, went = instance_regions.merge(
        regions._replace(area=jnp.where(kept, regions.area, 0)), jnp.where(drifts, DRIFT, TAU)
    )
    away = square_distance(jnp.moveaxis(regions.mean, -1, 0), background[..., None])
    faded = drifts[:, None] & (away < FADE**2)
    went = jnp.where(jnp.take_along_axis(faded, went, 1), count, went)
    lost = jnp.where(clean, count, count + 1)[:, None]
    went = jnp.concatenate([jnp.where(kept, went, lost), jnp.full((batch, 1), count)], 1)
    slots = _lookup(went, slots)
    table = _table(regions.mean, background)

    def refine(slots: jax.Array) -> jax.Array:
        slots = _grow(slots, levels, table)
        new = slots
        for _ in range(2):
            new = _reassign(new, levels, table, noise)
        return jnp.where(untouched, slots, new)

    slots = lax.cond(jnp.all(clean), lambda s: s, refine, slots)
    ids, confidence = _number(slots, levels, table, max_instances)
    # In a noisy picture what is beyond the candidates is noise, and went to its neighbours.
    return ids, jnp.where(surplus & untouched, 0.0, confidence)


def _number(
    slots: jax.Array, levels: jax.Array, table: jax.Array, max_instances: int
) -> tuple[jax.Array, jax.Array]:
    """Numbers instances from 1 by area, then by first pixel, and drops those beyond the bound."""
    batch, height, width = slots.shape
    count = table.shape[-1] - 2
    pixel = jnp.arange(height * width, dtype=jnp.int32).reshape(height, width)
    area = instance_regions.scatter(jnp.ones(slots.shape, jnp.int32), slots, count, "add")
    first = instance_regions.scatter(jnp.broadcast_to(pixel, slots.shape), slots, count, "min")
    order = instance_regions.canonical_order(area, first)
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
      ValueError: for another shape, pictures of more than 2^23 pixels, or max_instances below 1.
    """
    rgb, background = jnp.asarray(rgb), jnp.asarray(background)
    if rgb.ndim < 3 or rgb.shape[-1] != 3 or 0 in rgb.shape:
        raise ValueError(f"rgb has shape {rgb.shape}; give (..., H, W, 3), none of them 0")
    if rgb.shape[-3] * rgb.shape[-2] > 2**23:  # colours of a region are summed in 32 bits
        raise ValueError(
            f"rgb has shape {rgb.shape}; give at most 2^23 pixels a picture, larger ones in tiles"
        )
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
