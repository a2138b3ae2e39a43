"""The paper's instance decoder, pixel after pixel: the reference that the parallel one must equal.

arXiv 2604.20329, appendix A. Plain Python on one 8-bit picture.
"""

import numpy as np

TAU = 14
GAMMA = 5.0
STEPS = [
    (dy, dx)
    for dy in range(-2, 3)
    for dx in range(-2, 3)
    if 1 <= dy * dy + dx * dx <= 5 and (abs(dy), abs(dx)) not in ((0, 2), (2, 0))
]


def square_distance(a, b):
    return sum((x - y) ** 2 for x, y in zip(a, b, strict=True))


def flood_fill(picture_u8, background_u8):
    """Components in the order of their seeds (raster order), each a list of (y, x)."""
    height, width = picture_u8.shape[:2]
    stride = width + 4
    padded = np.zeros((height + 4, stride, 3), int)
    padded[2:-2, 2:-2] = picture_u8
    taken = np.ones((height + 4, stride), bool)
    background = np.asarray(background_u8, int)
    taken[2:-2, 2:-2] = ((picture_u8.astype(int) - background) ** 2).sum(-1) < TAU**2
    colors, taken = padded.reshape(-1, 3).tolist(), taken.ravel().tolist()
    steps = [dy * stride + dx for dy, dx in STEPS]
    components = []
    for start in range(len(taken)):
        if taken[start]:
            continue
        seed = colors[start]
        taken[start] = True
        component = [start]
        for pixel in component:
            for step in steps:
                other = pixel + step
                if not taken[other] and square_distance(colors[other], seed) <= TAU**2:
                    taken[other] = True
                    component.append(other)
        components.append([(p // stride - 2, p % stride - 2) for p in component])
    return components


def eroded_pixels(component, height, width):
    """Pixels whose whole 3x3 square, as far as it lies in the picture, is in the component."""
    pixels = set(component)
    count = 0
    for y, x in component:
        square = [
            (y + dy, x + dx)
            for dy in (-1, 0, 1)
            for dx in (-1, 0, 1)
            if 0 <= y + dy < height and 0 <= x + dx < width
        ]
        count += all(p in pixels for p in square)
    return count


def box_area(component):
    ys, xs = zip(*component, strict=True)
    return (max(ys) - min(ys) + 1) * (max(xs) - min(xs) + 1)


def mean_color(component, picture_u8):
    return np.mean([picture_u8[p] for p in component], axis=0)


def mergeable(a, b, picture_u8):
    if square_distance(mean_color(a, picture_u8), mean_color(b, picture_u8)) > TAU**2:
        return False
    return box_area(a + b) <= GAMMA * (box_area(a) + box_area(b))


def canonical(component):
    return (-len(component), min(component))


def merge(components, picture_u8):
    """Merges the first pair that qualifies into the earlier of the two until none is left."""
    components = sorted(components, key=canonical)
    pairs = True
    while pairs:
        pairs = [
            (i, j)
            for i in range(len(components))
            for j in range(i + 1, len(components))
            if mergeable(components[i], components[j], picture_u8)
        ][:1]
        for i, j in pairs:
            components[i] = components[i] + components.pop(j)
    return components


def decode(picture_u8, background_u8):
    """(H, W, 3) uint8 to (H, W) int ids, numbered by area, largest first, then first pixel."""
    height, width = picture_u8.shape[:2]
    components = flood_fill(picture_u8, background_u8)
    components = [c for c in components if len(c) >= 2e-4 * height * width]
    components = [c for c in components if 10 * eroded_pixels(c, height, width) >= len(c)]
    components = sorted(merge(components, picture_u8), key=canonical)
    ids = np.zeros((height, width), int)
    for i, component in enumerate(components, 1):
        for pixel in component:
            ids[pixel] = i
    return ids
