"""What surrounds the solids: the named colours, textures, rooms, grounds and skies."""

import dataclasses

import numpy as np

from vision_banana.data import scene_solids

# Colours of the solids. Light varies by less than a factor of two over a scene, so that white,
# gray and black, or orange and brown, can be told apart in shadow too.
COLORS: dict[str, tuple[float, float, float]] = {
    "red": (0.86, 0.10, 0.10),
    "green": (0.10, 0.62, 0.16),
    "blue": (0.10, 0.22, 0.88),
    "yellow": (0.96, 0.86, 0.10),
    "orange": (1.00, 0.50, 0.04),
    "purple": (0.50, 0.14, 0.74),
    "pink": (1.00, 0.56, 0.76),
    "cyan": (0.12, 0.84, 0.90),
    "brown": (0.40, 0.22, 0.11),
    "white": (0.96, 0.96, 0.96),
    "black": (0.07, 0.07, 0.07),
    "gray": (0.45, 0.45, 0.45),
}

Color = tuple[float, float, float]

# Muted, so that the solids stand out. Names are those that captions and instructions use.
WALLS: dict[str, Color] = {
    "white": (0.84, 0.83, 0.80),
    "gray": (0.60, 0.60, 0.62),
    "blue": (0.50, 0.60, 0.73),
    "green": (0.56, 0.67, 0.55),
    "yellow": (0.80, 0.75, 0.53),
    "pink": (0.78, 0.63, 0.64),
    "red": (0.64, 0.42, 0.39),
    "brown": (0.56, 0.47, 0.39),
}
FLOORS: dict[str, Color] = {
    "wooden": (0.60, 0.47, 0.34),
    "tiled": (0.66, 0.66, 0.64),
    "gray": (0.50, 0.50, 0.52),
    "carpeted": (0.46, 0.42, 0.50),
}
GROUNDS: dict[str, Color] = {
    "grass": (0.38, 0.52, 0.26),
    "sand": (0.76, 0.66, 0.48),
    "snow": (0.80, 0.83, 0.88),
    "soil": (0.46, 0.37, 0.29),
    "pavement": (0.54, 0.54, 0.55),
}
# Colour overhead and at the horizon.
SKIES: dict[str, tuple[Color, Color]] = {
    "blue": ((0.30, 0.52, 0.86), (0.74, 0.84, 0.94)),
    "gray": ((0.58, 0.62, 0.68), (0.80, 0.81, 0.82)),
    "orange": ((0.46, 0.44, 0.62), (0.96, 0.72, 0.48)),
}

TEXTURES = ("plain", "checker", "stripes", "gradient", "noise")


@dataclasses.dataclass(frozen=True)
class Texture:
    """A pattern in three dimensions that mixes two colours.

    Attributes:
      kind: one of `TEXTURES`.
      colors: the two colours mixed, RGB in [0, 1].
      cell: size of a cell, a stripe or a blotch in metres.
      direction: unit vector across the stripes or along the gradient.
      offset: where the pattern starts, in cells along x, y, z.
    """

    kind: str
    colors: tuple[Color, Color]
    cell: float = 1.0
    direction: tuple[float, float, float] = (1.0, 0.0, 0.0)
    offset: tuple[float, float, float] = (0.37, 0.41, 0.43)


@dataclasses.dataclass(frozen=True)
class Setting:
    """A room or an open place, without its dimensions; any camera and solids can stand in it.

    Attributes:
      outdoors: ground and sky; else floor, walls and ceiling.
      near: a ground that is only seen from close by, so that it tells how near things are.
      phrase: what a caption calls it ("in a room with blue walls").
      name: what an instruction calls it ("a room with blue walls and a wooden floor").
      ground: texture of the ground or the floor.
      wall: texture of the walls (unused outdoors).
      ceiling: colour of the ceiling (unused outdoors).
      sky: colours overhead and at the horizon (unused in rooms).
      clouds: how much the sky's colour varies, 0 to 1.
      ambient: share of the light that reaches shadows.
    """

    outdoors: bool
    near: bool
    phrase: str
    name: str
    ground: Texture
    wall: Texture
    ceiling: Color
    sky: tuple[Color, Color]
    clouds: float
    ambient: float


def paint(texture: Texture, p: np.ndarray, footprint: np.ndarray) -> np.ndarray:
    """Colours (3, n) of a texture at points p (3, n) in metres.

    The pattern fades where a pixel's `footprint` (n,), in metres, nears the size of a cell; else
    the distance would be an aliased pattern.
    """
    first, second = np.asarray(texture.colors, np.float32)[:, :, None]
    if texture.kind == "plain":
        return np.broadcast_to(first, p.shape)
    q = p * np.float32(1 / texture.cell)
    offset = np.asarray(texture.offset, np.float32)
    if texture.kind == "checker":
        cells = np.floor(q + offset[:, None])
        share = (cells[0] + cells[1] + cells[2]) % 2
    elif texture.kind == "noise":
        o = offset * np.float32(6.0)
        low = np.sin(np.float32(2.3) * q[0] + o[0]) + np.sin(np.float32(1.9) * q[2] + o[1] + q[1])
        share = np.sin(np.float32(3.1) * (q[0] - q[2] + q[1]) + low * 2 + o[2]) * low
        share = np.clip(np.float32(0.5) + np.float32(0.4) * share, 0, 1)
    else:
        across = scene_solids.dot(np.asarray(texture.direction, np.float32), q) + offset[0]
        if texture.kind == "stripes":
            share = np.floor(across) % 2
        else:
            share = np.abs(2 * (across * 0.5 - np.floor(across * 0.5)) - 1)
    clear = np.clip(1.5 - footprint * np.float32(2 / texture.cell), 0, 1).astype(np.float32)
    return first + (np.float32(0.5) + (share - np.float32(0.5)) * clear) * (second - first)


