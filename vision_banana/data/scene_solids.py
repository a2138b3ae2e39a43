"""The solids of the procedural scenes: where a ray enters them, and their normals.

Every solid lives in a local frame in which it fills |x|, |y|, |z| <= 1 with y up; a solid in the
world is that unit solid scaled, turned and moved. Only +, -, *, / and square roots act on pixels,
one array operation at a time, so that the labels are the same on every IEEE processor (matrix
products may add in another order).
"""

import dataclasses
from collections.abc import Callable

import numpy as np


def dot(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Inner product over the leading axis of length 3, added from left to right."""
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


def rotate(matrix: np.ndarray, v: np.ndarray) -> np.ndarray:
    """`matrix` (3, 3) applied to vectors (3, ...) along the leading axis."""
    m = matrix.reshape(3, 3, *([1] * (v.ndim - 1)))
    return m[:, 0] * v[0] + m[:, 1] * v[1] + m[:, 2] * v[2]


def unit(v: np.ndarray) -> np.ndarray:
    """Vectors (3, ...) scaled to length 1; zero stays zero."""
    return v / np.maximum(np.sqrt(dot(v, v)), np.float32(1e-20))


def _sphere_enter(o: np.ndarray, d: np.ndarray) -> np.ndarray:
    a, b = dot(d, d), dot(o, d)
    disc = b * b - a * (dot(o, o) - 1)
    return np.where(disc > 0, (-b - np.sqrt(np.maximum(disc, 0))) / a, np.inf)


def _sphere_normal(p: np.ndarray) -> np.ndarray:
    return p


def _side_enter(o: np.ndarray, d: np.ndarray, radius: float) -> np.ndarray:
    """Where a ray enters the endless cylinder x^2 + z^2 = radius^2, inf if it does not."""
    a = np.maximum(d[0] * d[0] + d[2] * d[2], np.float32(1e-12))
    b = o[0] * d[0] + o[2] * d[2]
    disc = b * b - a * (o[0] * o[0] + o[2] * o[2] - np.float32(radius * radius))
    return np.where(disc > 0, (-b - np.sqrt(np.maximum(disc, 0))) / a, np.inf)


def _cylinder_enter(o: np.ndarray, d: np.ndarray) -> np.ndarray:
    t_side = _side_enter(o, d, 1.0)
    y = o[1] + t_side * d[1]
    side = np.abs(y) <= 1
    dy = np.where(d[1] == 0, np.float32(1e-12), d[1])
    t_cap = (-np.sign(dy) - o[1]) / dy
    x, z = o[0] + t_cap * d[0], o[2] + t_cap * d[2]
    return np.where(side, t_side, np.where(x * x + z * z <= 1, t_cap, np.inf))


def _cylinder_normal(p: np.ndarray) -> np.ndarray:
    side = p[0] * p[0] + p[2] * p[2] > p[1] * p[1]
    return np.stack([p[0] * side, np.sign(p[1]) * ~side, p[2] * side])


def _cone_enter(o: np.ndarray, d: np.ndarray) -> np.ndarray:
    """Cone with its apex at y = 1 and a base of radius 1 at y = -1."""
    k = (1 - o[1]) / 2
    a = d[0] * d[0] + d[2] * d[2] - d[1] * d[1] / 4
    a = np.where(np.abs(a) < 1e-9, np.float32(1e-9), a)
    b = o[0] * d[0] + o[2] * d[2] + k * d[1] / 2
    disc = b * b - a * (o[0] * o[0] + o[2] * o[2] - k * k)
    root = np.sqrt(np.maximum(disc, 0))
    best = np.full(np.shape(disc), np.inf, np.float32)
    for t in ((-b - root) / a, (-b + root) / a):
        y = o[1] + t * d[1]
        best = np.where((disc > 0) & (np.abs(y) <= 1) & (t < best), t, best)
    dy = np.where(d[1] == 0, np.float32(1e-12), d[1])
    t = (-1 - o[1]) / dy
    x, z = o[0] + t * d[0], o[2] + t * d[2]
    return np.where((x * x + z * z <= 1) & (t < best), t, best)


def _cone_normal(p: np.ndarray) -> np.ndarray:
    radius = np.sqrt(p[0] * p[0] + p[2] * p[2])
    side = (p[1] + 1) * 0.5 > np.abs(radius - (1 - p[1]) / 2)
    return np.stack([p[0] * side, np.where(side, radius / 2, -1), p[2] * side])


# Half length of a capsule's straight part and its radius, in the unit frame.
_CAPSULE = 0.5


def _capsule_enter(o: np.ndarray, d: np.ndarray) -> np.ndarray:
    radius = np.float32(_CAPSULE)
    t_side = _side_enter(o, d, _CAPSULE)
    y = o[1] + t_side * d[1]
    best = np.where(np.abs(y) <= _CAPSULE, t_side, np.inf)
    a = dot(d, d)
    for end in (-_CAPSULE, _CAPSULE):
        oy = o[1] - np.float32(end)
        b = o[0] * d[0] + oy * d[1] + o[2] * d[2]
        c = o[0] * o[0] + oy * oy + o[2] * o[2] - radius * radius
        disc = b * b - a * c
        t = (-b - np.sqrt(np.maximum(disc, 0))) / a
        best = np.where((disc > 0) & (t < best), t, best)
    return best


def _capsule_normal(p: np.ndarray) -> np.ndarray:
    return np.stack([p[0], p[1] - np.clip(p[1], -_CAPSULE, _CAPSULE), p[2]])


def _polyhedron(
    planes: list[tuple[float, float, float, float]],
) -> tuple[Callable[..., np.ndarray], Callable[..., np.ndarray]]:
    """A convex body as half-spaces a x + b y + c z <= e: its entry and normal functions."""
    faces = np.asarray(planes, np.float32)

    def along(v: np.ndarray) -> np.ndarray:
        """Inner products (faces, n) of the faces' normals with vectors (3, n)."""
        return faces[:, :1] * v[0] + faces[:, 1:2] * v[1] + faces[:, 2:3] * v[2]

    def enter(o: np.ndarray, d: np.ndarray) -> np.ndarray:
        slope = along(d)
        slope = np.where(slope == 0, np.float32(1e-12), slope)
        t = (faces[:, 3:] - along(o)) / slope
        t_in = np.where(slope < 0, t, -np.inf).max(0)
        t_out = np.where(slope > 0, t, np.inf).min(0)
        return np.where(t_in < t_out, t_in, np.inf)

    def normal(p: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(faces[np.argmax(along(p) - faces[:, 3:], 0), :3].T)

    return enter, normal


_FLOOR = (0.0, -1.0, 0.0, 1.0)
_CUBE = _polyhedron(
    [(1, 0, 0, 1), (-1, 0, 0, 1), (0, 1, 0, 1), _FLOOR, (0, 0, 1, 1), (0, 0, -1, 1)]
)
# |x| <= (1 - y) / 2, so the ridge or apex lies at y = 1.
_PYRAMID = _polyhedron([(2, 1, 0, 1), (-2, 1, 0, 1), (0, 1, 2, 1), (0, 1, -2, 1), _FLOOR])
_PRISM = _polyhedron([(2, 1, 0, 1), (-2, 1, 0, 1), (0, 0, 1, 1), (0, 0, -1, 1), _FLOOR])


@dataclasses.dataclass(frozen=True)
class Kind:
    """A class of solids.

    Attributes:
      enter: `(o, d) -> t`, rays (3, ...) in the unit frame that start outside; inf where missed.
      normal: `(p) -> n`, outward normals (not unit) of surface points (3, ...).
      scale: half lengths along x, y, z for a solid of size 1.
      girth: half width across x and z in the unit frame.
      bound: radius of the bounding sphere for a solid of size 1.
      lies: whether it may also lie on its side.
      flat: whether another solid can stand on it.
    """

    enter: Callable[[np.ndarray, np.ndarray], np.ndarray]
    normal: Callable[[np.ndarray], np.ndarray]
    scale: tuple[float, float, float]
    bound: float
    girth: float = 1.0
    lies: bool = False
    flat: bool = False


KINDS: dict[str, Kind] = {
    "sphere": Kind(_sphere_enter, _sphere_normal, (0.9, 0.9, 0.9), 0.9),
    "cube": Kind(*_CUBE, (0.75, 0.75, 0.75), 1.3, flat=True),
    "cylinder": Kind(
        _cylinder_enter, _cylinder_normal, (0.65, 0.9, 0.65), 1.12, lies=True, flat=True
    ),
    "cone": Kind(_cone_enter, _cone_normal, (0.8, 1.05, 0.8), 1.33),
    "pyramid": Kind(*_PYRAMID, (0.85, 0.85, 0.85), 1.48),
    "egg": Kind(_sphere_enter, _sphere_normal, (0.68, 1.05, 0.68), 1.06),
    "prism": Kind(*_PRISM, (0.75, 0.7, 1.0), 1.44),
    "capsule": Kind(_capsule_enter, _capsule_normal, (1.1, 1.1, 1.1), 1.11, girth=0.5, lies=True),
}
