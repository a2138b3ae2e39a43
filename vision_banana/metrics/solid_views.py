"""How the eight classes of solids look from the side and above: silhouettes and shading.

A view is what a class looks like from one direction, on a small grid that its silhouette's
bounding box fills along its longer side. Whatever the light, a flat face has one brightness, and
a curved side's is nearly linear in its normal, so all pictures of a view lie near a small linear
space.
"""

import functools
import itertools
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

GRID = 16  # cells along the longer side of the bounding box
FAMILIES = {
    "triangular": ("cone", "pyramid", "prism"),
    "rectangular": ("cube", "cylinder"),
    "round": ("sphere", "egg", "capsule"),
}
FAMILY = {name: family for family, names in FAMILIES.items() for name in names}
CLASSES = tuple(FAMILY)
# Forms of a class that look different; the number is the class's.
FORMS = {name: i for i, name in enumerate(CLASSES)} | {
    "lying cylinder": CLASSES.index("cylinder"),
    "lying capsule": CLASSES.index("capsule"),
}

_ROWS = 5  # most numbers that a view's brightness depends on
_PITCHES = (3, 13, 23, 35, 50)  # degrees the camera looks down
_ROLLS = (-8, 0, 8)
_DISTANCE = 4.5  # of the eye, in radii of the solid
_POINTS = 1500  # surface points of a solid


class Surface(NamedTuple):
    """Points on a convex solid, y up.

    Attributes:
      points: (n, 3) in any unit of length.
      normals: (n, 3) outward unit vectors.
      part: (n,) which face or curved side each belongs to.
      curved: (parts,) bool.
    """

    points: np.ndarray
    normals: np.ndarray
    part: np.ndarray
    curved: np.ndarray


def _join(sides: list[tuple[np.ndarray, np.ndarray, bool]]) -> Surface:
    points, normals, curved = zip(*sides, strict=True)
    part = np.repeat(np.arange(len(sides)), [len(p) for p in points])
    return Surface(np.concatenate(points), np.concatenate(normals), part, np.array(curved))


