"""Metric depth as a picture: metres -> curve f -> a colour on a path through the RGB cube.

The curve is Barron's power transform (arXiv 2502.10647) with lambda = -3 and c = 10/3:
f(d) = 1 - (1 + d / 10)^-2, from 0 at 0 m to 1 at infinity (sky). The cube path runs over seven
edges of the RGB cube, black, red, yellow, green, cyan, blue, magenta, white, in equal steps of f.

plasma, inferno and viridis are the 256-entry tables by Nathaniel J. Smith, Stefan van der Walt and
(viridis) Eric Firing, published at https://bids.github.io/colormap and in matplotlib
(lib/matplotlib/_cm_listed.py) under CC0. They lie in `colormaps.json`.
"""

import difflib
import functools
import json
import math
import pathlib
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from vision_banana.metrics import depth as depth_metric
from vision_banana.metrics.metric import Metric
from vision_banana.tasks import color_grammar, colors, confidence
from vision_banana.tasks.task import Answer, Example, Task

LAMBDA = -3.0
SCALE_M = 10.0  # -lambda * c, with c = 10/3 m
CUBE_PATH = ((0, 0, 0), (1, 0, 0), (1, 1, 0), (0, 1, 0), (0, 1, 1), (0, 0, 1), (1, 0, 1), (1, 1, 1))
CUBE_SHARE = 0.85  # of the prompts drawn at random
SEGMENTS_A_ROUND = 8  # of the decoder: all of the cube path

_TABLES = json.loads(pathlib.Path(__file__).with_name("colormaps.json").read_text())
# Each colour map is a chain of vertices, equal steps of f apart, joined by straight lines.
PATHS: dict[str, np.ndarray] = {
    "cube": np.array(CUBE_PATH, np.float64),
    **{name: np.array(_TABLES[name]) for name in ("plasma", "inferno", "viridis")},
    "grayscale": np.array(((0, 0, 0), (1, 1, 1)), np.float64),
}
COLORMAPS = tuple(PATHS)

# {} is the colour map: nothing for the cube path, " in plasma colors" and the like for the others.
QUESTIONS = (
    "depth map{}",
    "metric depth map{}",
    "a depth map of this picture{}",
    "generate a metric depth map of this image{}",
    "show how far away everything is, as a depth map{}",
    "paint the distance from the camera in metres as a depth map{}",
)
MAP_WORDS = (" in {} colors", " with the {} colormap", ", colored in {}", " in {}")
# How people ask for a colour map. What stands there must be one, but for words that name none.
_ASKS_MAP = re.compile(
    r"\b(?:in|with|using)\s+(?:the\s+|an?\s+)?([a-z-]+)\s+(?:colou?rs?|palette)\b"
    r"|\b([a-z-]+)\s+colou?r[ -]?map\b|\bcolou?r[ -]?map\s*[:=]\s*([a-z-]+)"
    r"|\bcolou?red\s+(?:in|with)\s+(?:the\s+)?([a-z-]+)|\b(?:shades|tones)\s+of\s+([a-z-]+)"
)
_NO_MAP = (
    "a", "an", "the", "its", "their", "this", "that", "your", "any", "no", "same", "usual",
    "default", "standard", "different", "false", "pseudo", "depth", "metric", "distance",
    "shades", "tones",
)  # fmt: skip
# After these words "in metres" and "in detail" ask for none: it takes a name, or nearly one.
_MAY_ASK_MAP = re.compile(
    r"(?:^|,|\b(?:depth|map|image|picture|photo|scene|metres|meters"
    r"|rendered|drawn|shown|painted|displayed|visuali[sz]ed|plotted))\s*"
    r"\b(?:in|with|using)\s+(?:the\s+)?([a-z-]+)(?=\s*(?:[^\s\w]|$|\b(?:or|and|of|for|please)\b))"
)
_OTHER_MAPS = (
    "jet", "turbo", "magma", "cividis", "parula", "rainbow", "spectral", "hsv", "hot", "bone",
    "copper", "coolwarm", "twilight", "cubehelix", "heatmap",
)  # fmt: skip
# Most of them are words of scenes too: "depth of the jet on the runway", "of the hot dog". Alone
# they ask for a map only in front of "depth" or "colors", or as a clause or a last word without an
# article ("depth map, jet", "depth (jet)", "depth map jet").
_OTHER_MAP = rf"(?:{'|'.join(_OTHER_MAPS)})"
_IS_OTHER_MAP = re.compile(
    rf"\b({_OTHER_MAP})(?:[ -]colou?red)?[ -](?:depth|palette|colou?rs\b|colou?r[ -]?(?:map|scale))"
    rf"|(?:^|[^\w\s-]|\b(?:depth|map|style)\b)\s*({_OTHER_MAP})\s*"
    r"(?=[^\s\w-]|$|\b(?:or|and|please)\b)"
    r"|\b(cividis|parula|coolwarm|cubehelix|hsv|heatmap)s?\b"  # no words of scenes
)
_SAYS_NOT = re.compile(
    rf"(?<![\w-]){color_grammar.NOT}\s+(?:(?:use|in|with|using|as|the|an?)\s+)*[a-z-]+"
)

