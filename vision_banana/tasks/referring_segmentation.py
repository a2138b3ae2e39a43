"""Referring segmentation: free text names one or several regions, each drawn in its own colour.

"The area that corresponds to the man in pink t shirt is rendered solid white; the other man is
rendered in green." A pixel belongs to the region whose colour is nearest, and to none where the
background's is.
"""

import functools
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from vision_banana.metrics import segmentation
from vision_banana.metrics.metric import Metric
from vision_banana.tasks import color_legends, color_names, colors, semantic_segmentation
from vision_banana.tasks.color_names import RGB
from vision_banana.tasks.task import Answer, Example, Task

NAMED = 0.8  # share of prompts whose colours all have names
STATED_BACKGROUND = 0.5  # share of prompts that name the background
# Regions are a few percent of a picture, and an answer of background alone is nearly right by
# pixels; this weight in the loss asks for a region where it is only likely.
REGION_WEIGHT = 10.0
BLIND_THRESHOLDS = 64  # how many levels of the frequency map are tried

_LEADS = ("Segment this image:", "Segmentation map.", "Referring segmentation:", "Mask:")
FORMS: tuple[color_legends.Form, ...] = (
    color_legends.sentence_form(
        ("A segmentation map image.", "Generate a segmentation mask.", ""),
        ("the area that corresponds to {}", "{}"),
        ("is rendered {}", "is rendered in {}", "is represented by a {}", "is {}"),
    ),
    color_legends.command_form(("Paint", "Segment|in", "Highlight|in", "Mark|in", "Color")),
    color_legends.list_form(_LEADS),
    color_legends.map_form(_LEADS),
)


@jax.jit
def decode(
    rgb: jax.Array, palette: jax.Array, background: Any = (0, 0, 0)
) -> tuple[jax.Array, jax.Array]:
    """Gives each pixel to the region whose colour is nearest in RGB, or to the background.

    Args:
      rgb: (..., H, W, 3) float in [0, 1].
      palette: (..., K, 3) float in [0, 1], without the background; a row of NaN is padding and
        never chosen.
      background: (..., 3) float in [0, 1]; where a region's colour equals it, the region wins.
        With NaN there is none, and every pixel belongs to a region.

    Returns:
      masks (..., K, H, W) bool, no two overlapping, and confidence (..., H, W) float32 in [0, 1];
      a pixel of NaN belongs to no region, with confidence 0.
    """
    palette = jnp.asarray(palette, jnp.float32)
    background = jnp.asarray(background, jnp.float32)
    lead = jnp.broadcast_shapes(palette.shape[:-2], background.shape[:-1])
    rows = jnp.broadcast_to(palette, (*lead, *palette.shape[-2:]))
    last = jnp.broadcast_to(background[..., None, :], (*lead, 1, 3))
    both = jnp.concatenate([rows, last], axis=-2)
    labels, confidence = semantic_segmentation.decode(rgb, both)
    regions = jnp.arange(palette.shape[-2])[:, None, None]
    # A pixel of NaN, or a palette of padding alone, leaves label 0 with confidence 0: no region.
    drawn = (confidence > 0)[..., None, :, :]
    return (labels[..., None, :, :] == regions) & drawn, confidence


def background_of(legend: dict[str, RGB]) -> RGB:
    """The background of a prompt's legend: as stated, else black, else white if black is taken.

    Raises:
      ValueError: none is stated, and both black and white are regions' colours.
    """
    if colors.BACKGROUND in legend:
        return legend[colors.BACKGROUND]
    taken = np.array(list(legend.values()), np.float64)
    for color in (color_names.BLACK, color_names.WHITE):
        if np.sqrt(((taken - np.array(color)) ** 2).sum(-1)).min() >= colors.MIN_DISTANCE:
            return color
    raise ValueError(
        f"the prompt names no background, and black and white are taken: {legend}; say for example "
        "'The background is blue.'"
    )


def prompt(example: Example, rng: np.random.Generator) -> str:
    """Asks for the example's regions, each in its own colour; the background stated or not.

    Where `words["asked_at_most"]` stands, the regions are 1 to so many of them, drawn at random.

    Raises:
      ValueError: there are no expressions, or two are the same, or one means the background.
    """
    names = list(_expressions(example))
    order = [names[i] for i in rng.permutation(len(names))]
    if most := example.words.get("asked_at_most"):
        order = order[: rng.integers(1, most, endpoint=True)]
    stated = rng.random() < STATED_BACKGROUND
    # Without a stated background, what stands for it must be far from every region's colour.
    avoid = [] if stated or len(order) == 1 else [color_names.BLACK]
    phrases = [*order, colors.BACKGROUND] if stated else order
    return color_legends.compose(phrases, FORMS, rng, NAMED, avoid)


