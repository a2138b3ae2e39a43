"""One crop, flip and resize, drawn once for a picture and applied to everything that shows it."""

import dataclasses
import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from vision_banana.data import source
from vision_banana.tasks import TASKS
from vision_banana.tasks.task import Example

_OTHER_SIDE = {"left": "right", "right": "left", "leftmost": "rightmost", "rightmost": "leftmost"}
_SIDE = re.compile(r"(?<![a-z])(leftmost|rightmost|left|right)(?![a-z])", re.IGNORECASE)
VIEWS = 20  # tried for one that shows every region
SQUEEZED = 0.5  # share of the views for seeing that show the whole picture, as evaluation does


class View(NamedTuple):
    """Which part of a picture is shown, how large, and whether mirrored.

    Attributes:
      top, left, rows, columns: the window, as fractions of the picture's height and width.
      height, width: the size it is shown at, in pixels.
      flip: mirrored left to right.
    """

    top: float
    left: float
    rows: float
    columns: float
    height: int
    width: int
    flip: bool


def draw(
    rng: np.random.Generator,
    shape: tuple[int, ...],
    height: int,
    width: int,
    flip: bool,
    squeezed: float = 0.0,
) -> View:
    """A random view: the largest window of the right aspect ratio at a random place, or all of it.

    Args:
      rng: decides the place and, if `flip`, with even odds whether to mirror.
      shape: (H, W, ...) of the picture.
      height: of the view, in pixels.
      width: of the view, in pixels.
      flip: whether mirroring is allowed.
      squeezed: how often the whole picture is shown, whatever its aspect ratio.
    """
    place, coin, other_coin = rng.random(3)
    flipped = flip and coin < 0.5
    if other_coin < squeezed:
        return View(0.0, 0.0, 1.0, 1.0, height, width, flipped)
    return _window(shape, height, width, place, flipped)


def draw_showing(
    rng: np.random.Generator,
    examples: Iterable[Example],
    height: int,
    width: int,
    flip: bool,
) -> View:
    """A random view of a record, drawn again where it would cut off a region that words name.

    Where nothing is to be drawn for people, a share of the views is the whole picture, which is
    how questions about pictures of any shape are answered.

    Args:
      rng: see `draw`.
      examples: the record, as one or several tasks ask for it; all of one size.
      height: of the view, in pixels.
      width: of the view, in pixels.
      flip: whether mirroring is allowed.
    """
    examples = tuple(examples)
    squeezed = 0.0 if any(TASKS[e.task].draws for e in examples) else SQUEEZED
    for _ in range(VIEWS):
        view = draw(rng, examples[0].valid.shape, height, width, flip, squeezed)
        if not any(_lost(view, example) for example in examples):
            break
    return view


def apply(view: View, example: Example) -> Example:
    """The example as the view shows it: references, label, valid and words together.

    RGB is resampled with a triangle filter that covers every source pixel; labels, depth, normals
    and masks take the nearest pixel, so no value appears that was not there. Mirrored normals
    change the sign of x, and in the words left and right change places.

    Raises:
      BadRecord: a region that the words name lies outside the window.
      ValueError: reference, label and valid do not have the same height and width.
    """
    _check(example)
    references = tuple(_rgb(_view_of(view, p, example), p) for p in example.references)
    label, valid = example.label, _nearest(view, example.valid)
    words = example.words
    if TASKS[example.task].draws:
        label = _rgb(view, label)
    elif example.task == "referring_segmentation":
        label = _regions(view, label)
        if _lost(view, example):
            raise source.BadRecord(example.key, "a region lies outside the crop")
    else:
        label = _nearest(view, label)
    if view.flip:
        words = _mirror(words)
        if example.task == "surface_normals":
            label = label * np.asarray([-1, 1, 1], label.dtype)
    return dataclasses.replace(
        example, references=references, label=label, valid=valid, words=words
    )