# The metric's range for scenes, and the range that pictures for people show.
NEAREST_M, FARTHEST_M = 0.1, 80.0
SHOWN_M = (0.5, 80.0)


def curve(depth_m: Any) -> Any:
    """Returns f in [0, 1], (...), of depth in metres in [0, inf]; NumPy (float64) or JAX."""
    xp = jnp if isinstance(depth_m, jax.Array) else np
    x = depth_m if xp is jnp else np.asarray(depth_m, np.float64)
    # 1 - (1 + x)^(lambda + 1), with all digits kept near 0 and exactly 1 at infinity.
    return -xp.expm1((LAMBDA + 1) * xp.log1p(x / SCALE_M))


def uncurve(f: Any) -> Any:
    """Returns depth in metres in [0, inf], (...), of f, clipped to [0, 1]; NumPy or JAX."""
    if isinstance(f, jax.Array):
        f = jnp.clip(f, 0, 1)
        return _uncurve(f, 1 - f)
    f = np.clip(np.asarray(f, np.float64), 0, 1)
    with np.errstate(divide="ignore"):
        return _uncurve(f, 1 - f)


def _uncurve(f: Any, rest: Any) -> Any:
    """Inverts the curve given f and rest = 1 - f, whose digits float32 loses near f = 1.

    d / 10 = rest^(-1/2) - 1 = f / (s (1 + s)) with s = rest^(1/2), exact at both ends.
    """
    s = rest**0.5
    return SCALE_M * f / (s * (1 + s))


def _path(colormap: str) -> np.ndarray:
    if colormap not in PATHS:
        raise ValueError(f"depth: colormap {colormap!r} is unknown; use one of {COLORMAPS}")
    return PATHS[colormap]


def encode(depth_m: Any, colormap: str = "cube") -> np.ndarray:
    """Draws depth.

    Args:
      depth_m: (..., H, W) metres in [0, inf]; infinity is sky.
      colormap: one of COLORMAPS.

    Returns:
      (..., H, W, 3) float32 RGB in [0, 1].

    Raises ValueError for depth that is NaN or negative, or an unknown colour map.
    """
    path = _path(colormap)
    depth_m = np.asarray(depth_m, np.float64)
    bad = np.isnan(depth_m) | (depth_m < 0)
    if bad.any():
        raise ValueError(
            f"depth: {bad.sum()} of {bad.size} values are NaN or negative, the first "
            f"{depth_m[bad].flat[0]}; depth is in metres from 0 to infinity (sky): mark unknown "
            "pixels in `valid` and fill them with 0"
        )
    position = curve(depth_m) * (len(path) - 1)
    segment = np.minimum(position.astype(np.int64), len(path) - 2)
    t = (position - segment)[..., None]
    return ((1 - t) * path[segment] + t * path[segment + 1]).astype(np.float32)


