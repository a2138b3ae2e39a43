"""Decoders and metrics against the usual ways (`plain`), on the same batch in turns."""

import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from vision_banana.bench import machine, plain, timing
from vision_banana.metrics import depth as depth_metric
from vision_banana.metrics import segmentation
from vision_banana.metrics import surface_normals as normals_metric
from vision_banana.tasks import (
    depth,
    instance_segmentation,
    referring_segmentation,
    semantic_segmentation,
    surface_normals,
)

SIDE, BATCH = 512, 8
CLASSES, REGIONS, GRID = 19, 4, 8  # GRID x GRID instances
INSTANCE_IOU = 0.75  # from which two instances are a pair
NEAREST_M, FARTHEST_M = 0.1, 80.0
APART = 28  # grey levels between the colours of two instances


class Case(NamedTuple):
    """One thing done in two ways.

    Attributes:
      ours: the product's way; returns arrays.
      usual: the other way's name.
      theirs: the other way; returns the same arrays.
      moved: bytes of its input and output, which any way must read and write.
      tolerance: largest difference of two values of the answers.
      share: of the values that may differ by more (a pixel between two colours).
      once: whether the other way is so slow that it is timed once.
      read: what of an answer is compared.
    """

    ours: Callable[[], Any]
    usual: str
    theirs: Callable[[], Any]
    moved: float
    tolerance: float = 1e-3
    share: float = 0.0
    once: bool = False
    read: Callable[[Any], Any] = lambda answer: answer


def compare(rounds: int, side: int = SIDE, batch: int = BATCH) -> dict[str, Any]:
    """Checks that both ways agree and times them in turns.

    Args:
      rounds: how often each is timed.
      side: of the pictures in pixels.
      batch: pictures.

    Returns:
      What `report` prints, as plain values.

    Raises:
      ValueError: where the two ways give different answers; names the case.
    """
    cases = build(side, batch)
    copy, copied = machine.copy()
    functions: dict[str, Callable[[], Any]] = {"copy": copy}
    slow = {}
    for name, case in cases.items():
        started = time.perf_counter()
        theirs = case.theirs()
        slow[name] = [time.perf_counter() - started]
        agree(name, case, case.read(case.ours()), case.read(theirs))
        functions[f"{name} ours"] = case.ours
        if not case.once:
            functions[f"{name} usual"] = case.theirs
    times = timing.in_turns(functions, rounds)
    bandwidth = copied / times["copy"].best
    rows = {}
    for name, case in cases.items():
        ours = times[f"{name} ours"]
        usual = timing.summarise(slow[name]) if case.once else times[f"{name} usual"]
        rows[name] = {
            "ours": ours._asdict(),
            "usual": usual._asdict(),
            "way": case.usual,
            "ratio": usual.median / ours.median,
            "share_of_copy": case.moved / ours.median / bandwidth,
        }
    described = machine.describe()
    return {
        "machine": described,
        "side": side,
        "batch": batch,
        "bytes_per_second": bandwidth,
        "cases": rows,
    }


def agree(name: str, case: Case, ours: Any, theirs: Any) -> None:
    """Raises ValueError where two answers differ in more than the case allows."""
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
        if a.shape != b.shape:
            raise ValueError(f"{name}: the answers have the shapes {a.shape} and {b.shape}")
        both_infinite = np.isinf(a) & np.isinf(b)
        with np.errstate(invalid="ignore"):
            near = np.abs(a - b) <= case.tolerance * np.maximum(1, np.abs(b))
        near |= both_infinite
        if (~near).mean() > case.share:
            raise ValueError(
                f"{name}: {(~near).sum()} of {near.size} values differ from {case.usual}'s, "
                f"the first {a[~near][0]} against {b[~near][0]}"
            )


def build(side: int, batch: int) -> dict[str, Case]:
    """All cases on pictures of the given side."""
    rng = np.random.default_rng(0)
    return _pixel_decoders(rng, side, batch) | _instances(rng, side, batch) | _metrics(
        rng, side, batch
    )  # fmt: skip


