"""Semantic segmentation: the prompt names classes and colours, every pixel takes the nearest one.

The code is the legend itself: a class is drawn in the colour that the prompt gives it. Which
colours those are is random in every prompt, since a generator trained on one fixed legend cannot
follow another.
"""

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from vision_banana.metrics import segmentation
from vision_banana.metrics.metric import Metric
from vision_banana.tasks import color_legends, colors, confidence
from vision_banana.tasks.color_names import RGB
from vision_banana.tasks.task import Answer, Example, Task

NONE = 255  # label of a pixel that shows none of the prompt's classes
UNKNOWN = 0.5  # grey drawn where there is no truth to draw
COLORS_A_ROUND = 8  # of the decoder

NAMED = 0.75  # share of prompts whose colours all have names
LEAST_SHARE = 0.002  # of the picture, that a class is taken to have in weighing its pixels
STATED_BACKGROUND = 0.3  # share of prompts that name a background no pixel needs

_LEADS = (
    "Segment this image:",
    "Semantic segmentation map.",
    "Generate a semantic segmentation map.",
    "Label every pixel of this image.",
    "Segmentation map with these colors:",
)
FORMS: tuple[color_legends.Form, ...] = (
    color_legends.map_form(_LEADS),
    color_legends.list_form(_LEADS),
    color_legends.sentence_form(
        ("A segmentation map image.", "Generate a semantic segmentation map.", ""),
        ("{}",),
        ("is represented by {}", "is {}", "is rendered in {}", "is painted {}"),
    ),
    color_legends.command_form(("Paint", "Segment|in", "Color", "Mark|in")),
)


def encode(labels: np.ndarray, palette: np.ndarray) -> np.ndarray:
    """Draws labels in the palette's colours.

    Args:
      labels: (..., H, W) int, index into the palette; 255, unless the palette is that long, is
        drawn in grey 0.5.
      palette: (..., K, 3) float in [0, 1], leading dimensions as the labels' or none.

    Returns:
      (..., H, W, 3) float32 RGB in [0, 1].

    Raises:
      ValueError: a label has no row in the palette, or one of NaN (padding).
    """
    labels, palette = np.asarray(labels), np.asarray(palette, np.float32)
    classes = palette.shape[-2]
    none = (labels == NONE) & (classes <= NONE)
    wrong = ~none & ((labels < 0) | (labels >= classes))
    if wrong.any():
        raise ValueError(
            f"labels holds {labels[wrong][0]}, and the palette has colours for 0..{classes - 1}: "
            f"give that class a colour, or label it {NONE}"
        )
    index = np.where(none, 0, labels)
    if palette.ndim == 2:
        rgb = palette[index]
    else:
        palette = np.broadcast_to(palette, (*labels.shape[:-2], classes, 3))
        rows = index.reshape(*labels.shape[:-2], -1, 1)
        rgb = np.take_along_axis(palette, rows, -2).reshape(*labels.shape, 3)
    rgb = np.where(none[..., None], np.float32(UNKNOWN), rgb)
    if np.isnan(rgb).any():
        raise ValueError("labels points at a palette row of NaN, which is padding: use another")
    return rgb


