"""Ray casting of a layout: colours, depth along the optical axis, normals, ids, classes.

A camera ray is (right, up, -1) before it is turned into the world, so the ray's parameter is the
depth along the optical axis itself, in metres.
"""

import dataclasses
import functools
from collections.abc import Callable

import numpy as np

from vision_banana.data import scene_layout, scene_settings, scene_solids
from vision_banana.data.scene_solids import dot, rotate, unit

# Ground beyond this depth is lost in the haze of the horizon and counts as sky.
HORIZON_M = 250.0

# Class ids of the data set; 0 is "none of these".
CLASSES = ("other", "floor", "wall", "ceiling", "ground", "sky", *scene_solids.KINDS)
CLASS_IDS = {name: i for i, name in enumerate(CLASSES)}


@dataclasses.dataclass(frozen=True)
class Seen:
    """One solid as it appears in a picture.

    Attributes:
      id: its instance id, from 1.
      kind: its class, a name of `CLASSES`.
      color: name of its colour.
      area: visible pixels.
      box: first row, first column, last row + 1, last column + 1 of them (zeros if none).
      center: mean row and mean column of the visible pixels.
      depth_m: median depth of the visible pixels.
      support: id of the solid that it stands on, 0 for the ground.
    """

    id: int
    kind: str
    color: str
    area: int
    box: tuple[int, int, int, int]
    center: tuple[float, float]
    depth_m: float
    support: int


@dataclasses.dataclass(frozen=True)
class Scene:
    """A rendered scene; its arrays are read-only.

    Attributes:
      rgb: (H, W, 3) float32 in [0, 1].
      depth_m: (H, W) float32 metres along the optical axis, inf at the sky.
      normals: (H, W, 3) float32 unit vectors in camera space, x right, y up, z towards the
        camera, facing the viewer; 0 at the sky.
      ids: (H, W) int32 instance ids, 0 where there is no solid.
      classes: (H, W) int32 indices into `CLASSES`.
      solids: every solid of the layout, in the order of its ids, seen or not.
      layout: what was rendered.
    """

    rgb: np.ndarray
    depth_m: np.ndarray
    normals: np.ndarray
    ids: np.ndarray
    classes: np.ndarray
    solids: tuple[Seen, ...]
    layout: scene_layout.Layout

    @property
    def min_area(self) -> int:
        """Visible pixels from which an instance counts: 24 in a picture of 64 x 64."""
        return max(1, round(24 * self.ids.size / 4096))

    @property
    def counted(self) -> tuple[Seen, ...]:
        """The instances with at least `min_area` visible pixels."""
        return tuple(s for s in self.solids if s.area >= self.min_area)


@dataclasses.dataclass
class _Buffers:
    """What is nearest at each pixel so far. Vectors are (3, H, W) in the world."""

    depth: np.ndarray
    normal: np.ndarray
    albedo: np.ndarray
    ids: np.ndarray
    classes: np.ndarray