def mirror_text(text: str) -> str:
    """The text with left and right, leftmost and rightmost in each other's place.

    It cannot tell a side from "what is left" or "the right answer": a source with such words must
    not be flipped.
    """

    def other(match: re.Match[str]) -> str:
        word = match.group(0)
        side = _OTHER_SIDE[word.lower()]
        return side.upper() if word.isupper() else side.title() if word[0].isupper() else side

    return _SIDE.sub(other, text)


def _window(shape: tuple[int, ...], height: int, width: int, place: float, flip: bool) -> View:
    H, W = shape[:2]
    rows = min(1.0, (W * height) / (width * H))
    columns = min(1.0, (H * width) / (height * W))
    return View(place * (1 - rows), place * (1 - columns), rows, columns, height, width, flip)


def _view_of(view: View, picture: np.ndarray, example: Example) -> View:
    """The view itself, or its middle for a further reference of another size."""
    if picture.shape[:2] == example.valid.shape:
        return view
    return _window(picture.shape, view.height, view.width, 0.5, view.flip)


def _check(example: Example) -> None:
    axis = 1 if example.task == "referring_segmentation" else 0
    shape = example.valid.shape
    if example.label.shape[axis : axis + 2] != shape:
        raise ValueError(
            f"{example.key} ({example.task}): label {example.label.shape} does not have the "
            f"height and width of valid, {shape}"
        )
    if example.references and example.references[0].shape[:2] != shape:
        raise ValueError(
            f"{example.key} ({example.task}): reference {example.references[0].shape} does not "
            f"have the height and width of valid, {shape}"
        )


def _regions(view: View, masks: np.ndarray) -> np.ndarray:
    return np.moveaxis(_nearest(view, np.moveaxis(masks, 0, -1)), -1, 0)


def _lost(view: View, example: Example) -> bool:
    """Whether a region that the words name has no pixel in the view."""
    if example.task != "referring_segmentation":
        return False
    shown = _regions(view, example.label)
    return bool((example.label.any((1, 2)) & ~shown.any((1, 2))).any())


def _mirror(words: Any) -> Any:
    if isinstance(words, str):
        return mirror_text(words)
    if isinstance(words, Mapping):
        return {name: _mirror(value) for name, value in words.items()}
    if isinstance(words, tuple | list):
        return type(words)(_mirror(value) for value in words)
    return words


def _nearest(view: View, array: np.ndarray) -> np.ndarray:
    """Takes, for every pixel of the view, the source pixel that its centre falls into."""
    H, W = array.shape[:2]
    if view[2:] == (1, 1, H, W, False):
        return array
    rows = _indices(view.top, view.rows, view.height, H)
    columns = _indices(view.left, view.columns, view.width, W)
    if view.flip:
        columns = columns[::-1]
    return array[rows[:, None], columns[None, :]]


def _indices(start: float, part: float, count: int, size: int) -> np.ndarray:
    # The small shift keeps a centre that falls exactly between two pixels from being decided by
    # rounding: it always takes the second one, as `semantic_segmentation.resize_nearest` does.
    centres = (start + part * (np.arange(count) + 0.5) / count) * size
    return np.clip(np.floor(centres + 1e-6).astype(np.int64), 0, size - 1)


def _rgb(view: View, picture: np.ndarray) -> np.ndarray:
    """Resamples RGB, (H, W, 3) float32, with antialiasing."""
    H, W = picture.shape[:2]
    if view[2:6] != (1, 1, H, W):
        box = (
            view.left * W,
            view.top * H,
            min((view.left + view.columns) * W, W),
            min((view.top + view.rows) * H, H),
        )
        channels = [
            Image.fromarray(np.ascontiguousarray(picture[..., c], np.float32)).resize(
                (view.width, view.height), Image.Resampling.BILINEAR, box=box
            )
            for c in range(3)
        ]
        picture = np.stack([np.asarray(channel) for channel in channels], axis=-1)
    return picture[:, ::-1] if view.flip else picture
