"""Single colours in words and figures: the CSS table, and how one colour is read from text.

A colour is (r, g, b), integers in 0..255. The table is CSS Color Module Level 4's named colours
(148, W3C), kept in `css_colors.json`. In front of a name `pure` and `solid` say nothing, and
`light` and `dark` go halfway to white and to black where the table itself has no such name
(`light blue` is CSS's lightblue; `light purple` is halfway).
"""

import difflib
import json
import pathlib
import re
from typing import NoReturn

RGB = tuple[int, int, int]

BLACK: RGB = (0, 0, 0)
WHITE: RGB = (255, 255, 255)

_TABLE = json.loads(pathlib.Path(__file__).with_name("css_colors.json").read_text())
CSS: dict[str, RGB] = {
    name: (int(code[1:3], 16), int(code[3:5], 16), int(code[5:7], 16))
    for name, code in _TABLE.items()
}
# Every word that a name, of one word or written as several, can begin with.
_BEGINNINGS = {name[:n] for name in CSS for n in range(1, len(name) + 1)} | {"pure", "solid"}
MAX_WORDS = 6  # "pure light medium spring green" has 5
# Colours that people name, which are no things and which the table has not: where a colour must
# stand they are refused, since as words of the phrase they would join it to the next one.
UNLISTED = (
    "burgundy", "scarlet", "mauve", "taupe", "ochre", "ocher", "vermilion", "cerise", "carmine",
    "cerulean", "ultramarine", "periwinkle", "lilac", "puce", "ecru", "cobalt", "viridian",
    "umber", "sepia", "magnolia", "celadon", "heliotrope",
)  # fmt: skip

_NUMBERS = r"\s*\d+\s*[,\s]\s*\d+\s*[,\s]\s*\d+\s*"
_TUPLE = rf"(?:\brgb\s*)?(?:\({_NUMBERS}\)|<{_NUMBERS}>|\[{_NUMBERS}\])"
_HEX = r"#[0-9a-f]{3,}(?![0-9a-z])"
# Brackets that hold several numbers, or any after "rgb" or "hsl": meant as a colour, even if wrong.
_MEANT = (
    r"\b(?:rgba?|hs[lvb]a?|hwb|cmyk)\s*[(<\[][^)>\]]*[)>\]]"
    r"|[(<\[]\s*-?[\d.]+%?(?:\s*[,\s]\s*-?[\d.]+%?)+\s*[)>\]]"
)
# Brackets around a tuple go with it: "(<255, 255, 0>)".
FIGURE = re.compile(rf"[(\[]\s*(?:{_TUPLE}|{_HEX})\s*[)\]]|{_TUPLE}|{_HEX}|{_MEANT}", re.IGNORECASE)


def read_name(text: str) -> RGB | None:
    """Reads a colour's name ("red", "light purple", "solid sky-blue"), None where it is none."""
    words = text.lower().replace("-", " ").split()
    while len(words) > 1 and words[0] in ("pure", "solid"):
        words = words[1:]
    if not words or len(words) > MAX_WORDS:
        return None
    joined = "".join(words)
    if joined in CSS:
        return CSS[joined]
    if len(words) > 1 and words[0] in ("light", "dark"):
        base = read_name(" ".join(words[1:]))
        if base is None:
            return None
        towards = 255 if words[0] == "light" else 0
        r, g, b = ((c + towards + 1) // 2 for c in base)  # a half rounds up
        return r, g, b
    return None


def may_begin_name(word: str) -> bool:
    """Whether a lower-case word can be the first of a colour's name; rules most words out fast."""
    return word.partition("-")[0] in _BEGINNINGS


def read_figure(text: str) -> RGB:
    """Reads what `FIGURE` matched: `<255, 165, 0>`, `(<255, 165, 0>)`, `RGB(...)`, `#80C000`.

    Raises:
      ValueError: it is not three whole numbers in 0..255 or a hex colour of 3 or 6 digits.
    """
    body = text.lower().strip("()[]<> ")
    if body.startswith("#") and len(body) in (4, 7):
        digits = body[1:] if len(body) == 7 else "".join(2 * c for c in body[1:])
        r, g, b = (int(digits[i : i + 2], 16) for i in (0, 2, 4))
        return r, g, b
    numbers = re.findall(r"-?[\d.]+%?", body)
    other = re.match(r"#|(?!rgb\b)[a-z]", body)
    if other or len(numbers) != 3 or not all(n.isdigit() for n in numbers):
        raise ValueError(
            f"{text!r} is not a colour: write three whole numbers of 0 to 255 as in "
            "(255, 165, 0), or six hex digits as in #80C000"
        )
    r, g, b = (int(n) for n in numbers)
    if max(r, g, b) > 255:
        raise ValueError(f"{text!r} is not a colour: {max(r, g, b)} is outside 0..255")
    return r, g, b


def read_color(text: str) -> RGB:
    """Reads a colour alone, in any way it is written; a tuple or hex beats the word beside it.

    Raises:
      ValueError: the text holds no colour; the nearest valid names are in the message.
    """
    figure = FIGURE.search(text)
    if figure:
        return read_figure(figure.group())
    words = re.sub(r"[\"'“”‘’()<>\[\]{}.]", " ", text.lower()).strip()
    words = re.sub(r"^(?:(?:in|a|an|the|colou?r)\s+)+|\s+colou?r$", "", words)
    color = read_name(words)
    if color is None:
        raise_unknown(words)
    return color


def raise_unknown(name: str) -> NoReturn:
    """Raises the ValueError for a name that the table has not, with the nearest valid ones."""
    words = name.lower().split()
    known = [word for word in words if word in CSS]  # the "red" of "bright red"
    near = difflib.get_close_matches("".join(words), CSS, n=3, cutoff=0.0)
    nearest = list(dict.fromkeys(known + near))[:3]
    raise ValueError(
        f"unknown colour name {name.strip()!r}; the nearest valid names are {', '.join(nearest)}; "
        "or write figures, as in (255, 165, 0) or #80C000"
    )


def is_nearly_a_name(word: str) -> bool:
    """Whether a word is a slip of the pen away from a colour's name ("yelow")."""
    return bool(difflib.get_close_matches(word, CSS, n=1, cutoff=0.8))