@functools.lru_cache(maxsize=8)
def _grid(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Right and up of every pixel centre in half shorter sides, (1, W) and (H, 1)."""
    side = min(height, width)
    right = (2 * np.arange(width) + 1 - width) / side
    up = (height - 1 - 2 * np.arange(height)) / side
    return right.astype(np.float32)[None, :], up.astype(np.float32)[:, None]


def _rays(camera: scene_layout.Camera, height: int, width: int) -> np.ndarray:
    """World directions (3, H, W), 1 long along the optical axis."""
    right, up = _grid(height, width)
    r = (camera.rotation * np.array([camera.tangent, camera.tangent, -1.0])).astype(np.float32)
    return r[:, 0, None, None] * right + r[:, 1, None, None] * up + r[:, 2, None, None]


def _flat(buffer: np.ndarray) -> np.ndarray:
    """A view with rows and columns in one axis."""
    return buffer.reshape(*buffer.shape[:-2], -1)


def _surface(
    buffers: _Buffers,
    rays: np.ndarray,
    eye: float,
    pixel: float,
    parts: list[tuple[np.ndarray, str, scene_settings.Texture]],
) -> None:
    """Labels and paints each part: where it is (n,), its class, its texture."""
    for where, name, texture in parts:
        if not where.size:
            continue
        _flat(buffers.classes)[where] = CLASS_IDS[name]
        if texture.kind == "plain":
            first = np.asarray(texture.colors[0], np.float32)
            _flat(buffers.albedo)[:, where] = first[:, None]
            continue
        d, depth = _flat(rays)[:, where], _flat(buffers.depth)[where]
        slant = np.abs(dot(_flat(buffers.normal)[:, where], d))
        p = d * depth
        p[1] += np.float32(eye)
        footprint = depth * np.float32(pixel) / np.maximum(slant, np.float32(0.05))
        _flat(buffers.albedo)[:, where] = scene_settings.paint(texture, p, footprint)


def _cast_room(
    buffers: _Buffers, rays: np.ndarray, layout: scene_layout.Layout, pixel: float
) -> None:
    """Floor, walls and ceiling: where each ray leaves the room's box."""
    eye = layout.camera.height
    low, high = (np.asarray(corner, np.float32) for corner in layout.room)
    origin = np.array([0, eye, 0], np.float32)
    ahead = rays > 0
    # The camera stands inside, so the wall ahead along each axis has the ray's own sign.
    edge = np.where(ahead, (high - origin)[:, None, None], (origin - low)[:, None, None])
    t = edge / np.maximum(np.abs(rays), np.float32(1e-12))
    depth = np.minimum(np.minimum(t[0], t[1]), t[2])
    buffers.depth[:] = depth
    level = t[1] == depth
    side = (t[0] == depth) & ~level
    front = ~(level | side)
    for axis, mask in enumerate((side, level, front)):
        buffers.normal[axis] = np.where(mask, np.where(ahead[axis], -1, 1), 0)
    setting = layout.setting
    ceiling = scene_settings.Texture("plain", (setting.ceiling, setting.ceiling))
    parts = [
        (np.flatnonzero(level & ~ahead[1]), "floor", setting.ground),
        (np.flatnonzero(level & ahead[1]), "ceiling", ceiling),
        (np.flatnonzero(~level), "wall", setting.wall),
    ]
    _surface(buffers, rays, eye, pixel, parts)


def _cast_outdoors(
    buffers: _Buffers, rays: np.ndarray, layout: scene_layout.Layout, pixel: float
) -> None:
    """The ground to the horizon, the sky above it."""
    eye, setting = layout.camera.height, layout.setting
    t = np.float32(-eye) / np.minimum(rays[1], np.float32(-1e-6))
    ground = t < HORIZON_M
    buffers.depth[:] = np.where(ground, t, np.inf)
    buffers.normal[1] = ground
    _surface(buffers, rays, eye, pixel, [(np.flatnonzero(ground), "ground", setting.ground)])
    horizon = np.asarray(setting.sky[1], np.float32)[:, None]
    far = np.flatnonzero(ground & (t > 15))
    haze = 1 - 15 / _flat(t)[far]
    albedo = _flat(buffers.albedo)
    albedo[:, far] += np.float32(0.6) * haze * haze * (horizon - albedo[:, far])
    where = np.flatnonzero(~ground)
    if where.size:
        buffers.classes.reshape(-1)[where] = CLASS_IDS["sky"]
        d = unit(_flat(rays)[:, where])
        zenith = np.asarray(setting.sky[0], np.float32)[:, None]
        rise = np.clip(d[1] * np.float32(1.6), 0, 1)
        color = horizon + np.sqrt(rise) * (zenith - horizon)
        if setting.clouds:
            a, b = d[0] / (d[1] + np.float32(0.25)), d[2] / (d[1] + np.float32(0.25))
            o = np.asarray(setting.ground.offset, np.float32) * np.float32(6.0)
            wave = np.sin(3 * a + o[0] + 2 * np.sin(2 * b + o[1])) * np.sin(4 * b + a + o[2])
            cover = np.clip(wave, 0, 1) * np.float32(setting.clouds)
            color = color + cover * (np.float32(0.95) - color)
        albedo[:, where] = color


def _window(
    solid: scene_layout.Solid, camera: scene_layout.Camera, height: int, width: int
) -> tuple[slice, slice]:
    """Rows and columns that hold every pixel of the solid: its local box's corners projected."""
    girth, inverse = scene_solids.KINDS[solid.kind].girth, camera.rotation.T
    half = np.array([solid.scale[0] * girth, solid.scale[1], solid.scale[2] * girth])
    center = inverse @ (np.array(solid.center) - [0, camera.height, 0])
    corner = center[:, None] + (inverse @ solid.rotation * half) @ _CORNERS
    depth = -corner[2]
    if depth.min() < 0.02:
        if solid.bound < center[2]:
            return slice(0, 0), slice(0, 0)
        return slice(0, height), slice(0, width)
    side = min(height, width) / 2
    right = corner[0] / depth / camera.tangent * side + width / 2
    down = -corner[1] / depth / camera.tangent * side + height / 2
    rows = slice(max(0, int(down.min()) - 1), max(0, min(height, int(down.max()) + 2)))
    return rows, slice(max(0, int(right.min()) - 1), max(0, min(width, int(right.max()) + 2)))


_CORNERS = np.stack(np.meshgrid([-1, 1], [-1, 1], [-1, 1])).reshape(3, 8)


def _enter(
    solid: scene_layout.Solid,
    origin: np.ndarray,
    rays: np.ndarray,
    rotate: Callable[[np.ndarray, np.ndarray], np.ndarray] = scene_solids.rotate,
) -> np.ndarray:
    """Ray parameter at which rays from `origin` (3, 1) or (3, n) enter the solid, inf if never.

    Rays start anew where they pass the solid's centre: with far origins float32 loses the
    solid's surface.
    """
    matrix, center = solid.frame
    d = rotate(matrix, rays)
    o = rotate(matrix, origin - center)
    t = -dot(o, d) / dot(d, d)
    return t + scene_solids.KINDS[solid.kind].enter(o + t * d, d)


def _cast_solid(
    buffers: _Buffers, rays: np.ndarray, layout: scene_layout.Layout, number: int, pixel: float
) -> None:
    """Draws solid `number` wherever it is nearer than what is there."""
    solid, eye = layout.solids[number], layout.camera.height
    rows, columns = _window(solid, layout.camera, *buffers.depth.shape)
    part = rays[:, rows, columns]
    if not part.size:
        return
    shape, part = part.shape[1:], part.reshape(3, -1)
    origin = np.array([[0], [eye], [0]], np.float32)
    t = _enter(solid, origin, part)
    depth = buffers.depth[rows, columns]
    where = np.flatnonzero((t > 0.01) & (t < depth.reshape(-1)))
    if not where.size:
        return
    t, d = t[where].astype(np.float32), part[:, where]
    matrix, center = solid.frame
    p = rotate(matrix, origin + t * d - center)
    kind = scene_solids.KINDS[solid.kind]
    normal = unit(rotate(matrix.T, kind.normal(p).astype(np.float32)))
    scale = np.asarray(solid.scale, np.float32)[:, None]
    footprint = t * np.float32(pixel)
    i, j = np.divmod(where, shape[1])
    depth[i, j] = t
    buffers.normal[:, rows, columns][:, i, j] = normal
    buffers.albedo[:, rows, columns][:, i, j] = scene_settings.paint(
        solid.texture, p * scale, footprint
    )
    buffers.ids[rows, columns][i, j] = number + 1
    buffers.classes[rows, columns][i, j] = CLASS_IDS[solid.kind]


def _shadowed(
    layout: scene_layout.Layout, points: np.ndarray, to_light: np.ndarray, ids: np.ndarray
) -> np.ndarray:
    """Whether a solid stands between points (3, n) of instance `ids` (n,) and the light.

    `to_light` (3, n) reaches the light at parameter 1; only rays through a solid's bounding
    sphere are tested against the solid itself.
    """
    dark = np.zeros(ids.shape, bool)
    if not layout.solids:
        return dark
    centers = np.array([solid.center for solid in layout.solids], np.float32)
    bounds = np.array([solid.bound for solid in layout.solids], np.float32)[:, None]
    numbers = np.arange(1, len(layout.solids) + 1, dtype=np.int32)[:, None]
    # Shadows touch no label, so matrix products are allowed here.
    along = centers @ to_light - dot(points, to_light)
    apart = dot(centers.T, centers.T)[:, None] - 2 * (centers @ points) + dot(points, points)
    near = (apart - bounds * bounds) * dot(to_light, to_light) < along * along
    near &= (along > 0) & (numbers != ids)
    for solid, mask in zip(layout.solids, near, strict=True):
        where = np.flatnonzero(mask)
        if where.size:
            t = _enter(solid, points[:, where], to_light[:, where], np.matmul)
            dark[where] |= (t > 0) & (t < 1)
    return dark


def _shade(buffers: _Buffers, rays: np.ndarray, layout: scene_layout.Layout) -> np.ndarray:
    """Colours (H, W, 3): albedo under a light with hard shadows and light from everywhere."""
    setting = layout.setting
    normal, ids = _flat(buffers.normal), _flat(buffers.ids)
    sky = ~np.isfinite(_flat(buffers.depth))
    points = _flat(rays) * np.where(sky, 0, _flat(buffers.depth))
    points[1] += np.float32(layout.camera.height)
    points += normal * np.float32(0.002)
    if setting.outdoors:
        to_light = np.asarray(layout.sun, np.float32)[:, None] * np.float32(500.0)
        facing = np.maximum(dot(normal, to_light / np.float32(500.0)), 0)
        to_light = np.broadcast_to(to_light, points.shape)
    else:
        to_light = np.asarray(layout.lamp, np.float32)[:, None] - points
        facing = np.maximum(dot(normal, to_light) / np.sqrt(dot(to_light, to_light)), 0)
    lit = np.flatnonzero(facing)
    facing[lit[_shadowed(layout, points[:, lit], to_light[:, lit], ids[lit])]] = 0
    # A little of the ambient light comes from above, so that unlit sides differ.
    ambient = np.float32(setting.ambient) * (np.float32(0.94) + np.float32(0.06) * normal[1])
    light = ambient + np.float32(1.06 - setting.ambient) * facing
    light[sky] = 1
    color = _flat(buffers.albedo) * light
    height, width = buffers.depth.shape
    return np.clip(color, 0, 1).T.reshape(height, width, 3)


def _describe(buffers: _Buffers, layout: scene_layout.Layout) -> tuple[Seen, ...]:
    """Every solid's visible pixels in numbers."""
    seen = []
    for number, solid in enumerate(layout.solids):
        box, center, depth, area = (0, 0, 0, 0), (0.0, 0.0), float("inf"), 0
        where = np.flatnonzero(buffers.ids == number + 1)
        if where.size:
            area = where.size
            rows, columns = np.divmod(where, buffers.ids.shape[1])
            box = (int(rows[0]), int(columns.min()), int(rows[-1]) + 1, int(columns.max()) + 1)
            center = (int(rows.sum()) / area, int(columns.sum()) / area)
            depth = float(np.partition(_flat(buffers.depth)[where], area // 2)[area // 2])
        seen.append(
            Seen(number + 1, solid.kind, solid.color, area, box, center, depth, solid.support + 1)
        )
    return tuple(seen)


def render(layout: scene_layout.Layout, size: int | tuple[int, int]) -> Scene:
    """Renders a layout at `size`, one side of a square or (H, W), in pixels.

    Labels are exact at pixel centres; the picture is not antialiased.
    """
    height, width = (size, size) if isinstance(size, int) else size
    camera = layout.camera
    rays = _rays(camera, height, width)
    buffers = _Buffers(
        depth=np.empty((height, width), np.float32),
        normal=np.zeros((3, height, width), np.float32),
        albedo=np.empty((3, height, width), np.float32),
        ids=np.zeros((height, width), np.int32),
        classes=np.zeros((height, width), np.int32),
    )
    pixel = 2 * camera.tangent / min(height, width)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        cast = _cast_outdoors if layout.setting.outdoors else _cast_room
        cast(buffers, rays, layout, pixel)
        for number in range(len(layout.solids)):
            _cast_solid(buffers, rays, layout, number, pixel)
        rgb = _shade(buffers, rays, layout)
    normals = rotate(camera.rotation.T.astype(np.float32), buffers.normal)
    normals = np.ascontiguousarray(np.moveaxis(normals, 0, -1))
    arrays = (rgb, buffers.depth, normals, buffers.ids, buffers.classes)
    for array in arrays:
        array.flags.writeable = False
    return Scene(*arrays, solids=_describe(buffers, layout), layout=layout)