@functools.partial(jax.jit, static_argnames=("colormap",))
def decode(rgb: Any, colormap: str = "cube") -> tuple[jax.Array, jax.Array]:
    """Reads depth: the nearest point of the colour map's path, curve inverted.

    Args:
      rgb: (..., H, W, 3) RGB in [0, 1]; any colour is read, on the path or off it.
      colormap: one of COLORMAPS.

    Returns:
      depth (..., H, W) float32 metres in [0, inf], and its confidence (..., H, W) in [0, 1].

    Raises ValueError for an unknown colour map.
    """
    path = jnp.asarray(_path(colormap), jnp.float32)
    rgb = jnp.asarray(rgb, jnp.float32)
    segments = len(path) - 1
    # One plane a channel and several segments a round: the whole is then one loop over pixels.
    planes = [rgb[..., c] for c in range(3)]

    def nearer(best: tuple, segment: tuple) -> tuple[tuple, None]:
        k, start, end = segment
        along = end - start
        length2 = jnp.sum(along * along)
        # Both distances, from the start and to the end, so that each is exact where it is small.
        done = sum((planes[c] - start[c]) * along[c] for c in range(3)) / length2
        to_go = sum((end[c] - planes[c]) * along[c] for c in range(3)) / length2
        done, to_go = jnp.clip(done, 0, 1), jnp.clip(to_go, 0, 1)
        off = sum(jnp.square(planes[c] - (start[c] + done * along[c])) for c in range(3))
        new = (off, k + done, segments - 1 - k + to_go)
        closer = off < best[0]
        return tuple(jnp.where(closer, n, b) for n, b in zip(new, best, strict=True)), None

    pixels = rgb.shape[:-1]
    first = (jnp.full(pixels, jnp.inf), jnp.zeros(pixels), jnp.full(pixels, float(segments)))
    numbered = (jnp.arange(segments, dtype=jnp.float32), path[:-1], path[1:])
    unroll = min(segments, SEGMENTS_A_ROUND)
    (off, passed, left), _ = jax.lax.scan(nearer, first, numbered, unroll=unroll)
    depth_m = _uncurve(passed / segments, left / segments)
    return depth_m, confidence.from_distance(jnp.sqrt(off))


def read_colormap(prompt: str) -> str:
    """Returns the colour map that a prompt asks for, "cube" where it names none.

    Gray and black and white are "grayscale". The names of other maps count where they can mean
    nothing else ("jet depth map", "depth map, magma", "depth (hot)", "as a heat map"); within a
    scene they are its words ("depth of the jet on the runway").

    Raises ValueError where it names two, or an unknown one.
    """
    words = re.sub(r"\bgr[ea]y[ -]?scale\b", "grayscale", prompt.lower())
    words = re.sub(r"\bblack[ -](?:and|&)[ -]white\b|\bgrey\b", "gray", words)
    words = re.sub(r"\bheat[ -]map", "heatmap", words)
    words = _SAYS_NOT.sub(" ", words)
    asked = [name for match in _ASKS_MAP.findall(words) for name in match if name]
    asked += [name for match in _IS_OTHER_MAP.findall(words) for name in match if name]
    asked += [name for name in _MAY_ASK_MAP.findall(words) if _is_map_like(name)]
    asked += re.findall(rf"\b(?:{'|'.join(COLORMAPS[1:])})\b", words)
    named = {"grayscale" if name == "gray" else name for name in asked if name not in _NO_MAP}
    for name in sorted(named):
        _path(name)
    named.discard("cube")
    if len(named) > 1:
        raise ValueError(f"depth: prompt {prompt!r} names the colormaps {sorted(named)}; name one")
    return named.pop() if named else "cube"


def _is_map_like(name: str) -> bool:
    known = name in (*_OTHER_MAPS, *colors.COMMON)
    return known or bool(difflib.get_close_matches(name, COLORMAPS[1:], n=1, cutoff=0.8))


def _prompt(example: Example, rng: np.random.Generator) -> str:
    if "colormap" in example.words:
        colormap = example.words["colormap"]
        _path(colormap)
    else:
        colormap = _any_colormap(rng)
    return _wording(colormap, rng)


def _any_colormap(rng: np.random.Generator) -> str:
    if rng.random() < CUBE_SHARE:
        return "cube"
    return str(rng.choice([name for name in COLORMAPS if name != "cube"]))


def _wording(colormap: str, rng: np.random.Generator) -> str:
    question = QUESTIONS[rng.integers(len(QUESTIONS))]
    words = MAP_WORDS[rng.integers(len(MAP_WORDS))]
    return question.format("" if colormap == "cube" else words.format(colormap))


def _again(prompt: str, rng: np.random.Generator) -> str:
    """Asks for depth in a colour map as often as training does: what is rare there is worse."""
    del prompt
    return _wording(_any_colormap(rng), rng)


