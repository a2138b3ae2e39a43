"""A picture that a person can read: the question, the picture, what was drawn, what it means."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from vision_banana.evaluation import own_pictures
from vision_banana.evaluation.own_pictures import Reply
from vision_banana.tasks import depth

HEIGHT, WIDTH = 320, 640  # a panel fits into these, in pixels
GAP = 12
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
        count = len(np.unique(answer["ids"][0][answer["ids"][0] > 0]))
        said = f"{count} instance{'' if count == 1 else 's'}"
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
    first = f", 1 of {reply.votes}" if reply.votes > 1 else ""
    panels.append((f"drawn by the model{first}", reply.rgb))
    if reply.question.task not in own_pictures.PICTURE_TASKS:
        panels.append(("decoded", reply.picture))
    drawn = [(name, _panel(picture)) for name, picture in panels]
    font = ImageFont.load_default(15)
    width = max(sum(p.width + GAP for _, p in drawn) + GAP, 420)
    prompt = wrapped(reply.question.prompt, font, width - 2 * GAP)
    top = 2 * GAP + 20 * len(prompt)
    bottom = top + max(panel.height for _, panel in drawn)
    page = Image.new("RGB", (width, bottom + 92), PAPER)
    pen = ImageDraw.Draw(page)
    for i, line in enumerate(prompt):
        pen.text((GAP, GAP + 20 * i), line, INK, font)
    left = GAP
    for name, panel in drawn:
        page.paste(panel, (left, top))
        pen.text((left, bottom + 4), name, QUIET, font)
        left += panel.width + GAP
    _legend(page, pen, font, reply, bottom + 32)
    pen.text((GAP, bottom + 68), summary(reply), INK, font)
    return np.asarray(page)


def _far(metres: float, about: str = "") -> str:
    return "infinitely far" if np.isinf(metres) else f"{about}{metres:.2f} m"


def _shares(pairs: Any) -> str:
    return ", ".join(f"{name} {share:.0%}" for name, share in pairs) + " of the picture"


def image(picture: np.ndarray) -> Image.Image:
    """An (H, W, 3) picture, RGB in [0, 1] and clipped to it, in 8 bits."""
    return Image.fromarray(np.rint(np.clip(picture, 0, 1) * 255).astype(np.uint8))


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


def _legend(page: Image.Image, pen: Any, font: Any, reply: Reply, top: int) -> None:
    """Metres for depth, the prompt's colours for segmentation, nothing for other tasks."""
    if "depth" in reply.answer:
        _metres(page, pen, top)
    elif "legends" in reply.answer:
        _swatches(pen, font, reply.answer["legends"][0], top)


def _metres(page: Image.Image, pen: Any, top: int) -> None:
    near, far = depth.SHOWN_M
    width = min(page.width - 2 * GAP, 420)
    ramp = np.tile(np.geomspace(near, far, width), (12, 1))
    colors = depth.TASK.picture({"depth": ramp[None]}, 0)
    page.paste(Image.fromarray(np.rint(colors * 255).astype(np.uint8)), (GAP, top))
    small = ImageFont.load_default(12)
    for metres in TICKS_M:
        at = GAP + np.log(metres / near) / np.log(far / near) * (width - 1)
        anchor = "la" if metres == near else "ra" if metres == far else "ma"
        pen.text((at, top + 14), f"{metres:g} m", QUIET, small, anchor=anchor)


def _swatches(pen: Any, font: Any, legend: Mapping[str, Sequence[int]], top: int) -> None:
    left = GAP
    for name, color in legend.items():
        pen.rectangle((left, top + 2, left + 14, top + 16), tuple(color), QUIET)
        pen.text((left + 20, top), name, INK, font)
        left += 32 + int(font.getlength(name))