def again(prompt: str, rng: np.random.Generator) -> str:
    """The same regions in the same order, with other colours and another wording."""
    return _compose(region_names(prompt), rng)


def apart(prompt: str, rng: np.random.Generator) -> list[str]:
    """A prompt of its own for each of a prompt's regions, in their order."""
    return [_compose([name], rng) for name in region_names(prompt)]


def region_names(prompt: str) -> list[str]:
    """A prompt's regions, in its order."""
    return [*colors.phrases(colors.parse_legend(prompt))]


def _compose(names: Sequence[str], rng: np.random.Generator) -> str:
    return color_legends.compose([*names, colors.BACKGROUND], FORMS, rng, NAMED)


def _expressions(example: Example) -> tuple[str, ...]:
    names = tuple(colors.normalise(text) for text in example.words["expressions"])
    count = np.shape(example.label)[0]
    odd = len(set(names)) < len(names) or colors.BACKGROUND in names or "" in names
    if odd or not names or len(names) != count:
        raise ValueError(
            f"{example.key}: words['expressions'] is {example.words['expressions']!r} for {count} "
            "masks: give each mask its own expression, none of them the background"
        )
    return names


def draw(example: Example, prompt: str, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Draws the answer to a prompt, which is parsed here: what is written is what is drawn.

    Returns:
      rgb (H, W, 3) float32 in [0, 1] and weight (H, W) float32: `REGION_WEIGHT` on the regions, 0
      where the truth is unknown, and where two regions overlap, since one pixel cannot have two
      colours, 1 elsewhere.

    Raises:
      ValueError: the prompt gives one of the example's regions no colour, though it must ask for
        all of them.
    """
    del rng  # the prompt decides
    legend = colors.parse_prompt(prompt)
    names = _expressions(example)
    asked = [i for i, name in enumerate(names) if name in legend]
    if len(asked) < len(names) and "asked_at_most" not in example.words:
        missing = next(name for name in names if name not in legend)
        raise ValueError(f"{example.key}: the prompt {prompt!r} gives {missing!r} no colour")
    names = tuple(names[i] for i in asked)
    rows = [legend[name] for name in names] + [background_of(legend)]
    masks = np.asarray(example.label, bool)[asked]
    labels = np.where(masks.any(0), masks.argmax(0), len(names))
    known = np.asarray(example.valid) & (masks.sum(0) <= 1)
    labels = np.where(known, labels, semantic_segmentation.NONE)
    rgb = semantic_segmentation.encode(labels, np.array(rows, np.float32) / 255)
    region = known & (labels < len(names))
    return rgb, np.where(region, REGION_WEIGHT, known).astype(np.float32)


def read(rgb: Any, prompts: Sequence[str]) -> Answer:
    """Decodes drawn answers.

    Args:
      rgb: (B, H, W, 3) float in [0, 1].
      prompts: the B prompts.

    Returns:
      masks (B, K, H, W) bool, the prompt's regions in its order, padded with empty ones; names, B
      tuples of the regions' expressions; legends, B dicts name -> (r, g, b) with the background;
      confidence (B, H, W) float32.

    Raises:
      ValueError: a prompt gives nothing but the background a colour.
    """
    legends = []
    for text in prompts:
        legend = colors.parse_legend(text)
        legends.append({**legend, colors.BACKGROUND: background_of(legend)})
    names = [colors.phrases(legend) for legend in legends]
    palette = semantic_segmentation.pad_palettes(
        [[legend[name] for name in order] for legend, order in zip(legends, names, strict=True)]
    )
    backgrounds = [legend[colors.BACKGROUND] for legend in legends]
    masks, certainty = decode(rgb, palette, np.array(backgrounds, np.float32) / 255)
    return {
        "masks": np.asarray(masks),
        "names": names,
        "legends": legends,
        "confidence": np.asarray(certainty),
    }


def in_example_order(answer: Answer, i: int, example: Example) -> np.ndarray:
    """The i-th answer's masks in the order of the example's expressions.

    Args:
      answer: of `read`; its masks are in the prompt's order.
      i: which one of the batch.
      example: what was asked about; see `prompt` for its expressions.

    Returns:
      (K, H, W) bool, empty where the prompt did not ask for an expression.
    """
    masks, names = np.asarray(answer["masks"][i]), answer["names"][i]
    empty = np.zeros(masks.shape[1:], bool)
    # Not `_expressions`: what no prompt can ask for is scored too, as an answer of nothing.
    sought = map(colors.normalise, example.words["expressions"])
    return np.stack([masks[names.index(name)] if name in names else empty for name in sought])


def metric(
    empty: float = segmentation.EMPTY_IOU, smoothing: float = segmentation.PER_SAMPLE_EPS
) -> Metric:
    """cIoU and gIoU, each region a sample of its own; pixels of unknown truth count nowhere.

    `update(state, answer, examples)`.

    Args:
      empty, smoothing: see `segmentation.region_iou`.
    """
    regions = segmentation.region_iou(empty, smoothing)

    def update(state: Any, answer: Answer, examples: Sequence[Example]) -> Any:
        for i, example in enumerate(examples):
            masks = in_example_order(answer, i, example)
            state = regions.update(state, masks, example.label, ignore=~np.asarray(example.valid))
        return state

    return Metric(regions.init, update, regions.merge, regions.compute)


def blind(examples: Iterable[Example]) -> Callable[[Sequence[Example]], Answer]:
    """One mask for every region: the positions where training masks are most frequent, or none.

    The level of the frequency map is the one that gives the highest gIoU on the training labels;
    the empty mask stands among the candidates, since it is right about every absent region.

    Raises:
      ValueError: there are no training examples.
    """
    kept: list[np.ndarray] = []
    for example in examples:
        masks = np.asarray(example.label, bool) & np.asarray(example.valid)
        kept += list(semantic_segmentation.resize_nearest(masks, kept[0].shape if kept else
                                                          masks.shape[1:]))  # fmt: skip
    if not kept:
        raise ValueError("blind got no training examples: give at least one")
    masks = np.stack(kept)
    frequency = masks.mean(0)
    constant = frequency >= _best_level(frequency, masks)
    return functools.partial(_blind_answer, constant, frequency)


def _best_level(frequency: np.ndarray, masks: np.ndarray) -> float:
    levels = np.unique(frequency)
    if len(levels) > BLIND_THRESHOLDS:
        levels = np.quantile(levels, np.linspace(0, 1, BLIND_THRESHOLDS))
    levels = np.append(levels, np.inf)  # the empty mask
    candidates = (frequency.ravel() >= levels[:, None]).astype(np.float32)
    flat = masks.reshape(len(masks), -1).astype(np.float32)
    both = candidates @ flat.T
    union = candidates.sum(1)[:, None] + flat.sum(1) - both
    scores = np.where(union == 0, 1.0, both / np.maximum(union, 1)).mean(1)
    return float(levels[scores.argmax()])


def _blind_answer(
    constant: np.ndarray, frequency: np.ndarray, examples: Sequence[Example]
) -> Answer:
    names = [_expressions(example) for example in examples]
    most = max(len(order) for order in names)
    size = np.shape(examples[0].label)[-2:]
    mask = semantic_segmentation.resize_nearest(constant, size)
    shown = np.where(mask, *(semantic_segmentation.resize_nearest(x, size) for x in
                             (frequency, 1 - frequency)))  # fmt: skip
    masks = np.zeros((len(names), most, *size), bool)
    for i, order in enumerate(names):
        masks[i, : len(order)] = mask
    return {
        "masks": masks,
        "names": names,
        "legends": [
            semantic_segmentation.default_legend((*order, colors.BACKGROUND)) for order in names
        ],
        "confidence": np.broadcast_to(shown, (len(names), *size)).astype(np.float32),
    }


def picture(answer: Answer, i: int) -> np.ndarray:
    """The i-th answer's masks in its prompt's colours on its background, (H, W, 3)."""
    legend, names = answer["legends"][i], answer["names"][i]
    masks = np.asarray(answer["masks"][i])[: len(names)]
    labels = np.where(masks.any(0), masks.argmax(0), len(names))
    rows = [legend[name] for name in (*names, colors.BACKGROUND)]
    return semantic_segmentation.encode(labels, np.array(rows, np.float32) / 255)


def error(answer: Answer, i: int, example: Example) -> np.ndarray:
    """Share of the regions whose mask is wrong at a pixel, NaN where unknown, (H, W)."""
    wrong = (in_example_order(answer, i, example) != np.asarray(example.label, bool)).mean(0)
    return np.where(example.valid, wrong, np.nan).astype(np.float32)


TASK = Task(
    name="referring_segmentation",
    prompt=prompt,
    draw=draw,
    read=read,
    metric=metric,
    perfect={"cIoU": 1.0, "gIoU": 1.0},
    blind=blind,
    picture=picture,
    error=error,
    again=again,
    right_below=1e-6,  # every region is right
)
