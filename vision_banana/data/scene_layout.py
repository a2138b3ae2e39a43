"""Drawing a scene: the camera, where the solids stand, their looks, the room, the lights.

World frame: x right, y up, z towards the viewer when the camera does not turn; metres. A layout
does not depend on the picture's size: everything is placed inside the picture's central square.
Sines and cosines are rounded, since libraries differ in their last bit.
"""

import dataclasses
import functools
import math

import numpy as np

from vision_banana.data import scene_settings, scene_solids

Vector = tuple[float, float, float]

_TRIES = 32


@dataclasses.dataclass(frozen=True)
class Camera:
    """A pinhole camera.

    Attributes:
      height: metres above the ground; it stands at (0, height, 0).
      rotation: (3, 3) camera to world; camera space has x right, y up, z towards the camera.
      tangent: tan of half the field of view across the picture's shorter side.
    """

    height: float
    rotation: np.ndarray
    tangent: float

    @functools.cached_property
    def rows(self) -> list[list[float]]:
        """`rotation` as plain numbers, which are faster one by one."""
        return self.rotation.tolist()

    def project(self, point: Vector) -> tuple[float, float, float]:
        """Picture position (right, down) in half shorter sides from the centre, and depth (m)."""
        (a, b, c), x, y, z = self.rows, point[0], point[1] - self.height, point[2]
        depth = -(a[2] * x + b[2] * y + c[2] * z)
        scale = 1 / (max(depth, 1e-3) * self.tangent)
        right, up = a[0] * x + b[0] * y + c[0] * z, a[1] * x + b[1] * y + c[1] * z
        return right * scale, -up * scale, depth


@dataclasses.dataclass(frozen=True)
class Solid:
    """One solid.

    Attributes:
      kind: its class, a key of `scene_solids.KINDS`.
      color: name of its colour, a key of `scene_settings.COLORS`.
      texture: its pattern, in its own frame (metres).
      center: world position of its local origin.
      rotation: (3, 3) local to world.
      scale: half lengths along its local axes in metres.
      bound: radius of its bounding sphere in metres.
      support: index of the solid that it stands on, -1 for the ground.
    """

    kind: str
    color: str
    texture: scene_settings.Texture
    center: Vector
    rotation: np.ndarray
    scale: Vector
    bound: float
    support: int = -1

    @functools.cached_property
    def frame(self) -> tuple[np.ndarray, np.ndarray]:
        """(3, 3) from world directions to its unit frame, and its centre (3, 1); float32."""
        matrix = self.rotation.T / np.array(self.scale)[:, None]
        return matrix.astype(np.float32), np.array(self.center, np.float32)[:, None]

    @property
    def top(self) -> float:
        """Height of its upper side above the ground, for a solid that stands upright."""
        return self.center[1] + self.scale[1]


@dataclasses.dataclass(frozen=True)
class Layout:
    """A scene before it is rendered.

    Attributes:
      camera: the camera.
      solids: the solids in it; instance id i + 1 belongs to `solids[i]`.
      spare: one more solid with a free place of its own, for edits; None if no place was found.
      setting: what surrounds them.
      room: lower and upper corner of the room (y is 0 at the floor); used where the setting is one.
      lamp: position of the point light, used in rooms.
      sun: unit vector towards the sun, used outdoors.
    """

    camera: Camera
    solids: tuple[Solid, ...]
    spare: Solid | None
    setting: scene_settings.Setting
    room: tuple[Vector, Vector]
    lamp: Vector
    sun: Vector


def _cos_sin(angle: float) -> tuple[float, float]:
    """Cosine and sine of an angle in radians, rounded to 2^-24."""
    return round(math.cos(angle) * 2**24) / 2**24, round(math.sin(angle) * 2**24) / 2**24


def _turn(axis: int, angle: float) -> np.ndarray:
    """(3, 3) rotation by `angle` radians about axis 0, 1 or 2."""
    c, s = _cos_sin(angle)
    i, j = ((1, 2), (2, 0), (0, 1))[axis]
    matrix = np.eye(3)
    matrix[i, i] = matrix[j, j] = c
    matrix[j, i], matrix[i, j] = s, -s
    return matrix


