"""The usual way, in NumPy, SciPy, OpenCV or scikit-image, of what the decoders and metrics do.

Each function takes the arguments of what it stands beside and returns the same, in the precision
of its input. They are written as whole-array code, one would write them so in a notebook.
"""

from typing import Any

import numpy as np

HALF = 0.15  # RGB distance at which the confidence is one half
TAU = 14.0  # grey levels
MIN_AREA = 2e-4
GAMMA = 5.0


def _confidence(distance: np.ndarray) -> np.ndarray:
    return 1 / (1 + (distance / HALF) ** 2)


def depth(rgb: np.ndarray, path: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Metres and confidence of (..., 3) RGB on a chain of (V, 3) vertices."""
    path = path.astype(rgb.dtype)
    best = np.full(rgb.shape[:-1], np.inf, rgb.dtype)
    f = np.zeros(rgb.shape[:-1], rgb.dtype)
    segments = len(path) - 1
    for k in range(segments):
        along = path[k + 1] - path[k]
        done = np.clip((rgb - path[k]) @ along / (along @ along), 0, 1)
        off = np.square(rgb - (path[k] + done[..., None] * along)).sum(-1)
        closer = off < best
        best[closer] = off[closer]
        f[closer] = (k + done[closer]) / segments
    with np.errstate(divide="ignore"):
        depth_m = 10 * ((1 - f) ** -0.5 - 1)
    return depth_m, _confidence(np.sqrt(best))


def normals(rgb: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors and confidence of (..., 3) RGB."""
    vectors = (2 * rgb - 1) * np.array([-1, 1, 1], rgb.dtype)
    length = np.linalg.norm(vectors, axis=-1)
    directed = length > 1e-6
    unit = vectors / np.where(directed, length, 1)[..., None]
    unit[~directed] = (0, 0, 1)
    return unit, _confidence(np.abs(length - 1) / 2)


def labels(rgb: np.ndarray, palette: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Index of the nearest of (K, 3) colours, and confidence, of (..., 3) RGB."""
    distances = [np.square(rgb - color).sum(-1) for color in palette]
    nearest = np.argmin(distances, axis=0).astype(np.int32)
    return nearest, _confidence(np.sqrt(np.min(distances, axis=0)))


def masks(
    rgb: np.ndarray, palette: np.ndarray, background: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Masks (..., K, H, W) of (K, 3) colours over a background (3,), and confidence."""
    nearest, sure = labels(rgb, np.concatenate([palette, background[None]]))
    return np.stack([nearest == k for k in range(len(palette))], axis=-3), sure


def instances_by_color(
    picture_u8: np.ndarray, palette_u8: np.ndarray, tolerance: int = 0
) -> np.ndarray:
    """OpenCV's connected components, once for each colour of an (H, W, 3) picture.

    Returns:
      (H, W) int32 ids in falling order of area, then of the first pixel; what is smaller than
      MIN_AREA is background.
    """
    import cv2

    found = []
    for color in palette_u8.astype(int):
        low, high = (np.clip(color + d, 0, 255).astype(np.uint8) for d in (-tolerance, tolerance))
        mask = cv2.inRange(picture_u8, low, high)
        count, marks, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
        for i in range(1, count):
            area = stats[i, cv2.CC_STAT_AREA]
            if area >= MIN_AREA * mask.size:
                left, top, width, height = stats[i, :4]
                window = np.s_[top : top + height, left : left + width]
                inside = marks[window] == i
                found.append((-area, top, left + inside[0].argmax(), window, inside))
    ids = np.zeros(picture_u8.shape[:2], np.int32)
    for number, (*_, window, inside) in enumerate(sorted(found, key=lambda x: x[:3]), 1):
        ids[window][inside] = number
    return ids


_STEPS = tuple(
    (dy, dx)
    for dy in range(-2, 3)
    for dx in range(-2, 3)
    if 1 <= dy * dy + dx * dx <= 5 and (abs(dy), abs(dx)) not in ((0, 2), (2, 0))
)


def instances_by_flood_fill(picture_u8: np.ndarray, background_u8: np.ndarray) -> np.ndarray:
    """A flood fill in plain Python from the first free pixel of each instance.

    Pixels within TAU of the seed's colour are joined over 8 neighbours and knight's moves, as
    arXiv 2604.20329, appendix A, has it; its rules for small ones apply, merging is left out.

    Returns:
      (H, W) int32 ids in falling order of area.
    """
    height, width = picture_u8.shape[:2]
    stride = width + 4
    padded = np.zeros((height + 4, stride, 3), int)
    padded[2:-2, 2:-2] = picture_u8
    taken = np.ones((height + 4, stride), bool)
    away = np.square(picture_u8.astype(int) - background_u8.astype(int)).sum(-1)
    taken[2:-2, 2:-2] = away < TAU**2
    colors, free = padded.reshape(-1, 3).tolist(), (~taken).ravel().tolist()
    steps = [dy * stride + dx for dy, dx in _STEPS]
    found: list[list[int]] = []
    for start in range(len(free)):
        if not free[start]:
            continue
        r, g, b = colors[start]
        free[start] = False
        component = [start]
        for pixel in component:
            for step in steps:
                other = pixel + step
                if free[other]:
                    x, y, z = colors[other]
                    if (x - r) ** 2 + (y - g) ** 2 + (z - b) ** 2 <= TAU**2:
                        free[other] = False
                        component.append(other)
        if len(component) >= MIN_AREA * height * width:
            found.append(component)
    ids = np.zeros(height * width, np.int32)
    for number, component in enumerate(sorted(found, key=len, reverse=True), 1):
        rows, columns = np.divmod(component, stride)
        ids[(rows - 2) * width + columns - 2] = number
    return ids.reshape(height, width)


def mean_iou(prediction: np.ndarray, label: np.ndarray, classes: int) -> float:
    """mIoU from scikit-image's contingency table."""
    from skimage import metrics

    table = metrics.contingency_table(label, prediction).toarray()
    table = np.pad(table, [(0, classes - n) for n in table.shape])
    both = np.diag(table)
    union = table.sum(0) + table.sum(1) - both
    return float(np.mean((both / union)[union > 0]))


def instance_f1(prediction: np.ndarray, label: np.ndarray, iou: float) -> Any:
    """F1, precision and recall of ids (B, H, W), from scikit-image's contingency tables."""
    from scipy import optimize
    from skimage import metrics

    hits = drawn = asked = 0
    for p, g in zip(prediction, label, strict=True):
        table = metrics.contingency_table(p, g).toarray()
        shares = table / (table.sum(1, keepdims=True) + table.sum(0) - table)
        pairs = np.where(shares >= iou, shares, 0)[1:, 1:]  # 0 is background
        hits += (pairs[optimize.linear_sum_assignment(-pairs)] > 0).sum()
        drawn, asked = drawn + len(pairs), asked + pairs.shape[1]
    return np.array([2 * hits / (drawn + asked), hits / drawn, hits / asked])


def concept_f1(prediction: np.ndarray, label: np.ndarray) -> Any:
    """pmF1 of masks (B, N, H, W) and (B, M, H, W), pair of masks by pair of masks."""
    from scipy import optimize

    thresholds, hits = np.linspace(0.5, 0.95, 10)[:, None], np.zeros(10)
    for drawn, truth in zip(prediction, label, strict=True):
        ious = np.array([[(p & g).sum() / (p | g).sum() for g in truth] for p in drawn])
        hits += (ious[optimize.linear_sum_assignment(-ious)] >= thresholds).sum(1)
    masks = sum(x.shape[0] * x.shape[1] for x in (prediction, label))
    return np.array([(2 * hits / masks).mean()])


def depth_errors(prediction: np.ndarray, label: np.ndarray, low: float, high: float) -> Any:
    """delta1, AbsRel and RMSE in the order of the evaluators: picture by picture, then the mean."""
    rows = []
    for p, g in zip(prediction.astype(np.float64), label.astype(np.float64), strict=True):
        counted = (g > low) & (g < high)
        p, g = np.clip(p[counted], low, high), g[counted]
        ratio = np.maximum(p / g, g / p)
        error = p - g
        logs = np.log(p) - np.log(g)
        rows.append(
            (
                *((ratio < 1.25**k).mean() for k in (1, 2, 3)),
                (np.abs(error) / g).mean(),
                np.sqrt(np.square(error).mean()),
                np.abs(logs).mean() / np.log(10),
                logs.std(),
            )
        )
    return np.mean(rows, axis=0)


def angular_errors(prediction: np.ndarray, label: np.ndarray) -> Any:
    """Mean, median and shares below five angles of unit vectors (..., 3), by the arc cosine."""
    cosine = np.clip((prediction.astype(np.float64) * label).sum(-1), -1, 1)
    angle = np.degrees(np.arccos(cosine)).ravel()
    shares = [(angle < limit).mean() for limit in (5, 7.5, 11.25, 22.5, 30)]
    return np.array([angle.mean(), np.median(angle), np.sqrt(np.square(angle).mean()), *shares])


def region_iou(prediction: np.ndarray, label: np.ndarray) -> Any:
    """cIoU and gIoU of masks (N, H, W), mask by mask."""
    both = np.array([np.logical_and(p, g).sum() for p, g in zip(prediction, label, strict=True)])
    union = np.array([np.logical_or(p, g).sum() for p, g in zip(prediction, label, strict=True)])
    return np.array([both.sum() / union.sum(), np.mean(both / union)])