def _draw(example: Example, prompt: str, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    del rng
    rgb = encode(np.where(example.valid, example.label, 0), read_colormap(prompt))
    rgb[~example.valid] = 0.5
    return rgb, example.valid.astype(np.float32)


def _read(rgb: Any, prompts: Sequence[str]) -> Answer:
    """Returns `depth` in metres, `confidence`, and `off_path`, each (B, H, W) float32.

    `off_path` is the distance from the colour map's path, Euclidean in grey levels of 255.
    """
    colormaps = np.array([read_colormap(prompt) for prompt in prompts])
    depth_m = np.zeros(np.shape(rgb)[:-1], np.float32)
    sure = np.zeros_like(depth_m)
    # Every map reads the whole batch: one shape to compile, whatever the prompts.
    for colormap in np.unique(colormaps):
        asked = colormaps == colormap
        answer = decode(rgb, str(colormap))
        depth_m[asked], sure[asked] = (np.asarray(x)[asked] for x in answer)
    off_path = 255 * np.asarray(confidence.to_distance(jnp.asarray(sure)))
    return {"depth": depth_m, "confidence": sure, "off_path": off_path}


class _State(NamedTuple):
    """Of `depth_errors`; the sum of pictures' medians of `off_path`; the pictures that have one."""

    errors: Any
    off_path: np.ndarray
    drawn: np.ndarray


def _metric(min_m: float = NEAREST_M, max_m: float = FARTHEST_M, **options: Any) -> Metric:
    """`depth_errors`, and the mean over pictures of the median `off_path` of valid pixels.

    An answer that was not drawn, or was put together from several, has no `off_path`.
    """
    errors = depth_metric.depth_errors(min_m, max_m, **options)

    def init() -> _State:
        return _State(errors.init(), np.zeros(()), np.zeros((), np.int64))

    def update(state: _State, answer: Answer, examples: Sequence[Example]) -> _State:
        found, off_path, drawn = state
        for i, (depth_m, example) in enumerate(zip(answer["depth"], examples, strict=True)):
            valid = example.valid
            found = errors.update(found, depth_m, example.label, valid=valid)
            if "off_path" in answer and valid.any():
                off_path, drawn = off_path + np.median(answer["off_path"][i][valid]), drawn + 1
        return _State(found, off_path, drawn)

    def merge(a: _State, b: _State) -> _State:
        found = errors.merge(a.errors, b.errors)
        return _State(found, a.off_path + b.off_path, a.drawn + b.drawn)

    def compute(state: _State) -> dict[str, float]:
        mean = float(state.off_path / state.drawn) if state.drawn else math.nan
        return {**errors.compute(state.errors), "off_path": mean}

    return Metric(init, update, merge, compute)


def _blind(examples: Iterable[Example]) -> Callable[[Sequence[Example]], Answer]:
    """Answers with each pixel position's median depth; sky counts as infinitely far."""
    labels = np.stack([np.where(x.valid, x.label, np.nan) for x in examples]).astype(np.float32)
    known = ~np.isnan(labels).all(0)
    middle = np.full(labels.shape[1:], np.nanmedian(labels), np.float32)
    middle[known] = np.nanmedian(labels[:, known], axis=0)

    def answer(examples: Sequence[Example]) -> Answer:
        depth_m = np.broadcast_to(middle, (len(examples), *middle.shape))
        return {"depth": depth_m, "confidence": np.ones_like(depth_m)}

    return answer


def _picture(answer: Answer, i: int) -> np.ndarray:
    """Draws metres on a log scale in inferno, near bright and far dark."""
    low, high = np.log(SHOWN_M)
    depth_m = np.clip(np.asarray(answer["depth"][i], np.float64), *SHOWN_M)
    table = PATHS["inferno"]
    nearness = (high - np.log(depth_m)) / (high - low)
    return table[np.rint(nearness * (len(table) - 1)).astype(np.int64)].astype(np.float32)


def _error(answer: Answer, i: int, example: Example) -> np.ndarray:
    """Returns |ln(p / g)| / ln 2, so that a factor of two is 1; NaN for sky and the unknown."""
    counted = example.valid & np.isfinite(example.label) & (example.label > 0)
    truth = np.log(np.where(counted, example.label, 1))
    drawn = np.log(np.clip(np.asarray(answer["depth"][i], np.float64), 1e-3, 1e4))
    return np.where(counted, np.clip(np.abs(drawn - truth) / np.log(2), 0, 1), np.nan)


TASK = Task(
    name="depth",
    prompt=_prompt,
    draw=_draw,
    read=_read,
    metric=_metric,
    perfect={"delta1": 1.0, "AbsRel": 0.0},
    blind=_blind,
    picture=_picture,
    error=_error,
    again=_again,
    right_below=math.log2(1.25),  # delta1
)
