"""A picture that a person can read: the question, the picture, what was drawn, what it means."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from vision_banana.data import pictures
from vision_banana.evaluation.own_pictures import Reply
from vision_banana.tasks import TASKS, depth

HEIGHT, WIDTH = 320, 640  # a panel fits into these, in pixels
GAP, LINE = 12, 20
LEAST = 420  # the page's width, which the metres need
INK, QUIET, PAPER = (35, 33, 28), (109, 104, 92), (255, 255, 255)
TICKS_M = (0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 80.0)


def of_step(name: str, step: int) -> str:
    """The file of a sheet in the run's folder ("sheet.jpg" -> "sheet_700.jpg")."""
    stem, dot, ending = name.rpartition(".")
    return f"{stem}_{step}{dot}{ending}"


def summary(reply: Reply) -> str:
    """What an answer says, in a line of words."""
    answer = reply.answer
    sure = float(np.mean(answer["confidence"]))
    if "depth" in answer:
        metres = answer["depth"][0]
        # Values that stand there: between metres and infinity there is none.
        near, middle = np.percentile(metres, (2, 50), method="lower")
        sky = float(np.isinf(metres).mean())
        said = f"nearest {_far(near, 'about ')}, median {_far(middle)}"
        said += f", {sky:.0%} infinitely far" if sky > 0.005 else ""
    elif "ids" in answer:
        found = np.unique(answer["ids"][0][answer["ids"][0] > 0])  # a small picture loses some
        said = f"{len(found)} instance{'' if len(found) == 1 else 's'}"
        kinds = (
            Counter(answer["names"][0][k - 1] for k in found) if "names" in answer else Counter()
        )
        said += f" ({', '.join(f'{n} x {name}' for name, n in kinds.items())})" if kinds else ""
    elif "masks" in answer:
        shares = answer["masks"][0].mean((1, 2))
        said = _shares(zip(answer["names"][0], shares, strict=False))
    elif "labels" in answer:
        names = answer["names"][0]
        said = _shares((n, (answer["labels"][0] == k).mean()) for k, n in enumerate(names))
    else:
        return ""
    return f"{said} (mean confidence {sure:.2f})"


def compose(reply: Reply, pictures: Sequence[np.ndarray]) -> np.ndarray:
    """Puts an answer beside its question.

    Args:
      reply: the answer.
      pictures: the reference pictures that were asked about, each (H, W, 3) RGB in [0, 1].

    Returns:
      (H, W, 3) uint8: the reference pictures, what the model drew and its meaning side by side,
      the prompt above, a legend below.
    """
    panels = [(f"picture {i + 1}" if i else "picture", p) for i, p in enumerate(pictures)]
    first = f", 1 of {reply.pictures}" if reply.pictures > 1 else ""
    panels.append((f"drawn by the model{first}", reply.rgb))
    if not TASKS[reply.question.task].draws:
        panels.append(("decoded", reply.picture))
    font = ImageFont.load_default(15)
    drawn = [_labelled(name, _panel(picture), font) for name, picture in panels]
    width = max(sum(strip.width + GAP for strip in drawn) - GAP, LEAST - 2 * GAP)
    row = Image.new("RGB", (width, max(strip.height for strip in drawn)), PAPER)
    left = 0
    for strip in drawn:
        row.paste(strip, (left, row.height - strip.height))  # the labels in one line
        left += strip.width + GAP
    strips = [_text(reply.question.prompt, font, width), row, _legend(reply, font, width)]
    strips += [_text(said, font, width)] if (said := summary(reply)) else []
    shown = [strip for strip in strips if strip is not None]
    height = sum(strip.height + GAP for strip in shown) + GAP
    page, top = Image.new("RGB", (width + 2 * GAP, height), PAPER), GAP
    for strip in shown:
        page.paste(strip, (GAP, top))
        top += strip.height + GAP
    return np.asarray(page)


def _far(metres: float, about: str = "") -> str:
    return "infinitely far" if np.isinf(metres) else f"{about}{metres:.2f} m"


def _shares(pairs: Any) -> str:
    return ", ".join(f"{name} {share:.0%}" for name, share in pairs) + " of the picture"


def image(picture: np.ndarray) -> Image.Image:
    """An (H, W, 3) picture, RGB in [0, 1] and clipped to it, in 8 bits."""
    return Image.fromarray(pictures.to_u8(picture))


def _panel(picture: np.ndarray) -> Image.Image:
    height, width = picture.shape[:2]
    scale = min(HEIGHT / height, WIDTH / width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    # Enlarged pixels stay squares: between two colours of a code there is no meaning.
    how = Image.Resampling.NEAREST if scale > 1 else Image.Resampling.BOX
    return image(picture).resize(size, how)


def wrapped(text: str, font: Any, width: int) -> list[str]:
    """Lines of words that fit into a width in pixels."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and font.getlength(longer) > width:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines


def _labelled(name: str, panel: Image.Image, font: Any) -> Image.Image:
    """A panel with its name below, at least as wide as the name."""
    width = max(panel.width, math.ceil(font.getlength(name)))
    strip = Image.new("RGB", (width, panel.height + 4 + LINE), PAPER)
    strip.paste(panel, (0, 0))
    ImageDraw.Draw(strip).text((0, panel.height + 4), name, QUIET, font)
    return strip


def _text(text: str, font: Any, width: int) -> Image.Image:
    """Lines of words, as many as they need."""
    lines = wrapped(text, font, width)
    strip = Image.new("RGB", (width, LINE * len(lines)), PAPER)
    pen = ImageDraw.Draw(strip)
    for i, line in enumerate(lines):
        pen.text((0, LINE * i), line, INK, font)
    return strip


def _legend(reply: Reply, font: Any, width: int) -> Image.Image | None:
    """Metres for depth, the prompt's colours for segmentation, nothing for other tasks."""
    if "depth" in reply.answer:
        return _metres(width)
    legend = reply.answer["legends"][0] if "legends" in reply.answer else {}
    return _swatches(legend, font, width) if legend else None


def _metres(width: int) -> Image.Image:
    near, far = depth.SHOWN_M
    strip = Image.new("RGB", (width, 12 + LINE), PAPER)
    pen, across = ImageDraw.Draw(strip), min(width, LEAST)
    ramp = np.tile(np.geomspace(near, far, across), (12, 1))
    strip.paste(image(np.asarray(depth.TASK.picture({"depth": ramp[None]}, 0))), (0, 0))
    small = ImageFont.load_default(12)
    for metres in TICKS_M:
        at = np.log(metres / near) / np.log(far / near) * (across - 1)
        anchor = "la" if metres == near else "ra" if metres == far else "ma"
        pen.text((at, 14), f"{metres:g} m", QUIET, small, anchor=anchor)
    return strip


def _swatches(legend: Mapping[str, Sequence[int]], font: Any, width: int) -> Image.Image:
    """Each colour with its name, in as many rows as they need."""
    named = [(color, _text(name, font, width - LINE), name) for name, color in legend.items()]
    places, left, top, below = [], 0, 0, 0
    for _, words, name in named:
        across = LINE + min(words.width, math.ceil(font.getlength(name)))
        if left and left + across > width:
            left, top = 0, below
        places.append((left, top))
        left, below = left + across + GAP, max(below, top + words.height)
    strip = Image.new("RGB", (width, below), PAPER)
    pen = ImageDraw.Draw(strip)
    for (color, words, _), (left, top) in zip(named, places, strict=True):
        strip.paste(words, (left + LINE, top))
        pen.rectangle((left, top + 2, left + 14, top + 16), tuple(color), QUIET)
    return strip