def mix(a: Color, b: Color, share: float) -> Color:
    """Colour `share` of the way from `a` to `b`."""
    return (
        a[0] + share * (b[0] - a[0]),
        a[1] + share * (b[1] - a[1]),
        a[2] + share * (b[2] - a[2]),
    )


def room(wall: str, floor: str) -> Setting:
    """The plain room of that wall and floor, names of `WALLS` and `FLOORS`."""
    tint = FLOORS[floor]
    kind = {"wooden": "stripes", "tiled": "checker", "gray": "plain", "carpeted": "noise"}[floor]
    return Setting(
        outdoors=False,
        near=floor == "carpeted",
        phrase=f"in a room with {wall} walls",
        name=f"a room with {wall} walls and a {floor} floor",
        ground=Texture(kind, (tint, mix(tint, (0, 0, 0), 0.25)), 0.5),
        wall=Texture("plain", (WALLS[wall], WALLS[wall])),
        ceiling=(1.0, 0.99, 0.97),
        sky=SKIES["blue"],
        clouds=0.0,
        ambient=0.58,
    )


def outdoors(ground: str, sky: str) -> Setting:
    """The open place of that ground and sky, names of `GROUNDS` and `SKIES`."""
    tint = GROUNDS[ground]
    kind = "checker" if ground == "pavement" else "noise"
    name = f"{ground} under {'an' if sky == 'orange' else 'a'} {sky} sky"
    return Setting(
        outdoors=True,
        near=ground == "sand",
        phrase=f"on {name}",
        name=name,
        ground=Texture(kind, (tint, mix(tint, (0, 0, 0), 0.25)), 0.8),
        wall=Texture("plain", (tint, tint)),
        ceiling=tint,
        sky=SKIES[sky],
        clouds=0.0,
        ambient=0.58,
    )


def _pick(rng: np.random.Generator, names: dict) -> str:
    return list(names)[int(rng.random() * len(names))]


def draw_named(rng: np.random.Generator, unlike: Setting | None = None) -> Setting:
    """A plain setting that its name describes in full, other than `unlike` by name."""
    while True:
        if rng.random() < 0.5:
            setting = room(_pick(rng, WALLS), _pick(rng, FLOORS))
        else:
            setting = outdoors(_pick(rng, GROUNDS), _pick(rng, SKIES))
        if unlike is None or setting.phrase != unlike.phrase:
            return setting


def _vary(texture: Texture, kind: str, rng: np.random.Generator) -> Texture:
    """The texture in another kind, shade, contrast, cell size and place."""
    shade = 0.85 + 0.25 * rng.random()
    first: Color = tuple(min(1.0, c * shade) for c in texture.colors[0])  # type: ignore[assignment]
    direction = (1.0, 0.0, 0.0) if rng.random() < 0.5 else (0.0, 0.0, 1.0)
    return Texture(
        kind,
        (first, mix(first, (0, 0, 0), 0.15 + 0.3 * rng.random())),
        0.5 + 0.2 * rng.random(),
        direction,
        (rng.random(), rng.random(), rng.random()),
    )


def draw(rng: np.random.Generator) -> Setting:
    """A setting for a scene: 40 % outdoors, with varied textures, shades, sky and light."""
    ambient = 0.5 + 0.12 * rng.random()
    if rng.random() < 0.4:
        base = outdoors(_pick(rng, GROUNDS), _pick(rng, SKIES))
        kinds = ("checker", "stripes", "noise", "noise", "noise", "plain")
        ground = _vary(base.ground, kinds[int(rng.random() * 6)], rng)
        return dataclasses.replace(base, ground=ground, clouds=rng.random() * 0.6, ambient=ambient)
    base = room(_pick(rng, WALLS), _pick(rng, FLOORS))
    floor_kinds = ("checker", "checker", "stripes", "noise", "gradient", "plain")
    wall_kinds = ("plain", "plain", "stripes", "gradient", "noise", "checker")
    floor = _vary(base.ground, floor_kinds[int(rng.random() * 6)], rng)
    wall = _vary(base.wall, wall_kinds[int(rng.random() * 6)], rng)
    return dataclasses.replace(
        base,
        ground=floor,
        wall=dataclasses.replace(wall, colors=(wall.colors[0], mix(*wall.colors, 0.5))),
        ambient=ambient,
    )
