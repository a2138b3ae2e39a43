"""The colours of a prompt: which it names for what, and palettes that are easy to tell apart."""

import functools
from collections.abc import Mapping, Sequence

import numpy as np

from vision_banana.tasks import color_grammar, color_names, color_prompts
from vision_banana.tasks.color_names import RGB

BACKGROUND = "background"
# Two colours of one prompt must lie at least this far apart, Euclidean, of 255: the paper's tau
# (arXiv 2604.20329, appendix A), which is the instance decoder's tolerance too.
MIN_DISTANCE = 14.0

normalise = color_grammar.normalise

# Common single-word names, so that a small model meets each of them often.
COMMON = (
    "red", "green", "blue", "yellow", "cyan", "magenta", "white", "black", "orange", "purple",
    "pink", "brown", "gray", "lime", "navy", "teal", "olive", "maroon", "violet", "gold",
)  # fmt: skip


class NoColor(ValueError):
    """A prompt in which no colour can be read."""


def parse_prompt(text: str) -> dict[str, RGB]:
    """Reads which colour a prompt gives to what.

    Maps in braces (quotes may be missing), `road: #804080`, `sky = (70, 130, 180)`, commands
    ("paint the skateboard pure yellow <255,255,0>") and sentences ("The tongs are (255, 0, 192).")
    are read; a tuple or hex beats the word beside it. With one colour and no background, black
    joins as "background" (white where the colour is nearer to black); with several and none,
    nothing joins.

    Args:
      text: the prompt.

    Returns:
      Name -> (r, g, b) in 0..255, in the order of the text. Names are lower-case, without article;
      "everything else" is "background".

    Raises:
      NoColor: no colour can be read in it (a ValueError).
      ValueError: the prompt is empty, a colour's name is unknown, a name has two colours, or two
        colours are nearer than 14 of 255.
    """
    return dict(_parse(text))


def parse_legend(text: str) -> dict[str, RGB]:
    """Reads a prompt as `parse_prompt` does, where more than a background is asked for.

    Raises:
      ValueError: as there, and where only the background has a colour.
    """
    legend = parse_prompt(text)
    if not phrases(legend):
        raise ValueError(
            f"the prompt {text!r} gives only the background a colour: name what to segment, "
            "for example 'cat: red'"
        )
    return legend


@functools.lru_cache(maxsize=4096)
def _parse(text: str) -> tuple[tuple[str, RGB], ...]:
    if not text.strip():
        raise ValueError("the prompt is empty: name what to colour, and in which colour")
    legend: dict[str, RGB] = {}
    for name, color in color_prompts.pairs(text):
        if legend.setdefault(name, color) != color:
            raise ValueError(
                f"{name!r} has two colours in the prompt, {legend[name]} and {color}: give one"
            )
    if not legend:
        raise NoColor(
            f"no colour can be read in the prompt {text!r}: write for example 'cat: red', "
            "'paint the cat red' or 'The cat is (255, 0, 0).'"
        )
    _refuse_near(legend)
    return tuple(join_background(legend).items())


def _refuse_near(legend: Mapping[str, RGB]) -> None:
    names = list(legend)
    table = np.array([legend[name] for name in names], np.float64)
    apart = np.sqrt(((table[:, None] - table[None]) ** 2).sum(-1))
    np.fill_diagonal(apart, np.inf)
    i, j = np.unravel_index(apart.argmin(), apart.shape)
    if apart[i, j] < MIN_DISTANCE:
        raise ValueError(
            f"{names[i]!r} {legend[names[i]]} and {names[j]!r} {legend[names[j]]} have nearly the "
            f"same colour, {apart[i, j]:.1f} of 255 apart: choose colours at least "
            f"{MIN_DISTANCE:.0f} apart"
        )


def join_background(legend: Mapping[str, RGB]) -> dict[str, RGB]:
    """Adds the background that one colour alone implies: black, or white if black is nearer."""
    joined = dict(legend)
    if len(joined) == 1 and BACKGROUND not in joined:
        (color,) = joined.values()
        to_black = sum(c * c for c in color)
        to_white = sum((255 - c) ** 2 for c in color)
        joined[BACKGROUND] = color_names.WHITE if to_black < to_white else color_names.BLACK
    return joined


