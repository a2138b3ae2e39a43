"""Flat pictures of instances, with all that a flood fill may stumble over, and noisy discs."""

import numpy as np

BACKGROUNDS = ((0, 0, 0), (255, 255, 255), (128, 128, 128), (88, 50, 82))
APART = 28  # twice tau


def far_from(color, colors):
    return all(((np.array(color) - c) ** 2).sum() >= APART**2 for c in colors)


def draw_color(rng, colors):
    """A new colour; one in three lies as near to an older one as is allowed."""
    while True:
        color = rng.integers(0, 256, 3)
        if rng.random() < 1 / 3:
            step = rng.choice([-APART, 0, 0, APART], 3)
            color = np.clip(colors[rng.integers(len(colors))] + step, 0, 255)
        if far_from(color, colors):
            colors.append(color)
            return color


def disc(size, y, x, radius):
    rows, columns = np.mgrid[:size, :size]
    return (rows - y) ** 2 + (columns - x) ** 2 <= radius**2


def box(size, y, x, height, width):
    mask = np.zeros((size, size), bool)
    mask[max(y, 0) : max(y + height, 0), max(x, 0) : max(x + width, 0)] = True
    return mask


def blob(rng, size):
    y, x = rng.integers(0, size, 2)
    if rng.random() < 0.5:
        return disc(size, y, x, rng.uniform(2, size / 4))
    return box(size, y - 5, x - 5, *rng.integers(3, size // 2, 2))


def thin(rng, size):
    y, x = rng.integers(0, size, 2)
    if rng.random() < 0.5:  # a slanted line that hangs together by knight's moves alone
        mask = np.zeros((size, size), bool)
        steps = np.arange(12)
        mask[np.minimum(y + 2 * steps, size - 1), np.minimum(x + steps, size - 1)] = True
        return mask
    return box(size, y, x, int(rng.integers(1, 4)), int(rng.integers(4, size)))


def ring(mask):
    padded = np.pad(mask, 1)
    size = len(mask)
    grown = sum(padded[i : i + size, j : j + size] for i in range(3) for j in range(3)) > 0
    return grown & ~mask


def clean_picture(rng, size=48):
    """Returns a flat (size, size, 3) uint8 picture and its background."""
    background = np.array(BACKGROUNDS[rng.integers(len(BACKGROUNDS))])
    if rng.random() < 0.3:
        background = rng.integers(0, 256, 3)
    colors = [background]
    picture = np.broadcast_to(background, (size, size, 3)).copy()
    for _ in range(rng.integers(1, 7)):
        mask, color = blob(rng, size), draw_color(rng, colors)
        picture[mask] = color
        kind = rng.random()
        if kind < 0.3:  # halo, sometimes the mixture of both sides
            halo = (color + background) // 2
            if rng.random() < 0.5 and far_from(halo, colors):
                colors.append(halo)
            else:
                halo = draw_color(rng, colors)
            picture[ring(mask)] = halo
        elif kind < 0.6:  # cut in two by something in front
            y, x = rng.integers(0, size, 2)
            picture[box(size, 0, x, size, int(rng.integers(1, 6)))] = draw_color(rng, colors)
        elif kind < 0.8:  # the same colour again, near or far
            picture[blob(rng, size)] = color
    for _ in range(rng.integers(0, 3)):
        picture[thin(rng, size)] = draw_color(rng, colors)
    for _ in range(rng.integers(0, 6)):
        y, x = rng.integers(0, size, 2)
        speck = box(size, y, x, *rng.integers(1, 4, 2))
        picture[speck] = draw_color(rng, colors) if rng.random() < 0.5 else background
    return picture.astype(np.uint8), background.astype(np.uint8)


def discs(rng, size, background=(0, 0, 0), apart=60):
    """12 discs that do not touch: colours (size, size, 3) float, 0 to 255, and ids."""
    colors = [np.array(background)]
    while len(colors) < 13:
        color = rng.integers(0, 256, 3)
        if all(((color - c) ** 2).sum() >= apart**2 for c in colors):
            colors.append(color)
    ids, cell = np.zeros((size, size), int), size / 4
    for i in range(12):
        y, x = (np.array([i // 4, i % 4]) + 0.5 + rng.uniform(-0.05, 0.05, 2)) * cell
        ids[disc(size, y, x, cell * rng.uniform(0.25, 0.36))] = i + 1
    return np.array(colors, float)[ids], ids


def worst_iou(ids, truth):
    """The smallest, over the truth's instances, of the best IoU of any decoded one."""
    found = np.unique(ids[ids > 0])
    best = []
    for t in np.unique(truth[truth > 0]):
        mask = truth == t
        best.append(max((mask & (ids == i)).sum() / (mask | (ids == i)).sum() for i in found))
    return min(best)