def _product(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Matrix product (3, 3), added from left to right."""
    return a[:, :1] * b[:1] + a[:, 1:2] * b[1:2] + a[:, 2:] * b[2:]


def _between(low: float, high: float, share: float) -> float:
    """The value at `share` of the way from `low` to `high` on a logarithmic scale, rounded."""
    return round(low * (high / low) ** share, 6)


@dataclasses.dataclass(frozen=True)
class _Look:
    """Where the camera looks and how large things are: metres, radians, half picture sides."""

    camera: Camera
    sizes: tuple[float, float]
    nearest: float
    farthest: float


def _draw_look(rng: np.random.Generator, setting: scene_settings.Setting) -> _Look:
    """A camera that has solids of a drawn size range at a drawn distance in its middle.

    One picture must tell the metres: the ground's kind says whether it is seen from eye height or
    from close by, and heights and fields of view vary little around each.
    """
    u = rng.random(7).tolist()
    if setting.near:
        sizes, height, distance = (0.10, 0.20), _between(0.45, 0.55, u[0]), _between(0.7, 1.3, u[1])
    elif setting.outdoors:
        sizes, height, distance = (0.50, 1.30), _between(1.5, 1.85, u[0]), _between(3.5, 9.0, u[1])
    else:
        sizes, height, distance = (0.30, 0.60), _between(1.3, 1.6, u[0]), _between(2.2, 4.5, u[1])
    tangent = round(math.tan(math.radians(26 + 8 * u[2])), 6)  # 52 to 68 degrees across
    distance = distance * 0.75 / tangent**0.7
    pitch = math.atan2(height - sizes[0], distance) * (0.75 + 0.2 * u[3])
    pitch += math.radians(8 * u[4] - 4)
    yaw, roll = 2 * math.pi * u[5], math.radians(8 * u[6] - 4)
    rotation = _product(_product(_turn(1, yaw), _turn(0, -pitch)), _turn(2, roll))
    return _Look(Camera(height, rotation, tangent), sizes, distance * 0.55, distance * 2.0)


def _draw_texture(rng: np.random.Generator, color: str, size: float) -> scene_settings.Texture:
    """A pattern of two shades of one named colour."""
    base = scene_settings.COLORS[color]
    kinds = ("plain", "plain", "checker", "stripes", "gradient", "noise")
    u = rng.random(8).tolist()
    # White darkens and black brightens little, lest they turn gray.
    dark = {"white": 0.16, "gray": 0.2, "yellow": 0.22, "orange": 0.2}.get(color, 0.35)
    second = scene_settings.mix(base, (0, 0, 0), dark * (0.6 + 0.4 * u[0]))
    angle = _cos_sin(2 * math.pi * u[1])
    cell = size * (1.6 if kinds[int(u[2] * 6)] == "gradient" else 0.42 + 0.3 * u[3])
    return scene_settings.Texture(
        kinds[int(u[2] * 6)], (base, second), cell, (angle[0], angle[1], 0.0), (u[4], u[5], u[6])
    )


def repaint(solid: Solid, color: str, rng: np.random.Generator) -> Solid:
    """The solid in another named colour, its pattern's kind and place kept."""
    texture = _draw_texture(rng, color, solid.bound)
    return dataclasses.replace(
        solid,
        color=color,
        texture=dataclasses.replace(solid.texture, colors=texture.colors),
    )


def _draw_solid(rng: np.random.Generator, sizes: tuple[float, float]) -> Solid:
    """A solid of a drawn class, colour, size and attitude, standing at the origin."""
    u = rng.random(5).tolist()
    names, colors = list(scene_solids.KINDS), list(scene_settings.COLORS)
    name, color = names[int(u[0] * len(names))], colors[int(u[1] * len(colors))]
    kind, size = scene_solids.KINDS[name], _between(*sizes, u[2])
    rotation = _turn(1, 2 * math.pi * u[3])
    scale = (kind.scale[0] * size, kind.scale[1] * size, kind.scale[2] * size)
    height = scale[1]
    if kind.lies and u[4] < 0.4:
        rotation = _product(rotation, _turn(2, math.pi / 2))
        height = scale[0] * kind.girth
    texture = _draw_texture(rng, color, size)
    return Solid(name, color, texture, (0.0, height, 0.0), rotation, scale, kind.bound * size)


def _apart(a: Solid, b: Solid, camera: Camera) -> bool:
    """Whether two solids neither touch in the world nor hide each other much in the picture."""
    x, z = a.center[0] - b.center[0], a.center[2] - b.center[2]
    if math.sqrt(x * x + z * z) < 0.95 * (a.bound + b.bound):
        return False
    (ax, ay, ad), (bx, by, bd) = camera.project(a.center), camera.project(b.center)
    reach = 0.58 * (a.bound / ad + b.bound / bd) / camera.tangent
    return math.sqrt((ax - bx) ** 2 + (ay - by) ** 2) > reach


def _place(
    solid: Solid, look: _Look, placed: list[Solid], rng: np.random.Generator
) -> Solid | None:
    """The solid at a free place on the ground in the picture's central square, or None."""
    camera, (a, b, c) = look.camera, look.camera.rows
    for across, away in rng.random((_TRIES, 2)).tolist():
        depth = _between(look.nearest, look.farthest, away)
        right = (1.7 * across - 0.85) * camera.tangent
        # The ray (right, up, -1) times depth ends at the height of the solid's centre.
        up = ((solid.center[1] - camera.height) / depth - b[0] * right + b[2]) / b[1]
        reach = solid.bound / depth / camera.tangent
        if abs(up) / camera.tangent + 0.6 * reach > 1 or not 0.19 < reach < 0.6:
            continue
        x = depth * (a[0] * right + a[1] * up - a[2])
        z = depth * (c[0] * right + c[1] * up - c[2])
        if math.sqrt(x * x + z * z) < solid.bound + 0.15:
            continue
        moved = dataclasses.replace(solid, center=(x, solid.center[1], z))
        if all(_apart(moved, other, camera) for other in placed):
            return moved
    return None


def _stack(solid: Solid, placed: list[Solid], look: _Look) -> Solid | None:
    """The solid, made smaller, on top of one that is flat and free above, or None."""
    for i, base in enumerate(placed):
        upright = float(base.rotation[1, 1]) > 0.9
        if not (scene_solids.KINDS[base.kind].flat and upright):
            continue
        if any(other.support == i for other in placed):
            continue
        shrink = 0.75 * base.bound / solid.bound
        scale = (solid.scale[0] * shrink, solid.scale[1] * shrink, solid.scale[2] * shrink)
        center = (base.center[0], base.top + solid.center[1] * shrink, base.center[2])
        down = look.camera.project(center)[1]
        if base.top >= look.camera.height or abs(down) > 0.85:
            continue
        moved = dataclasses.replace(
            solid, center=center, scale=scale, bound=solid.bound * shrink, support=i
        )
        if all(_apart(moved, other, look.camera) for j, other in enumerate(placed) if j != i):
            return moved
    return None


def _draw_room(
    rng: np.random.Generator, camera: Camera, solids: list[Solid]
) -> tuple[tuple[Vector, Vector], Vector]:
    """A room around the camera and the solids, and a lamp below its ceiling."""
    u = rng.random(8).tolist()
    low, high = [], []
    for axis in (0, 2):
        room = 0.5 + camera.height * 0.5
        low.append(min([-room] + [s.center[axis] - s.bound for s in solids]))
        high.append(max([room] + [s.center[axis] + s.bound for s in solids]))
    low = [v - 0.1 - 2.5 * share * share for v, share in zip(low, u[:2], strict=True)]
    high = [v + 0.1 + 2.5 * share * share for v, share in zip(high, u[2:4], strict=True)]
    top = max([camera.height] + [s.center[1] + s.bound for s in solids]) + 0.4
    top = max(top, 2.2 + 1.4 * u[4])
    x = low[0] + (0.2 + 0.6 * u[5]) * (high[0] - low[0])
    z = low[1] + (0.2 + 0.6 * u[6]) * (high[1] - low[1])
    return ((low[0], 0.0, low[1]), (high[0], top, high[1])), (x, top - 0.1, z)


def draw(rng: np.random.Generator) -> Layout:
    """A scene of 2 to 8 solids and, where there is place, a spare one."""
    setting = scene_settings.draw(rng)
    count = 2 + int(rng.random() * 7)
    while True:
        look = _draw_look(rng, setting)
        placed: list[Solid] = []
        stack, spare = rng.random() < 0.3, None
        for _ in range(count + 4):
            solid = _draw_solid(rng, look.sizes)
            found = _stack(solid, placed, look) if stack and len(placed) >= 2 else None
            stack = stack and found is None
            found = found or _place(solid, look, placed, rng)
            if found is not None and len(placed) == count:
                spare = found
                break
            if found is not None:
                placed.append(found)
        if len(placed) >= max(2, count - 2):
            break
    everything = placed + ([spare] if spare else [])
    room, lamp = _draw_room(rng, look.camera, everything)
    up, around = math.radians(25 + 45 * rng.random()), 2 * math.pi * rng.random()
    (c, s), (ca, sa) = _cos_sin(up), _cos_sin(around)
    return Layout(look.camera, tuple(placed), spare, setting, room, lamp, (c * ca, s, c * sa))