def phrases(legend: Mapping[str, RGB]) -> tuple[str, ...]:
    """What a legend gives a colour, in its order, without the background."""
    return tuple(phrase for phrase in legend if phrase != BACKGROUND)


def name_of(color: Sequence[int]) -> str | None:
    """Returns the common name of a colour, else its CSS name, None where it has none."""
    rgb = tuple(int(c) for c in color)
    for name in (*COMMON, *color_names.CSS):
        if color_names.CSS[name] == rgb:
            return name
    return None


def write_color(color: Sequence[int], notation: str) -> str:
    """Writes a colour.

    Args:
      color: (r, g, b) in 0..255.
      notation: "name" (orange), "angle" (<255, 165, 0>), "tuple" ((255, 165, 0)), "rgb"
        (RGB(255, 165, 0)), "hex" (#FFA500) or "both" (pure orange (<255, 165, 0>)).

    Raises:
      ValueError: the notation is unknown, or a name is asked for and the colour has none.
    """
    r, g, b = (int(c) for c in color)
    figures = f"{r}, {g}, {b}"
    written = {
        "angle": f"<{figures}>",
        "tuple": f"({figures})",
        "rgb": f"RGB({figures})",
        "hex": f"#{r:02X}{g:02X}{b:02X}",
    }
    if notation in written:
        return written[notation]
    if notation not in ("name", "both"):
        raise ValueError(f"notation={notation!r} is unknown: use name, both, {', '.join(written)}")
    name = name_of((r, g, b))
    if name is None:
        raise ValueError(f"the colour ({figures}) has no name: write it with another notation")
    return name if notation == "name" else f"pure {name} (<{figures}>)"


def draw_palette(
    count: int,
    rng: np.random.Generator,
    named: bool = True,
    min_distance: float = 96.0,
    avoid: Sequence[RGB] = (),
) -> list[RGB]:
    """Draws random colours that lie well apart.

    Where `count` colours do not fit at `min_distance`, the distance shrinks until they do; the
    common names come first, the whole CSS table only for more colours than they can give.

    Args:
      count: how many.
      rng: source of the draw.
      named: whether every colour must have a name.
      min_distance: least Euclidean distance of any two, of 255.
      avoid: colours that the drawn ones must keep away from in the same way.

    Raises:
      ValueError: so many colours do not exist at 14 of 255 or more.
    """
    distance = min_distance
    while distance >= MIN_DISTANCE:
        for _ in range(8):
            palette = _draw_apart(count, rng, _candidates(rng, named, distance), distance, avoid)
            if len(palette) == count:
                return palette
        distance *= 0.85
    raise ValueError(
        f"count={count} colours do not fit at {MIN_DISTANCE:.0f} of 255 apart"
        f"{' with names' if named else ''}: ask for fewer{', or named=False' if named else ''}"
    )


def _candidates(rng: np.random.Generator, named: bool, distance: float) -> np.ndarray:
    if not named:
        return rng.integers(0, 256, (4096, 3))
    # Below 48 the common names are all at least as far apart as they will ever be.
    names = COMMON if distance >= 48 else tuple(color_names.CSS)
    return rng.permutation(np.array([color_names.CSS[name] for name in names]))


def _draw_apart(
    count: int,
    rng: np.random.Generator,
    candidates: np.ndarray,
    distance: float,
    avoid: Sequence[RGB],
) -> list[RGB]:
    """Takes candidates in order, each time dropping those too near."""
    left = candidates
    for color in avoid:
        left = left[((left - np.array(color)) ** 2).sum(-1) >= distance**2]
    palette: list[RGB] = []
    while len(palette) < count and len(left):
        r, g, b = (int(c) for c in left[0])
        palette.append((r, g, b))
        left = left[((left - left[0]) ** 2).sum(-1) >= distance**2]
    return palette