def _pixel_decoders(rng: np.random.Generator, side: int, batch: int) -> dict[str, Case]:
    """Drawn answers as a generator gives them: on the code, and some levels off it."""

    def noisy(rgb: np.ndarray) -> np.ndarray:
        return np.clip(rgb + rng.normal(0, 4 / 255, rgb.shape), 0, 1).astype(np.float32)

    pixels = (batch, side, side)
    depth_rgb = noisy(depth.encode(rng.exponential(5, pixels)))
    vectors = rng.normal(size=(*pixels, 3)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=-1, keepdims=True)
    normals_rgb = noisy(surface_normals.encode(vectors))
    palette = rng.random((CLASSES, 3), np.float32)
    labels_rgb = noisy(palette[rng.integers(0, CLASSES, pixels)])
    regions, background = palette[:REGIONS], np.zeros(3, np.float32)
    both = np.concatenate([regions, background[None]])
    regions_rgb = noisy(both[rng.integers(0, REGIONS + 1, pixels)])
    count, path = np.prod(pixels), depth.PATHS["cube"]

    def case(decode: Callable, usual: Callable, rgb: np.ndarray, out: int, *more: Any,
             theirs: tuple = (), **limits: Any) -> Case:  # fmt: skip
        on_device, extra = jnp.asarray(rgb), [jnp.asarray(x) for x in more]

        def ours() -> Any:
            return jax.block_until_ready(decode(on_device, *extra))

        return Case(
            ours, "NumPy", lambda: usual(rgb, *(theirs or more)), count * (12.0 + out), **limits
        )

    # A pixel midway between two colours, or two segments of the path, may go to either.
    return {
        "depth": case(
            depth.decode, plain.depth, depth_rgb, 8, theirs=(path,), tolerance=1e-2, share=1e-4
        ),
        "normals": case(surface_normals.decode, plain.normals, normals_rgb, 16),
        f"{CLASSES} classes": case(
            semantic_segmentation.decode, plain.labels, labels_rgb, 8, palette, share=1e-5
        ),
        f"{REGIONS} regions": case(
            referring_segmentation.decode, plain.masks, regions_rgb, REGIONS + 4, regions,
            background, share=1e-5,
        ),
    }  # fmt: skip


def _instances(rng: np.random.Generator, side: int, batch: int) -> dict[str, Case]:
    """Discs, every one in a colour of its own, on black."""
    count = GRID * GRID
    pictures, palettes, truths = [], [], []
    for _ in range(batch):
        colors = [np.zeros(3, int)]
        while len(colors) <= count:
            color = rng.integers(0, 256, 3)
            if all(np.square(color - other).sum() >= APART**2 for other in colors):
                colors.append(color)
        ids = _discs(rng, side)
        truths.append(ids)
        pictures.append(np.array(colors)[ids].astype(np.uint8))
        palettes.append(np.array(colors[1:], np.uint8))
    clean = np.stack(pictures)
    noisy = np.clip(np.round(clean + rng.normal(0, 4, clean.shape)), 0, 255).astype(np.uint8)

    def decoder(u8: np.ndarray) -> Callable[[], Any]:
        drawn, background = jnp.asarray(u8, jnp.float32) / 255, jnp.zeros(3)
        return lambda: jax.block_until_ready(instance_segmentation.decode(drawn, background)[0])

    def by_color(u8: np.ndarray, tolerance: int) -> Callable[[], Any]:
        return lambda: np.stack(
            [plain.instances_by_color(*x, tolerance) for x in zip(u8, palettes, strict=True)]
        )

    def by_flood_fill() -> np.ndarray:
        return np.stack([plain.instances_by_flood_fill(p, np.zeros(3, int)) for p in clean])

    def named(answer: Any) -> np.ndarray:
        """Each pixel's true disc, the one that its instance has most pixels of."""
        found = []
        for ids, truth in zip(np.asarray(answer), truths, strict=True):
            table = np.zeros((ids.max() + 1, count + 1), int)
            np.add.at(table, (ids, truth), 1)
            found.append(table.argmax(1)[ids])
        return np.stack(found)

    moved = 20.0 * batch * side * side
    opencv = f"OpenCV, {count} times"
    return {
        f"{count} instances": Case(decoder(clean), opencv, by_color(clean, 0), moved, 0),
        f"{count} instances, filled": Case(
            decoder(clean), "flood fill, Python", by_flood_fill, moved, 0, once=True
        ),
        # Single pixels whose noise leads them astray are the other way's loss.
        f"{count} noisy instances": Case(
            decoder(noisy), opencv, by_color(noisy, 14), moved, 0, share=0.02, read=named
        ),
    }