@jax.jit
def decode(rgb: jax.Array, palette: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Gives each pixel the class whose colour is nearest in RGB (Euclidean).

    Args:
      rgb: (..., H, W, 3) float in [0, 1].
      palette: (..., K, 3) float in [0, 1]; a row of NaN is padding and never chosen.

    Returns:
      labels (..., H, W) int32, and confidence (..., H, W) float32 in [0, 1], 0 where the pixel or
      the whole palette is NaN.
    """
    rgb = jnp.asarray(rgb, jnp.float32)
    palette = jnp.asarray(palette, jnp.float32)
    lead = jnp.broadcast_shapes(rgb.shape[:-3], palette.shape[:-2])
    planes = [rgb[..., c] for c in range(3)]

    # A few colours a round: (..., H, W, K, 3) would be the largest array of an evaluation, and
    # one colour a round would go over the picture K times.
    def nearer(best: tuple[jax.Array, jax.Array], k: jax.Array) -> tuple[Any, None]:
        distance, label = best
        color = jnp.take(palette, k, axis=-2)[..., None, None, :]
        new = sum(jnp.square(planes[c] - color[..., c]) for c in range(3))
        closer = new < distance  # False for NaN
        return (jnp.where(closer, new, distance), jnp.where(closer, k, label)), None

    pixels = (*lead, *rgb.shape[-3:-1])
    none = jnp.full(pixels, jnp.inf, jnp.float32), jnp.zeros(pixels, jnp.int32)
    classes = jnp.arange(palette.shape[-2], dtype=jnp.int32)
    unroll = min(palette.shape[-2], COLORS_A_ROUND)
    (squared, labels), _ = jax.lax.scan(nearer, none, classes, unroll=unroll)
    return labels, confidence.from_distance(jnp.sqrt(squared))


def prompt(example: Example, rng: np.random.Generator) -> str:
    """Asks for the example's classes, in random order, colours and wording.

    The background is named where a pixel needs it (one that shows none of the classes) and now
    and then where none does.

    Raises:
      ValueError: no classes, or two of the same name, or one that means the background.
    """
    names = _class_names(example)
    known = np.asarray(example.label)[np.asarray(example.valid)]
    background = (known == NONE).any() or rng.random() < STATED_BACKGROUND
    order = [names[i] for i in rng.permutation(len(names))]
    if background:
        order.append(colors.BACKGROUND)
    return color_legends.compose(order, FORMS, rng, NAMED)


def again(prompt: str, rng: np.random.Generator) -> str:
    """The same classes in the same order, with other colours and another wording."""
    legend = colors.parse_legend(prompt)
    order = [*colors.phrases(legend)]
    order += [colors.BACKGROUND] * (colors.BACKGROUND in legend)
    return color_legends.compose(order, FORMS, rng, NAMED)


def in_parts(prompt: str, most: int) -> list[tuple[str, ...]]:
    """A prompt's classes in its order, in as few parts of at most `most` as do, of like lengths."""
    names = colors.phrases(colors.parse_legend(prompt))
    parts = np.array_split(np.arange(len(names)), -(-len(names) // most))
    return [tuple(names[i] for i in part) for part in parts]


def ask_part(names: Sequence[str], rng: np.random.Generator) -> str:
    """Asks for some classes, all else as the background."""
    return color_legends.compose([*names, colors.BACKGROUND], FORMS, rng, NAMED)


def joined(prompt: str, answers: Sequence[Answer]) -> Answer:
    """One answer to a prompt of those to its parts, batches of one.

    A pixel to which several parts give a class takes the surest; one to which none does is none of
    the classes (255), as sure as the least sure part.
    """
    legend = colors.parse_prompt(prompt)
    starts = np.cumsum([0] + [len(answer["names"][0]) for answer in answers])
    labels = np.stack([answer["labels"] for answer in answers])  # (N, 1, H, W)
    sure = np.stack([answer["confidence"] for answer in answers])
    claims = np.where(labels == NONE, -1.0, sure)
    best = claims.argmax(0)[None]
    label = np.take_along_axis(labels, best, 0)[0] + starts[best[0]]
    none = (labels == NONE).all(0)
    return {
        "labels": np.where(none, NONE, label).astype(np.int32),
        "names": [colors.phrases(legend)],
        "legends": [legend],
        "confidence": np.where(none, sure.min(0), claims.max(0)).astype(np.float32),
    }


def _class_names(example: Example) -> tuple[str, ...]:
    names = tuple(colors.normalise(name) for name in example.words["classes"])
    odd = len(set(names)) < len(names) or colors.BACKGROUND in names or "" in names
    if odd or not 0 < len(names) <= NONE:
        raise ValueError(
            f"{example.key}: words['classes'] is {example.words['classes']!r}: name 1 to {NONE} "
            f"classes, each once, and leave the background out (its label is {NONE})"
        )
    return names


def draw(example: Example, prompt: str, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Draws the answer to a prompt, which is parsed here: what is written is what is drawn.

    Returns:
      rgb (H, W, 3) float32 in [0, 1] and weight (H, W) float32: one over the root of the class's
      share of the picture, 0 where the truth is unknown, and where it is none of the classes while
      the prompt names no background.

    Raises:
      ValueError: the prompt gives one of the example's classes no colour.
    """
    del rng  # the prompt decides
    legend = colors.parse_prompt(prompt)
    names = _class_names(example)
    missing = [name for name in names if name not in legend]
    if missing:
        raise ValueError(f"{example.key}: the prompt {prompt!r} gives {missing[0]!r} no colour")
    rows = [*names, colors.BACKGROUND] if colors.BACKGROUND in legend else list(names)
    palette = np.array([legend[name] for name in rows], np.float32) / 255
    labels = np.where(example.valid, example.label, NONE)
    if colors.BACKGROUND in legend:
        labels = np.where(example.valid & (labels == NONE), len(names), labels)
    known = labels != NONE
    weight = np.zeros(labels.shape, np.float32)
    shares = np.bincount(labels[known], minlength=len(rows)) / max(known.sum(), 1)
    weight[known] = np.maximum(shares, LEAST_SHARE)[labels[known]] ** -0.5
    return encode(labels, palette), weight


def read(rgb: Any, prompts: Sequence[str]) -> Answer:
    """Decodes drawn answers.

    Args:
      rgb: (B, H, W, 3) float in [0, 1].
      prompts: the B prompts.

    Returns:
      labels (B, H, W) int32, index into the prompt's classes in the prompt's order, 255 for its
      background; names, B tuples of those classes; legends, B dicts name -> (r, g, b) with the
      background if there is one; confidence (B, H, W) float32.

    Raises:
      ValueError: a prompt gives nothing but the background a colour.
    """
    legends = [colors.parse_legend(text) for text in prompts]
    names = [colors.phrases(legend) for legend in legends]
    palette = pad_palettes(
        [[legend[name] for name in (*order, colors.BACKGROUND) if name in legend]
         for legend, order in zip(legends, names, strict=True)]
    )  # fmt: skip
    labels, certainty = (np.array(x) for x in decode(rgb, palette))
    for i, order in enumerate(names):
        labels[i][labels[i] >= len(order)] = NONE
    return {"labels": labels, "names": names, "legends": legends, "confidence": certainty}


def pad_palettes(palettes: Sequence[Sequence[RGB]]) -> np.ndarray:
    """Stacks palettes of 0..255 to (B, K, 3) float32 in [0, 1], padded with NaN.

    K is a power of two of at least 4, so that few shapes are ever compiled.
    """
    longest = max((len(palette) for palette in palettes), default=0)
    rows = max(4, 1 << max(0, longest - 1).bit_length())
    stacked = np.full((len(palettes), rows, 3), np.nan, np.float32)
    for i, palette in enumerate(palettes):
        if palette:
            stacked[i, : len(palette)] = np.array(palette, np.float32) / 255
    return stacked


def _to_example_order(answer: Answer, i: int, example: Example) -> np.ndarray:
    """The i-th answer's labels as index into the example's classes, 255 for all else."""
    names = _class_names(example)
    table = np.full(256, NONE, np.int32)
    for k, name in enumerate(answer["names"][i]):
        if name in names:
            table[k] = names.index(name)
    return table[np.asarray(answer["labels"][i])]


def _class_ids(labels: np.ndarray, example: Example) -> np.ndarray:
    """Labels of the example's classes as their `class_ids`, from 1 on, and 0 for none of them."""
    table = np.zeros(256, np.int32)
    table[: len(example.words["class_ids"])] = example.words["class_ids"]
    return table[labels]


def metric() -> Metric:
    """mIoU over the data set's own classes, 0 among them for "none of the listed".

    `update(state, answer, examples)`. A pixel that shows none of the classes counts as class 0.
    """

    def update(state: Any, answer: Answer, examples: Sequence[Example]) -> Any:
        for i, example in enumerate(examples):
            over = segmentation.mean_iou(int(example.words["num_classes"]))
            prediction = _class_ids(_to_example_order(answer, i, example), example)
            truth = _class_ids(np.asarray(example.label), example)
            seen = over.update(over.init(), prediction, truth, valid=example.valid)
            state = open_classes.merge(state, seen)
        return state

    # The number of classes is the data set's, known with its first example.
    open_classes = segmentation.open_mean_iou()
    return open_classes._replace(update=update)


def blind(examples: Iterable[Example]) -> Callable[[Sequence[Example]], Answer]:
    """The majority class of each pixel position in training labels, among an example's classes.

    Raises:
      ValueError: there are no training examples.
    """
    counts: np.ndarray | None = None
    for example in examples:
        ids = _class_ids(np.asarray(example.label), example)
        if counts is None:
            counts = np.zeros((int(example.words["num_classes"]), *ids.shape), np.int64)
        ids, valid = (resize_nearest(x, counts.shape[1:]) for x in (ids, example.valid))
        rows, columns = np.nonzero(valid)
        np.add.at(counts, (ids[rows, columns], rows, columns), 1)
    if counts is None:
        raise ValueError("blind got no training examples: give at least one")
    return functools.partial(_blind_answer, counts)


def _blind_answer(counts: np.ndarray, examples: Sequence[Example]) -> Answer:
    labels, certainty, names = [], [], []
    for example in examples:
        ids = [*example.words["class_ids"], 0]
        shares = resize_nearest(counts[ids], np.shape(example.label))
        best = shares.argmax(0)
        labels.append(np.where(best == len(ids) - 1, NONE, best).astype(np.int32))
        certainty.append(shares.max(0) / np.maximum(1, shares.sum(0)))
        names.append(_class_names(example))
    legends = [default_legend((*order, colors.BACKGROUND)) for order in names]
    return {
        "labels": np.stack(labels),
        "names": names,
        "legends": legends,
        "confidence": np.stack(certainty).astype(np.float32),
    }


def default_legend(names: Sequence[str]) -> dict[str, RGB]:
    """Colours for people where no prompt gave any: always the same for the same names."""
    palette = colors.draw_palette(len(names), np.random.default_rng(0), named=len(names) <= 12)
    return dict(zip(names, palette, strict=True))


def resize_nearest(array: np.ndarray, size: Sequence[int]) -> np.ndarray:
    """Resizes (..., H, W) to `size` by the nearest pixel's centre."""
    height, width = array.shape[-2:]
    if (height, width) == tuple(size):
        return array
    rows = ((np.arange(size[0]) + 0.5) * height / size[0]).astype(int)
    columns = ((np.arange(size[1]) + 0.5) * width / size[1]).astype(int)
    return array[..., rows[:, None], columns]


def picture(answer: Answer, i: int) -> np.ndarray:
    """The i-th answer's labels in its prompt's colours, grey where none of them, (H, W, 3)."""
    legend: Mapping[str, RGB] = answer["legends"][i]
    names = answer["names"][i]
    rows = [*names, colors.BACKGROUND] if colors.BACKGROUND in legend else list(names)
    labels = np.asarray(answer["labels"][i])
    if colors.BACKGROUND in legend:
        labels = np.where(labels == NONE, len(names), labels)
    return encode(labels, np.array([legend[name] for name in rows], np.float32) / 255)


def error(answer: Answer, i: int, example: Example) -> np.ndarray:
    """1 where the i-th answer's class is wrong, 0 where right, NaN where unknown, (H, W)."""
    wrong = _to_example_order(answer, i, example) != example.label
    return np.where(example.valid, wrong, np.nan).astype(np.float32)


TASK = Task(
    name="semantic_segmentation",
    prompt=prompt,
    draw=draw,
    read=read,
    metric=metric,
    perfect={"mIoU": 1.0},
    blind=blind,
    picture=picture,
    error=error,
    again=again,
    right_below=0.5,
)