def _spiral(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Shares in (0, 1) and angles in radians of n points spread evenly (golden angle)."""
    return (np.arange(n) + 0.5) / n, np.arange(n) * np.pi * (3 - 5**0.5)


def _ball(scale: tuple[float, float, float], straight: float = 0.0) -> Surface:
    """An ellipsoid, cut in the middle and drawn apart by twice `straight` along y."""
    share, angle = _spiral(_POINTS)
    y = 1 - 2 * share
    ring = np.sqrt(1 - y * y)
    unit = np.stack([ring * np.cos(angle), y, ring * np.sin(angle)], 1)
    normals = unit / np.array(scale)
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    points = unit * np.array(scale) + np.sign(y)[:, None] * np.array([0, straight, 0])
    if straight:
        angle, height = angle[:, None], np.linspace(-straight, straight, 5)
        side = np.stack(
            np.broadcast_arrays(scale[0] * np.cos(angle), height, scale[2] * np.sin(angle)), -1
        ).reshape(-1, 3)
        points = np.concatenate([points, side])
        normals = np.concatenate([normals, side * np.array([1, 0, 1]) / scale[0]])
    return _join([(points, normals, True)])


def _tapered(radius: float, half: float, tip: float) -> Surface:
    """A cylinder (`tip` 1) or a cone (`tip` 0) with flat ends, its axis along y."""
    share, angle = _spiral(_POINTS)
    cos, sin = np.cos(angle), np.sin(angle)
    # Evenly by area: the girth at height `share` is 1 - (1 - tip) * share of that at the base.
    up = share if tip else 1 - np.sqrt(1 - share)
    girth = radius * (1 - (1 - tip) * up)
    slope = radius * (1 - tip) / (2 * half)
    points = np.stack([girth * cos, half * (2 * up - 1), girth * sin], 1)
    normals = np.stack([cos, np.full_like(cos, slope), sin], 1) / np.sqrt(1 + slope * slope)
    disc = np.sqrt(share) * radius
    sides = [(points, normals, True)]
    for end, wide in ((-1, 1.0), (1, tip)):
        if wide:
            flat = np.stack([disc * cos, np.full_like(cos, end * half), disc * sin], 1)
            sides.append((flat, np.tile([0.0, end, 0.0], (_POINTS, 1)), False))
    return _join(sides)


def _polyhedron(corners: np.ndarray, faces: Sequence[tuple[int, ...]]) -> Surface:
    """Flat faces of three or four corners around the origin."""
    sides = []
    u, v = (g.ravel() for g in np.meshgrid(np.linspace(0, 1, 26), np.linspace(0, 1, 26)))
    for face in faces:
        a, b, c, d = (corners[i] for i in (face if len(face) == 4 else (*face, face[-1])))
        # Bilinear: u along a-b and d-c, v from one to the other.
        points = np.outer((1 - u) * (1 - v), a) + np.outer(u * (1 - v), b)
        points += np.outer(u * v, c) + np.outer((1 - u) * v, d)
        normal = np.cross(b - a, c - a)
        normal = normal / np.linalg.norm(normal)
        normal = normal * np.sign(normal @ (points.mean(0) - corners.mean(0)))
        sides.append((points, np.tile(normal, (len(points), 1)), False))
    return _join(sides)


def _surface(name: str) -> Surface:
    """A class's solid, standing."""
    if name == "sphere":
        return _ball((0.9, 0.9, 0.9))
    if name == "egg":
        return _ball((0.68, 1.05, 0.68))
    if name == "capsule":
        return _ball((0.55, 0.55, 0.55), 0.55)
    if name == "cylinder":
        return _tapered(0.65, 0.9, 1.0)
    if name == "cone":
        return _tapered(0.8, 1.05, 0.0)
    if name == "cube":
        corners = np.array(list(itertools.product((-0.75, 0.75), repeat=3)))
        faces = [(0, 1, 3, 2), (4, 5, 7, 6), (0, 1, 5, 4), (2, 3, 7, 6), (0, 2, 6, 4), (1, 3, 7, 5)]
        return _polyhedron(corners, faces)
    if name == "pyramid":
        base = [(x * 0.85, -0.85, z * 0.85) for x, z in ((-1, -1), (1, -1), (1, 1), (-1, 1))]
        corners = np.array([*base, (0, 0.85, 0)])
        return _polyhedron(corners, [(0, 1, 4), (1, 2, 4), (2, 3, 4), (3, 0, 4), (0, 1, 2, 3)])
    base = [(x * 0.75, -0.7, z) for x, z in ((-1, -1), (1, -1), (1, 1), (-1, 1))]
    corners = np.array([*base, (0, 0.7, -1), (0, 0.7, 1)])
    return _polyhedron(corners, [(0, 1, 4), (2, 3, 5), (0, 3, 5, 4), (1, 2, 5, 4), (0, 1, 2, 3)])


def _turn(axis: int, degrees: float) -> np.ndarray:
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    i, j = ((1, 2), (2, 0), (0, 1))[axis]
    matrix = np.eye(3)
    matrix[i, i] = matrix[j, j] = c
    matrix[j, i], matrix[i, j] = s, -s
    return matrix


def _attitudes(form: str) -> Iterator[np.ndarray]:
    """Rotations of a solid of that form before the camera looks at it."""
    if form.startswith("lying"):
        yield from (_turn(1, yaw) @ _turn(2, 90) for yaw in range(0, 180, 18))
    else:
        period = {"cube": 90, "pyramid": 90, "prism": 180}.get(form, 1)
        yield from (_turn(1, yaw) for yaw in range(0, period, 18))


class Views(NamedTuple):
    """All views of all forms.

    Attributes:
      form: (V,) index into `FORMS`.
      mask: (V, GRID * GRID) float32, 1 in the silhouette.
      basis: (V, K, GRID * GRID) float32 orthonormal rows (or rows of zeros) that span every
        brightness, zero outside the silhouette.
    """

    form: np.ndarray
    mask: np.ndarray
    basis: np.ndarray


def _project(surface: Surface, rotation: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Indices of the points that are seen from z = `_DISTANCE` radii, and their cells (n, 2)."""
    points, normals = surface.points @ rotation.T, surface.normals @ rotation.T
    distance = _DISTANCE * np.abs(surface.points).max()
    eye = np.array([0, 0, distance]) - points
    seen = np.flatnonzero((normals * eye).sum(1) > 0)
    plane = points[seen, :2] / eye[seen, 2:] * np.array([1, -1])
    low, high = plane.min(0), plane.max(0)
    plane = (plane - (low + high) / 2) / (high - low).max() + 0.5
    return seen, np.minimum((plane * GRID).astype(int), GRID - 1)


def _view(surface: Surface, rotation: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Silhouette (GRID * GRID,) and rows that span its brightness (K, GRID * GRID)."""
    seen, cell = _project(surface, rotation)
    cell = cell[:, 1] * GRID + cell[:, 0]
    part, (x, y, z) = surface.part[seen], (surface.normals[seen] @ rotation.T).T
    curves = np.stack([x, y, z], 1)
    columns = []
    for side in np.unique(part):
        on = (part == side).astype(float)
        columns.append(on[:, None])
        if surface.curved[side]:
            columns.append(on[:, None] * curves)
    values = np.concatenate(columns, 1)
    sums = np.stack([np.bincount(cell, v, GRID * GRID) for v in values.T])
    count = np.bincount(cell, minlength=GRID * GRID)
    rows = sums / np.maximum(count, 1)
    square, directions = np.linalg.eigh(rows @ rows.T)  # in rising order
    basis = directions.T @ rows / np.sqrt(np.maximum(square, 1e-12))[:, None]
    basis = basis[square > 0.05**2 * square[-1]][-_ROWS:]
    return count > 0, np.pad(basis, ((0, _ROWS - len(basis)), (0, 0)))


@functools.cache
def views() -> Views:
    """Every form from every direction in which a scene shows it."""
    forms, masks, bases = [], [], []
    for number, (form, kind) in enumerate(FORMS.items()):
        surface = _surface(CLASSES[kind])
        for attitude, pitch, roll in itertools.product(_attitudes(form), _PITCHES, _ROLLS):
            mask, basis = _view(surface, _turn(2, roll) @ _turn(0, pitch) @ attitude)
            forms.append(number)
            masks.append(mask)
            bases.append(basis)
    return Views(
        np.array(forms), np.stack(masks).astype(np.float32), np.stack(bases).astype(np.float32)
    )