def _discs(rng: np.random.Generator, side: int) -> np.ndarray:
    """Ids (side, side) of a disc in each cell of a grid, from 1, on 0."""
    cell = side / GRID
    rows, columns = np.mgrid[:side, :side] + 0.5
    ids = np.zeros((side, side), int)
    for i in range(GRID * GRID):
        y, x = ((i // GRID + 0.5) * cell, (i % GRID + 0.5) * cell)
        radius = cell * rng.uniform(0.35, 0.48)
        ids[(rows - y) ** 2 + (columns - x) ** 2 <= radius**2] = i + 1
    return ids


def _metrics(rng: np.random.Generator, side: int, batch: int) -> dict[str, Case]:
    pixels = (batch, side, side)
    label_m = rng.exponential(5, pixels).astype(np.float32)
    drawn_m = (label_m * rng.lognormal(0, 0.2, pixels)).astype(np.float32)
    vectors = rng.normal(size=(2, *pixels, 3)).astype(np.float32)
    vectors[1] = vectors[0] + 0.5 * vectors[1]
    vectors /= np.linalg.norm(vectors, axis=-1, keepdims=True)
    classes = rng.integers(0, CLASSES, (2, *pixels))
    classes[1] = np.where(rng.random(pixels) < 0.7, classes[0], classes[1])
    masks = rng.random((2, *pixels)) < 0.4
    ids = np.stack([[_discs(rng, side) for _ in range(batch)] for _ in range(2)])
    # One phrase a picture, which a row of its discs is meant by.
    concepts = ids[:, :, None] == np.arange(1, GRID + 1)[:, None, None]

    def concept_score() -> np.ndarray:
        metric = segmentation.promptable_concepts()
        state = metric.init()
        for drawn, truth in zip(*concepts, strict=True):
            state = metric.update(state, drawn, truth)
        return np.array([metric.compute(state)["pmF1"]])

    def scores(metric: Any, prediction: np.ndarray, label: np.ndarray, names: Any = None) -> Any:
        def run() -> np.ndarray:
            values = metric.compute(metric.update(metric.init(), prediction, label))
            return np.array([values[name] for name in names or values])

        return run

    count = float(np.prod(pixels))
    return {
        "depth errors": Case(
            scores(depth_metric.depth_errors(NEAREST_M, FARTHEST_M), drawn_m, label_m),
            "NumPy",
            lambda: plain.depth_errors(drawn_m, label_m, NEAREST_M, FARTHEST_M),
            8 * count,
        ),
        "angular errors": Case(
            scores(normals_metric.angular_errors(), vectors[1], vectors[0]),
            "NumPy",
            lambda: plain.angular_errors(vectors[1], vectors[0]),
            24 * count,
            1e-2,
        ),
        "mean IoU": Case(
            scores(segmentation.mean_iou(CLASSES), classes[1], classes[0], ["mIoU"]),
            "scikit-image",
            lambda: np.array([plain.mean_iou(classes[1], classes[0], CLASSES)]),
            16 * count,
        ),
        "cIoU, gIoU": Case(
            scores(segmentation.region_iou(), masks[1], masks[0], ["cIoU", "gIoU"]),
            "NumPy",
            lambda: plain.region_iou(masks[1], masks[0]),
            2 * count,
        ),
        "instance F1": Case(
            scores(segmentation.instance_f1(INSTANCE_IOU), ids[1], ids[0]),
            "scikit-image",
            lambda: plain.instance_f1(ids[1], ids[0], INSTANCE_IOU),
            16 * count,
        ),
        "pmF1": Case(
            concept_score,
            "NumPy",
            lambda: plain.concept_f1(concepts[0], concepts[1]),
            2 * GRID * count,
        ),
    }


def report(result: Mapping[str, Any]) -> str:
    """The result as lines to read."""
    side = result["side"]
    lines = [
        f"decoders and metrics on {result['batch']} x {side} x {side}; both ways gave the same "
        f"answers; copying runs at {result['bytes_per_second'] / 1e9:.1f} GB/s",
        "",
        f"{'':24}{'ours: median (quartiles)':>27}{'the usual way':>26}{'ratio':>8}"
        f"{'of copy':>9}  by",
    ]
    for name, row in result["cases"].items():
        ours, usual = (timing.Times(**row[way]) for way in ("ours", "usual"))
        lines.append(
            f"{name:24}{timing.milliseconds(ours):>27}{timing.milliseconds(usual):>26}"
            f"{row['ratio']:>7.1f}x{row['share_of_copy']:>9.2f}  {row['way']}"
        )
    return "\n".join(lines)
